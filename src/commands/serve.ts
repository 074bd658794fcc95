import { writeSync } from 'node:fs';
import { Command } from 'commander';
import { pino } from 'pino';
import { type Instance, startInstance } from '../assemble.ts';
import { formatFault } from '../config/faults.ts';
import { configFileOf, type Flags, type LoadResult, loadSettings } from '../config/load.ts';
import { fileSignature, type Loaded } from '../jobs/config-watch.ts';
import { type Clock, systemClock } from '../ops/clock.ts';
import { LogBatch } from '../ops/log-batch.ts';
import type { Io } from './io.ts';

/** Kubernetes gives 30 s before it kills; a second is left for the last flush. */
const GRACE_MS = 29_000;
/** The log is written in batches, and once a second. Without this a flush would not wait for what is being written. */
const LOG_WRITE_BYTES_MIN = 1024;
const LOG_FLUSH_MS = 1000;

/** What `serve` takes on its command line. */
export interface ServeOptions extends Flags {
  readonly config?: string;
}

/** The `serve` command; `done` receives its exit code. */
export function serveCommand(io: Io, done: (exitCode: number) => void): Command {
  return new Command('serve')
    .description('run the proxy (the default command of `npm start`)')
    .option('--config <file>', 'configuration file (HOLDFAST_CONFIG)')
    .option('--listen <address>', 'where clients reach the proxy (HOLDFAST_LISTEN), default 127.0.0.1:8080')
    .option(
      '--admin <address>',
      'where health, metrics and the API are (HOLDFAST_ADMIN_LISTEN), default 127.0.0.1:8081',
    )
    .option('--upstream <url>', 'the API behind it (HOLDFAST_UPSTREAM_URL), default https://api.intercom.io')
    .option('--data <directory>', 'where the ledger lives (HOLDFAST_DATA), default ./data')
    .action(async (options: ServeOptions) => done(await serve(options, io)));
}

/** Runs the proxy until SIGTERM or SIGINT; the exit code. */
export async function serve(options: ServeOptions, io: Io, clock: Clock = systemClock): Promise<number> {
  const file = configFileOf(options.config, io.env);
  const load = (): Promise<LoadResult> => loadSettings({ file, env: io.env, flags: options, readFile: io.readFile });
  const watched = file === null ? null : { path: file, signature: await fileSignature(file) };
  const loaded = await load();
  for (const each of loaded.faults) io.stderr.write(`holdfast: ${formatFault(each)}\n`);
  if (!loaded.ok) return 1;

  const output = pino.destination({ fd: io.stdoutFd, sync: false, minLength: LOG_WRITE_BYTES_MIN });
  // A reader of the log that went away must not take the proxy with it.
  output.on('error', () => {});
  const logTo = new LogBatch(output);
  io.onExit(() => lastLines(io.stdoutFd, logTo.take()));
  let instance: Instance;
  try {
    instance = await startInstance({
      settings: loaded.settings,
      version: io.version,
      nodeVersion: io.nodeVersion,
      env: io.env,
      logTo,
      file: watched,
      load: async () => forPeople(await load()),
    });
  } catch (error) {
    io.stderr.write(`holdfast: ${startFault(error)}\n`);
    return 1;
  }
  logTo.flush();
  const stopFlushing = every(clock, LOG_FLUSH_MS, () => logTo.flush());
  const stopWatching = new AbortController();
  const watching = instance.config.run(clock, stopWatching.signal);
  const ignoreHangup = io.onSignal('SIGHUP', () => void instance.config.reload());
  await interrupted(io);
  ignoreHangup();
  stopWatching.abort();
  await watching;
  await instance.stop(GRACE_MS);
  stopFlushing();
  await new Promise<void>((resolve) => logTo.flush(() => resolve()));
  return 0;
}

/** A process that ends by a bug leaves the lines of its last second; pino has written those before them. */
function lastLines(fd: number, lines: string): void {
  try {
    if (lines !== '') writeSync(fd, lines);
  } catch {
    // A full pipe, or no reader.
  }
}

function forPeople(loaded: LoadResult): Loaded {
  return { ...loaded, faults: loaded.faults.map(formatFault) };
}

/** Resolves with the first SIGTERM or SIGINT. A second one ends the process at once, as people expect of Ctrl-C twice. */
function interrupted(io: Io): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      for (const remove of removers) remove();
      resolve();
    };
    const removers = [io.onSignal('SIGTERM', stop), io.onSignal('SIGINT', stop)];
  });
}

function every(clock: Clock, ms: number, callback: () => void): () => void {
  let cancel = clock.timer(ms, tick);
  function tick(): void {
    callback();
    cancel = clock.timer(ms, tick);
  }
  return () => cancel();
}

/** What Node adds to an error of `listen`: the name where it was looked up in vain, no port where that is 0. */
interface Where {
  readonly address: string;
  readonly hostname: string;
  readonly port: number;
}

/** One line that says what to do. */
function startFault(error: unknown): string {
  const { code, address, hostname, port, message } = error as NodeJS.ErrnoException & Partial<Where>;
  const where = `${address ?? hostname ?? ''}${port === undefined ? '' : `:${port}`}`;
  if (code === 'EADDRINUSE')
    return `${where} is in use; stop what listens there, or choose another with --listen or --admin`;
  if (code === 'EACCES') return `${where} needs privileges this user does not have; choose a port above 1023`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `${where} is no address of this machine; correct listen or admin.listen`;
  return message;
}
