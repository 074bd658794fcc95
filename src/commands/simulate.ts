import { Command, InvalidArgumentError } from 'commander';
import { whyUnreadable } from '../config/faults.ts';
import { readScenario, ScenarioError, type ScenarioInput } from '../simulator/scenario.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import type { Io } from './io.ts';

const PORT_DEFAULT = 8090;

/** What `simulate` uses of the process. */
export type SimulateIo = Pick<Io, 'stdout' | 'stderr' | 'readFile' | 'onSignal'>;

/** What `simulate` takes on its command line. */
export interface SimulateOptions {
  readonly port: number;
  readonly scenario?: string;
  readonly seed?: number;
  readonly json?: boolean;
}

/** The `simulate` command; `done` receives its exit code. */
export function simulateCommand(io: SimulateIo, done: (exitCode: number) => void): Command {
  return new Command('simulate')
    .description('run an Intercom on this machine that misbehaves on request')
    .option('--port <n>', 'port to listen on, 0 for a free one', wholeNumber, PORT_DEFAULT)
    .option('--scenario <file>', 'what goes wrong, and when (YAML, see docs/simulator.md)')
    .option('--seed <n>', 'seed of all chance, instead of the scenario’s', wholeNumber)
    .option('--json', 'one JSON object per line')
    .action(async (options: SimulateOptions) => done(await simulate(options, io)));
}

/** Runs a simulator until SIGINT or SIGTERM; the exit code. */
export async function simulate(options: SimulateOptions, io: SimulateIo): Promise<number> {
  let simulator: Simulator;
  let scenario: ScenarioInput;
  try {
    scenario = options.scenario === undefined ? {} : readScenario(read(options.scenario, io), options.scenario);
    const seed = options.seed === undefined ? {} : { seed: options.seed };
    simulator = await startSimulator({ port: options.port, scenario, ...seed });
  } catch (fault) {
    io.stderr.write(`${explain(fault, options)}\n`);
    return 1;
  }
  announce(simulator, scenario, options, io);
  await interrupted(io);
  const stats = simulator.stats();
  await simulator.close();
  io.stdout.write(
    options.json === true
      ? `${JSON.stringify({ event: 'stopped', stats })}\n`
      : `\nStopped after ${stats.requests} requests, ${stats.effects} effects, ${stats.duplicates} duplicates, ${stats.throttled} answers 429.\n`,
  );
  return 0;
}

function read(file: string, io: SimulateIo): string {
  try {
    return io.readFile(file);
  } catch (error) {
    throw new Error(`${file} cannot be read: ${whyUnreadable(error)}`, { cause: error });
  }
}

function announce(simulator: Simulator, scenario: ScenarioInput, options: SimulateOptions, io: SimulateIo): void {
  const { url, port, seed } = simulator;
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify({ event: 'listening', url, port, seed, scenario: options.scenario ?? null })}\n`);
    return;
  }
  const faults =
    options.scenario === undefined
      ? 'No scenario: every call succeeds until you post a fault.'
      : `Scenario ${options.scenario}: ${scenario.description ?? `${scenario.rules?.length ?? 0} rules`}`;
  io.stdout.write(
    `Simulated Intercom on ${url}, seed ${seed}. Any bearer token is good.
${faults}
  what really happened   curl ${url}/__simulator/effects    (also /requests and /stats)
  lose the next answer   curl ${url}/__simulator/faults -d '{"match":"POST /contacts","times":1,"fault":{"kind":"reset","effect":"applied"}}'
  Holdfast before it     holdfast serve --upstream ${url}
Ctrl-C stops it.
`,
  );
}

function interrupted(io: SimulateIo): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      for (const remove of removers) remove();
      resolve();
    };
    const removers = [io.onSignal('SIGINT', stop), io.onSignal('SIGTERM', stop)];
  });
}

function explain(fault: unknown, options: SimulateOptions): string {
  if (fault instanceof ScenarioError) return fault.faults.map((line) => `simulate: ${line}`).join('\n');
  const { code, message } = fault as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return `simulate: port ${options.port} is in use; choose another with --port`;
  return `simulate: ${message}`;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}
