import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { startInstance } from '../assemble.ts';
import { loadSettings } from '../config/load.ts';
import { type CancelTimer, type Clock, systemClock } from '../ops/clock.ts';
import { seededRandom } from '../ops/seeded-random.ts';
import { readScenario } from '../simulator/scenario.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import { type Client, type ClientContext, plainClient, sdkLikeClient } from './demo-client.ts';
import { type Lead, makeLeads, runPipeline, tally } from './demo-pipeline.ts';
import { conclusion, progressLine, type Side, table } from './demo-view.ts';
import type { Io, Output } from './io.ts';

const LEADS_DEFAULT = 50;
const LEADS_MAX = 75;
const SEED_DEFAULT = 1;
const CONCURRENCY = 8;
const LEAD_EVERY_MS = 400;
const LIMIT_MS = 50_000;
const REDRAW_MS = 200;
const LINE_MS = 5000;

/** A running Holdfast. */
export interface DemoInstance {
  /** Where clients reach it. */
  readonly url: string;
  stop(graceMs: number): Promise<void>;
}

/** Starts Holdfast before an upstream. */
export type StartHoldfast = (upstream: string) => Promise<DemoInstance>;

/** What the demo uses of the process. */
export type DemoIo = Pick<Io, 'version' | 'stdout' | 'stderr' | 'readFile' | 'onSignal'>;

/** What `demo` takes on its command line. */
export interface DemoOptions {
  readonly leads: number;
  readonly seed: number;
  readonly json?: boolean;
}

/** The `demo` command; `done` receives its exit code. */
export function demoCommand(io: DemoIo, done: (exitCode: number) => void): Command {
  return new Command('demo')
    .description('simulator, Holdfast and a lead pipeline on this machine: see the difference in half a minute')
    .option('--leads <n>', `how many leads, 1 to ${LEADS_MAX}`, numberUpTo(LEADS_MAX, 1), LEADS_DEFAULT)
    .option('--seed <n>', 'seed of the faults', numberUpTo(2 ** 31 - 1, 0), SEED_DEFAULT)
    .option('--json', 'only the final figures, as JSON')
    .action(async (options: DemoOptions) => done(await demo(options, io)));
}

/** The day that the demo plays. */
const DAY = fileURLToPath(new URL('../../config/scenarios/demo.yaml', import.meta.url));

/** The pipeline has no timeout of its own, so Holdfast may wait through the outages. */
const CONFIG = fileURLToPath(new URL('../../config/examples/patient.yaml', import.meta.url));

