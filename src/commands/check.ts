import { Command } from 'commander';
import { type Fault, formatFault } from '../config/faults.ts';
import { configFileOf, loadSettings } from '../config/load.ts';
import type { Io } from './io.ts';

/** What `check` takes on its command line. */
export interface CheckOptions {
  readonly config?: string;
  readonly strict?: boolean;
  readonly json?: boolean;
}

/** What `check` uses of the process. */
export type CheckIo = Pick<Io, 'stdout' | 'stderr' | 'env' | 'readFile'>;

/** The `check` command; `done` receives its exit code. */
export function checkCommand(io: CheckIo, done: (exitCode: number) => void): Command {
  return new Command('check')
    .description('check a configuration as `serve` would, and print every fault')
    .option('--config <file>', 'configuration file (HOLDFAST_CONFIG)')
    .option('--strict', 'warnings count as faults')
    .option('--json', 'print one JSON object')
    .action(async (options: CheckOptions) => done(await check(options, io)));
}

/** Checks; the exit code: 0 when `serve` would start, and with `--strict` without a warning. */
export async function check(options: CheckOptions, io: CheckIo): Promise<number> {
  const file = configFileOf(options.config, io.env);
  const loaded = await loadSettings({ file, env: io.env, flags: {}, readFile: io.readFile });
  const { faults } = loaded;
  const ok = loaded.ok && (options.strict !== true || faults.length === 0);
  const hash = loaded.ok ? loaded.settings.hash : null;
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify({ ok, file, hash, faults })}\n`);
    return ok ? 0 : 1;
  }
  for (const each of faults) io.stderr.write(`${formatFault(each)}\n`);
  const name = file ?? 'the defaults';
  if (ok) io.stdout.write(`${name}: fine${count(faults, 'warning')}, configuration ${hash}\n`);
  else io.stderr.write(`${name}: not usable${count(faults, 'error')}${count(faults, 'warning')}\n`);
  return ok ? 0 : 1;
}

function count(faults: readonly Fault[], severity: Fault['severity']): string {
  const { length } = faults.filter((each) => each.severity === severity);
  return length === 0 ? '' : `, ${length} ${severity}${length === 1 ? '' : 's'}`;
}
