/**
 * `npm run proof:herd [-- --seed N] [--only NAME] [--write]`: what pacing and the breaker promise, at full length and in
 * real time: saturated windows of ten seconds, a minute of outage, a dead neighbour, ten thousand waiters. Prints a table;
 * with --write keeps it in results/herd.md. Ends with 1 when a bound is missed. About eleven minutes on a quiet machine.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Death, type Outlived, outlive } from '../test/herd/outage.ts';
import { type Saturation, saturate } from '../test/herd/saturation.ts';
import { measureNeighbour } from './neighbour.ts';
import { percentile, type Spread } from './stats.ts';
import { measureWaiters } from './waiters.ts';

const ROOT = join(import.meta.dirname, '..');
const WINDOWS = 6;
const OUTAGE_MS = 60_000;
const CALM_MS = 10_000;
const STAGGER_MS = 1250;
/** Over eight endpoints. What they leave waiting goes through this one process, clients and simulator included, in a second. */
const CALLS_PER_SECOND = 15;

interface Line {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly bound: number;
  readonly atLeast?: boolean;
  readonly beside?: string;
}

const { seed, only, write } = readArguments();
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const PROOFS: Readonly<Record<string, () => Promise<readonly Line[]>>> = {
  saturation,
  outage,
  neighbour,
  waiters,
};

const lines: Line[] = [];
for (const [name, prove] of Object.entries(PROOFS)) {
  if (only !== undefined && only !== name) continue;
  say(`${name} …`);
  lines.push(...(await prove()));
}
const rendered = render(lines);
process.stdout.write(`\n${rendered}`);
if (write) {
  mkdirSync(join(import.meta.dirname, 'results'), { recursive: true });
  writeFileSync(join(import.meta.dirname, 'results', 'herd.md'), rendered);
}
process.exit(lines.every(holds) ? 0 : 1);

async function saturation(): Promise<readonly Line[]> {
  const clocks: readonly (Partial<Saturation> & { readonly name: string })[] = [
    { name: 'true clock' },
    { name: 'clock +90 s, gains 100 ppm', offsetSeconds: 90, drift: 1e-4 },
    { name: 'clock −90 s, loses 100 ppm', offsetSeconds: -90, drift: -1e-4 },
    { name: '30 % foreign' },
  ];
  const runs = [83, 333].flatMap((limit) =>
    clocks.map(async ({ name, ...clock }, i) => {
      // One after the other, so that their windows do not begin together in this one process.
      await sleep(((limit === 83 ? 0 : clocks.length) + i) * STAGGER_MS);
      const foreign = name.includes('foreign') ? Math.round(limit * 0.3) : 0;
      const run = await saturate({ limit, windows: WINDOWS, seed, foreign, ...clock });
      const what = `window of ${limit}, ${name}`;
      const throttled: Line = {
        what: `${what}: answers 429`,
        value: run.throttledShare * 100,
        unit: '%',
        bound: foreign > 0 ? 2 : 0.5,
        beside: `${run.throttled}`,
      };
      const used: Line = {
        what: `${what}: slots used`,
        value: run.used * 100,
        unit: '%',
        bound: 99,
        atLeast: true,
        beside: `least used window ${(run.leastUsed * 100).toFixed(1)}`,
      };
      const time: Line = { what: `${what}: wall time`, value: run.wallMs / run.boundMs, unit: '× bound', bound: 1.1 };
      const failed: Line = {
        what: `${what}: failed`,
        value: run.failed,
        unit: 'calls',
        bound: 0,
        beside: `of ${run.calls}`,
      };
      // The simulator's others never insist: what we take first is ours, and a share of the slots means nothing.
      return foreign > 0 ? [throttled, failed] : [used, throttled, time, failed];
    }),
  );
  return (await Promise.all(runs)).flat();
}

async function outage(): Promise<readonly Line[]> {
  const deaths: readonly Death[] = ['refused', 'unavailable'];
  const common = { outageMs: OUTAGE_MS, perSecond: CALLS_PER_SECOND, calmMs: CALM_MS, seed };
  const found: Line[] = [];
  for (const death of deaths) {
    const patient = await outlive({ ...common, death, whenOpen: 'patient' });
    const failing = await outlive({ ...common, death, whenOpen: 'fail' });
    found.push(...patientLines(`a minute, ${death}, patient`, patient));
    found.push(refusalLine(`a minute, ${death}, fail`, failing));
  }
  return found;
}

