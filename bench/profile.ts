/**
 * `node bench/profile.ts [GET|POST]`: where the processor time of the hot path goes. Runs Holdfast from source, since
 * stripping types keeps every line and column, under V8's sampling profiler and a closed loop of 64, and prints the self
 * times by function and by package.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { READ, WRITE } from './bench.ts';
import { startHoldfast, startUpstream } from './contestants.ts';
import { LoadGenerator, scratch } from './processes.ts';

const LOAD_REQUESTS = 100_000;
const FUNCTIONS_SHOWN = 50;
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

const workload = process.argv[2] === 'POST' ? WRITE : READ;
const upstream = await startUpstream();
const load = new LoadGenerator();
const flags = ['--max-semi-space-size=4', '--cpu-prof', `--cpu-prof-dir=${scratch}`];
const holdfast = await startHoldfast(upstream.port, { flags, from: 'source' });
const common = { kind: 'closed', port: holdfast.port, connections: 64, workload, rampMs: 0, measureMs: 0 } as const;
await load.run({ ...common, requests: LOAD_REQUESTS, pid: null });
const ended = new Promise((resolve) => holdfast.child.process.once('exit', resolve));
holdfast.child.process.kill('SIGTERM');
await ended;
const file = readdirSync(scratch).find((name) => name.endsWith('.cpuprofile'));
if (file === undefined) throw new Error(`no profile was written; stderr: ${holdfast.child.stderr()}`);
print(JSON.parse(readFileSync(join(scratch, file), 'utf8')) as Profile);
process.exit(0);

function print(profile: Profile): void {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const byFunction = new Map<string, number>();
  const byPackage = new Map<string, number>();
  let totalUs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    const spentUs = profile.timeDeltas[index + 1] ?? 0;
    if (frame === undefined || NOT_WORK.has(frame.functionName)) continue;
    totalUs += spentUs;
    const where = frame.url === '' ? '' : ` ${place(frame.url)}:${frame.lineNumber + 1}`;
    add(byFunction, `${frame.functionName || '(anonymous)'}${where}`, spentUs);
    add(byPackage, frame.url === '' ? frame.functionName : owner(frame.url), spentUs);
  }
  const show = (title: string, costs: ReadonlyMap<string, number>): void => {
    process.stdout.write(`\n${title}: self time, µs per request\n`);
    const dearest = [...costs].toSorted((a, b) => b[1] - a[1]).slice(0, FUNCTIONS_SHOWN);
    for (const [name, spentUs] of dearest) process.stdout.write(`${perRequest(spentUs)}  ${name}\n`);
  };
  show('By package', byPackage);
  show('By function', byFunction);
  process.stdout.write(`\nTogether ${perRequest(totalUs).trim()} µs per ${workload.method}, start-up included\n`);
}

function perRequest(spentUs: number): string {
  return (spentUs / LOAD_REQUESTS).toFixed(2).padStart(7);
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
