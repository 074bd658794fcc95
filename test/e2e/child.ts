import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';
import { lookAt, lookInto } from '../support/leaks.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/main.ts');

/** One `holdfast` process. */
export class Child {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  /** The exit code, or the signal that ended it; null while it runs. */
  ended: number | NodeJS.Signals | null = null;
  #waiting: (() => void)[] = [];

  constructor(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    where: Pick<SpawnOptions, 'cwd' | 'uid' | 'gid'> = {},
  ) {
    // Nothing of the machine's own settings: a proxy or a configuration named there is none of the test's.
    const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
    this.process = spawn(command, args, { ...where, env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
      this.#wake();
    });
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
      this.#wake();
    });
    this.process.on('close', (code, signal) => {
      this.ended = code ?? signal;
      this.#wake();
    });
  }

  /** The log lines so far, parsed; every line of standard output must be one. */
  get log(): Record<string, unknown>[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1);
    return whole.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
  }

  /** Resolves with the first log line of an event that fits; rejects when the process ends without one. */
  async logged(event: string, fits: (line: Record<string, unknown>) => boolean = () => true) {
    for (;;) {
      const line = this.log.find((each) => each['event'] === event && fits(each));
      if (line !== undefined) return line;
      if (this.ended !== null) throw new Error(`ended (${this.ended}) without ${event}: ${this.stdout}${this.stderr}`);
      await this.#change();
    }
  }

  /** Resolves with the exit code, or the signal's name. */
  async exit(): Promise<number | NodeJS.Signals> {
    while (this.ended === null) await this.#change();
    return this.ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const children: Child[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.ended === null) child.signal('SIGKILL');
    await child.exit();
    lookAt('output of a process', child.stdout + child.stderr);
  }
  for (const folder of folders.splice(0)) {
    lookInto(folder);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Starts a command; killed with the test. Its ledger goes with the test too, unless `env` or `args` name another folder. */
export function started(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  const child = new Child(command, args, { HOLDFAST_DATA: folderOf({}), ...env });
  children.push(child);
  return child;
}

/** Starts `node src/main.ts` with arguments, by another command when one is given; killed with the test. */
export function holdfast(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  by: readonly string[] = [],
): Child {
  const [command, ...rest] = [...by, process.execPath, '--max-semi-space-size=8', MAIN, ...args];
  return started(command as string, rest, env);
}

/** A `serve` that listens. */
export interface Served {
  readonly child: Child;
  readonly url: string;
  readonly adminUrl: string;
}

/** Starts `serve` on free ports and waits until it listens. */
export async function serving(
  upstream: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  by: readonly string[] = [],
): Promise<Served> {
  const child = holdfast(
    ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--upstream', upstream, ...args],
    env,
    by,
  );
  const line = await child.logged('listening');
  return { child, url: line['proxy'] as string, adminUrl: line['admin'] as string };
}

/** Writes files into a new folder, which goes with the test; the folder's path. */
export function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}