function patientLines(what: string, run: Outlived): readonly Line[] {
  return [
    { what: `${what}: failed`, value: run.failed, unit: 'calls', bound: 0, beside: `of ${run.calls}` },
    { what: `${what}: knocks`, value: run.perSecondAfterTrip, unit: '/s', bound: 2 },
    { what: `${what}: first success`, value: run.firstSuccessMs, unit: 'ms', bound: 1000 },
    {
      what: `${what}: worst added latency`,
      value: run.worstMs,
      unit: 'ms',
      bound: OUTAGE_MS + 2000,
      beside: `everybody served ${run.caughtUpMs.toFixed(0)} ms after the end`,
    },
  ];
}

function refusalLine(what: string, run: Outlived): Line {
  const sorted = run.refusalsMs.toSorted((a, b) => a - b);
  const at = (rank: number): string => percentile(sorted, rank).toFixed(1);
  return {
    what: `${what}: refusals, p99`,
    value: percentile(sorted, 0.99),
    unit: 'ms',
    bound: 5,
    beside: `${sorted.length} of ${run.calls} calls; p50 ${at(0.5)}, worst ${at(1)}`,
  };
}

async function neighbour(): Promise<readonly Line[]> {
  const built = spawnSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`npm run build failed: ${built.stdout}${built.stderr}`);
  const { p99Ms } = await measureNeighbour(say);
  return (['failing', 'hanging'] as const).map((arm) => ({
    what: `p99 beside an endpoint that is ${arm}`,
    value: p99Ms[arm].min / p99Ms.healthy.min,
    unit: '× healthy',
    bound: 1.05,
    beside: `${shown(p99Ms[arm])} against ${shown(p99Ms.healthy)} ms`,
  }));
}

function shown({ median, min, max }: Spread): string {
  return `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`;
}

async function waiters(): Promise<readonly Line[]> {
  const { bytesEach, releaseUs, loopDelayMs } = await measureWaiters();
  const [shallow = Number.NaN, , deep = Number.NaN] = Object.values(releaseUs);
  return [
    { what: '10,000 waiters: heap each', value: bytesEach, unit: 'bytes', bound: 2048 },
    {
      what: 'release from a line of 100,000',
      value: deep / shallow,
      unit: '× that of 1,000',
      // log₂ of the depths, 16.6 to 10, and as much again for caches that no longer hold the line.
      bound: 3.3,
      beside: Object.entries(releaseUs)
        .map(([depth, us]) => `${us.toFixed(1)} µs at ${depth}`)
        .join(', '),
    },
    {
      what: '10,000 waiters: event-loop delay p99',
      value: loopDelayMs.p99,
      unit: 'ms',
      bound: 20,
      beside: `worst ${loopDelayMs.max.toFixed(0)}`,
    },
  ];
}

function holds({ value, bound, atLeast }: Line): boolean {
  return atLeast === true ? value >= bound : value <= bound;
}

function render(all: readonly Line[]): string {
  const rows = all.map((line) => {
    const sign = line.atLeast === true ? '≥' : '≤';
    const digits = line.value >= 100 || Number.isInteger(line.value) ? 0 : 2;
    return `| ${line.what} | ${line.value.toFixed(digits)} ${line.unit} | ${sign} ${line.bound} | ${holds(line) ? 'holds' : 'MISSED'} | ${line.beside ?? ''} |`;
  });
  return `${[circumstances(), '', '| what | found | bound | | beside |', '|---|---|---|---|---|', ...rows].join('\n')}\n`;
}

function git(...args: readonly string[]): string {
  return spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
}

function circumstances(): string {
  const changed = git('status', '--porcelain', '--', 'src', 'config') === '' ? '' : ' with uncommitted changes';
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`;
  const date = new Date().toISOString().slice(0, 10);
  return `# npm run proof:herd\n\n${date}, commit ${git('rev-parse', '--short', 'HEAD')}${changed}, seed ${seed}, Node ${process.versions.node}, ${machine}.`;
}

function readArguments(): { seed: number; only: string | undefined; write: boolean } {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  return { ...values, only: values.only, seed: Number(values.seed) };
}
