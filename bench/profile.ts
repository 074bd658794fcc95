/**
 * `node bench/profile.ts [GET|POST]`: where the processor time of the hot path goes. Runs Holdfast from source, since
 * stripping types keeps every line and column, and then the floor, under V8's sampling profiler and a closed loop of 64;
 * prints the self times by package and by function, the largest differences first.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { READ, WRITE } from './bench.ts';
import { type Contestant, startFloor, startHoldfast, startUpstream } from './contestants.ts';
import { LoadGenerator, scratch } from './processes.ts';

const LOAD_REQUESTS = 100_000;
const ROWS_SHOWN = 50;
const ROOT = join(import.meta.dirname, '..');
const NOT_WORK = new Set(['(idle)', '(root)']);

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Costs {
  readonly byFunction: Map<string, number>;
  readonly byPackage: Map<string, number>;
}

const workload = process.argv[2] === 'POST' ? WRITE : READ;
const upstream = await startUpstream();
const load = new LoadGenerator();
const floor = await profiled('floor', (flags) => startFloor(upstream.port, flags));
const holdfast = await profiled('holdfast', (flags) => startHoldfast(upstream.port, { flags, from: 'source' }));
show('By package', holdfast.byPackage, floor.byPackage);
show('By function', holdfast.byFunction, floor.byFunction);
process.exit(0);

async function profiled(name: string, start: (flags: readonly string[]) => Promise<Contestant>): Promise<Costs> {
  const directory = join(scratch, name);
  const { port, child } = await start(['--max-semi-space-size=8', '--cpu-prof', `--cpu-prof-dir=${directory}`]);
  const common = { kind: 'closed', port, connections: 64, workload, rampMs: 0, measureMs: 0 } as const;
  await load.run({ ...common, requests: LOAD_REQUESTS, pid: null });
  const ended = new Promise((resolve) => child.process.once('exit', resolve));
  if (child.process.connected) child.process.disconnect();
  else child.process.kill('SIGTERM');
  await ended;
  const file = readdirSync(directory)[0];
  if (file === undefined) throw new Error(`no profile was written; stderr: ${child.stderr()}`);
  return costsOf(JSON.parse(readFileSync(join(directory, file), 'utf8')) as Profile);
}

function costsOf(profile: Profile): Costs {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const byFunction = new Map<string, number>();
  const byPackage = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || NOT_WORK.has(frame.functionName)) continue;
    const spentUs = (profile.timeDeltas[index + 1] ?? 0) / LOAD_REQUESTS;
    const where = frame.url === '' ? '' : ` ${place(frame.url)}:${frame.lineNumber + 1}`;
    add(byFunction, `${frame.functionName || '(anonymous)'}${where}`, spentUs);
    add(byPackage, frame.url === '' ? frame.functionName : owner(frame.url), spentUs);
  }
  return { byFunction, byPackage };
}

function show(title: string, costs: ReadonlyMap<string, number>, floorCosts: ReadonlyMap<string, number>): void {
  const together = [costs, floorCosts].map((each) => [...each.values()].reduce((sum, cost) => sum + cost, 0));
  const rows: [string, number, number][] = [...costs].map(([name, cost]) => [name, cost, floorCosts.get(name) ?? 0]);
  rows.sort((one, other) => other[1] - other[2] - (one[1] - one[2]));
  rows.unshift(['together, start-up included', together[0] ?? 0, together[1] ?? 0]);
  process.stdout.write(`\n${title}, µs of self time per ${workload.method}: Holdfast, floor, difference\n`);
  for (const [name, cost, floorCost] of rows.slice(0, ROWS_SHOWN)) {
    const cells = [cost, floorCost, cost - floorCost].map((each) => each.toFixed(2).padStart(8));
    process.stdout.write(`${cells.join('')}  ${name}\n`);
  }
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}

function place(url: string): string {
  return url.startsWith('file:') ? relative(ROOT, new URL(url).pathname) : url;
}

/** `src/layers/retry.ts`, a package, or one of Node's own modules. */
function owner(url: string): string {
  const path = place(url);
  return /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path;
}
