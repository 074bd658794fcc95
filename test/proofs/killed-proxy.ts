import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

/** One `serve` on a fixed port and one data directory, killed and started again. */
export class KilledProxy {
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;
  /** Of the admin plane, once it listens. */
  adminUrl = '';

  /** `config` is the path of its configuration file; `port` 0 takes a free one at the first start. */
  constructor(upstream: string, data: string, config: string | null = null) {
    const configured = config === null ? [] : ['--config', config];
    this.#args = ['serve', ...configured, '--admin', '127.0.0.1:0', '--upstream', upstream, '--data', data];
  }

  /** Starts it; resolves with its URL when it listens, rejects when it ends first. */
  start(listen: string): Promise<string> {
    const child = spawn(process.execPath, ['--max-semi-space-size=8', MAIN, ...this.#args, '--listen', listen], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'] ?? '' },
    });
    this.#child = child;
    return new Promise((resolve, reject) => {
      child.once('exit', (code, signal) => reject(new Error(`serve ended with ${code ?? signal}`)));
      createInterface(child.stdout).on('line', (text) => {
        const line = JSON.parse(text) as { event: string; proxy: string; admin: string };
        if (line.event !== 'listening') return;
        this.adminUrl = line.admin;
        resolve(line.proxy);
      });
    });
  }

  /** kill -9; resolves when it is gone. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await gone;
  }
}