/** Holdfast as `serve --config config/examples/patient.yaml` starts it, on free ports, without a log, with a ledger that goes with it. */
async function startHoldfast(io: DemoIo, upstream: string): Promise<DemoInstance> {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-demo-'));
  const flags = { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream, data };
  const loaded = await loadSettings({ file: CONFIG, env: {}, flags, readFile: io.readFile });
  if (!loaded.ok) throw new Error(loaded.faults.map((one) => one.message).join('; '));
  const instance = await startInstance({
    settings: loaded.settings,
    version: io.version,
    nodeVersion: '',
    env: {},
    logTo: { write: () => undefined },
    file: null,
    load: () => Promise.resolve({ ok: false, faults: ['the demo has no configuration to read again'] }),
  });
  return {
    url: instance.url,
    async stop(graceMs) {
      await instance.stop(graceMs);
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** Runs both pipelines; 0 when Holdfast lost nothing in silence and created nothing twice, else 1. */
export async function demo(
  options: DemoOptions,
  io: DemoIo,
  start: StartHoldfast = (upstream) => startHoldfast(io, upstream),
  clock: Clock = systemClock,
): Promise<number> {
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  const cleanups = [io.onSignal('SIGINT', abort), io.onSignal('SIGTERM', abort), clock.timer(LIMIT_MS, abort)];
  const scenario = readScenario(io.readFile(DAY), DAY);
  const startDay = (): Promise<Simulator> => startSimulator({ port: 0, seed: options.seed, scenario });
  const [straight, behind] = await Promise.all([startDay(), startDay()]);
  let holdfast: DemoInstance | null = null;
  try {
    holdfast = await start(behind.url);
    const runs = [
      new Run(straight, straight.url, sdkLikeClient, options, clock, stop.signal),
      new Run(behind, holdfast.url, plainClient, options, clock, stop.signal),
    ] as const;
    const [first, second] = await watch(runs, options, io.stdout, clock);
    if (options.json === true)
      io.stdout.write(`${JSON.stringify({ seed: options.seed, straight: first, holdfast: second })}\n`);
    else io.stdout.write(`\n${conclusion(first, second).join('\n')}\n`);
    return second.lostInSilence === 0 && second.duplicates === 0 && !stop.signal.aborted ? 0 : 1;
  } catch (error) {
    io.stderr.write(`demo: ${(error as Error).message}\n`);
    return 1;
  } finally {
    for (const cleanup of cleanups) cleanup();
    await holdfast?.stop(0);
    await Promise.all([straight.close(), behind.close()]);
  }
}

/** One pipeline against its own simulator. */
class Run {
  readonly finished: Promise<void>;
  readonly #simulator: Simulator;
  readonly #leads: Lead[];
  readonly #waits = { waitedMs: 0 };
  #tookMs: number | null = null;

  constructor(
    simulator: Simulator,
    origin: string,
    makeClient: (context: ClientContext) => Client,
    options: DemoOptions,
    clock: Clock,
    signal: AbortSignal,
  ) {
    this.#simulator = simulator;
    this.#leads = makeLeads(options.leads);
    const random = seededRandom(options.seed);
    const client = makeClient({ origin, clock, random, signal, waits: this.#waits });
    const startedMs = clock.now();
    const pace = { clock, concurrency: CONCURRENCY, leadEveryMs: LEAD_EVERY_MS };
    this.finished = runPipeline(this.#leads, client, pace, signal).finally(() => {
      this.#tookMs = Math.round(clock.now() - startedMs);
    });
  }

  side(): Side {
    const { duplicates, requests, throttled } = this.#simulator.stats();
    const counted = tally(this.#leads, this.#simulator.effects());
    return {
      ...counted,
      duplicates,
      requests,
      throttled,
      waitedMs: Math.round(this.#waits.waitedMs),
      tookMs: this.#tookMs,
    };
  }
}

/** Shows both runs until they end: a table that is drawn again on a terminal, a line now and then elsewhere. */
async function watch(
  runs: readonly [Run, Run],
  options: DemoOptions,
  stdout: Output,
  clock: Clock,
): Promise<[Side, Side]> {
  const startedMs = clock.now();
  const isTerminal = stdout.isTTY === true;
  const sides = (): [Side, Side] => [runs[0].side(), runs[1].side()];
  let drawn = 0;
  const draw = (): void => {
    const lines = table(...sides());
    // Cursor to the first line of the old table; every line erases what stood there.
    stdout.write((drawn > 0 ? `\u001b[${drawn}A` : '') + lines.map((line) => `\u001b[2K${line}\n`).join(''));
    drawn = lines.length;
  };
  const next: { cancel: CancelTimer | null } = { cancel: null };
  const tick = (): void => {
    if (isTerminal) draw();
    else stdout.write(`${progressLine(clock.now() - startedMs, ...sides())}\n`);
    next.cancel = clock.timer(isTerminal ? REDRAW_MS : LINE_MS, tick);
  };
  if (options.json !== true) {
    stdout.write(intro(options));
    tick();
  }
  await Promise.all(runs.map((run) => run.finished));
  next.cancel?.();
  const final = sides();
  if (options.json !== true) {
    if (isTerminal) draw();
    else stdout.write(`\n${table(...final).join('\n')}\n`);
  }
  return final;
}

function intro(options: DemoOptions): string {
  return `${options.leads} leads, each created, tagged, updated and noted with an event; twice, in two simulated Intercoms with the same faults (seed ${options.seed}):
83 calls per 10 s, answers lost after the effect, errors, successes that did nothing, two short outages.
  straight          a client that retries as the official Node SDK does
  through Holdfast  the same pipeline, retries left to Holdfast

`;
}

function numberUpTo(max: number, min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}`);
    }
    return value;
  };
}
