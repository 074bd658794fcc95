/**
 * `npm run bench [-- --only NAME] [--quick] [--write]`: measures the packed proxy beside its floor and its peers, prints
 * tables, and with --write keeps them in results/latest.json and README.md. Bounded: 15 minutes, 2 with --quick.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Bench, type Figure, FULL, QUICK } from './bench.ts';
import { startFloor, startHoldfast, startPeers, startUpstream } from './contestants.ts';
import { type ContestantCost, costFigures, measureContestants } from './figures/cpu.ts';
import { growth } from './figures/growth.ts';
import { latency } from './figures/latency.ts';
import { loopDelay } from './figures/loop-delay.ts';
import { memory } from './figures/memory.ts';
import { semiSpace } from './figures/semi-space.ts';
import { startUp } from './figures/start.ts';
import { LoadGenerator, pinned } from './processes.ts';
import { type Results, render, writeBetweenMarkers } from './report.ts';

const ROOT = join(import.meta.dirname, '..');
const RUN_MINUTES_MAX = 15;
const QUICK_RUN_MINUTES_MAX = 2;
const QUIET_SHARE_MAX = 0.05;
const QUIET_WATCH_MS = 2000;

/** Every figure by the name that --only takes. `semi-space` is a decision aid and runs only when asked for. */
const FIGURES: Readonly<Record<string, (bench: Bench) => Promise<readonly Figure[]>>> = {
  latency,
  growth,
  memory,
  start: startUp,
  'loop-delay': loopDelay,
  'semi-space': semiSpace,
};
const NAMES = ['cpu', ...Object.keys(FIGURES)];

const { only, quick, write } = readArguments();
const bench: Bench = {
  sizes: quick ? QUICK : FULL,
  load: new LoadGenerator(),
  upstream: await startAfterBuild(),
  say: (line) => process.stderr.write(`${line}\n`),
};
const minutes = quick ? QUICK_RUN_MINUTES_MAX : RUN_MINUTES_MAX;
setTimeout(() => {
  note(`Incomplete: stopped after ${minutes} minutes.`);
  process.stdout.write(`\n${render(results())}\n`);
  process.exit(1);
}, minutes * 60_000).unref();

const notes: string[] = [];
const note = (line: string): void => {
  notes.push(line);
  bench.say(line);
};
const busy = await busyShare();
if (busy > QUIET_SHARE_MAX)
  note(`Not quiet: others took ${Math.round(busy * 100)} % of the processors before the run.`);
if (!pinned) note('Not pinned: needs taskset and two cores. The proxies share theirs with the load.');

const figures: Figure[] = [];
let complete = true;
let contestants: readonly ContestantCost[] = [];
for (const name of only ?? NAMES.filter((each) => each !== 'semi-space')) {
  try {
    if (name === 'cpu') {
      contestants = await costs();
      figures.push(...costFigures(contestants));
    } else {
      figures.push(...((await FIGURES[name]?.(bench)) ?? []));
    }
  } catch (error) {
    complete = false;
    note(`${name} failed: ${(error as Error).message}`);
  }
}

const rendered = render(results());
process.stdout.write(`\n${rendered}\n`);
if (write) {
  mkdirSync(join(import.meta.dirname, 'results'), { recursive: true });
  writeFileSync(join(import.meta.dirname, 'results', 'latest.json'), `${JSON.stringify(results(), null, 2)}\n`);
  writeBetweenMarkers(join(import.meta.dirname, 'README.md'), rendered);
}
process.exit(complete ? 0 : 1);

function readArguments(): { only: readonly string[] | null; quick: boolean; write: boolean } {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  });
  const unknown = values.only?.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) fail(`--only ${unknown}: no such figure; there are ${NAMES.join(', ')}`, 2);
  return { only: values.only ?? null, quick: values.quick, write: values.write };
}

async function startAfterBuild(): Promise<Bench['upstream']> {
  const built = spawnSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, encoding: 'utf8' });
  if (built.status !== 0) fail(`npm run build failed: ${built.stdout}${built.stderr}`);
  return startUpstream();
}

async function costs(): Promise<readonly ContestantCost[]> {
  const floor = await startFloor(bench.upstream.port);
  const holdfast = await startHoldfast(bench.upstream.port);
  const running = [floor, holdfast, ...(await startPeers(bench.upstream.port, note))];
  const measured = await measureContestants(bench, running);
  await Promise.all(running.map(({ child }) => child.stop()));
  return measured;
}

/** The share of all processors that is taken, 0..1, watched for a moment. */
async function busyShare(): Promise<number> {
  const before = processorTimes();
  await wait(QUIET_WATCH_MS);
  const after = processorTimes();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

function processorTimes(): { readonly idle: number; readonly all: number } {
  const times = cpus().map((cpu) => cpu.times);
  const all = times.reduce((sum, each) => sum + each.user + each.nice + each.sys + each.irq + each.idle, 0);
  return { idle: times.reduce((sum, each) => sum + each.idle, 0), all };
}

function git(...args: readonly string[]): string {
  return spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
}

function results(): Results {
  const changed = git('status', '--porcelain', '--', 'src', 'config') === '' ? '' : ' with uncommitted changes';
  const circumstances = {
    date: new Date().toISOString().slice(0, 10),
    commit: `${git('rev-parse', '--short', 'HEAD')}${changed}`,
    machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    node: process.versions.node,
    run: `${quick ? 'Quick run, not for publication' : 'Full run'}: ${bench.sizes.rounds} rounds of ${bench.sizes.measureMs / 1000} s`,
  };
  return { circumstances, contestants, figures, notes };
}

function fail(message: string, code = 1): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(code);
}
