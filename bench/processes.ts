/**
 * Child processes of the bench: pinned (proxies to the last core, load and upstream to the first), ended by their pid
 * on every way out, and never left to guess about: what a child said on stderr is part of the error when it dies.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Job, Reply, ResultOf } from './jobs.ts';

const READY_TIMEOUT_MS = 20_000;
const STDERR_KEPT_CHARS = 2000;

const children = new Set<ChildProcess>();

/** A directory for this run's configurations and data; removed at exit. */
export const scratch = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

/** Whether proxies have a core for themselves. */
export const pinned = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;

/** Where a child runs. */
export type Core = 'proxy' | 'load';

/** A child process under way. */
export interface Child {
  readonly pid: number;
  readonly process: ChildProcess;
  /** The beginning of its stderr. */
  readonly stderr: () => string;
  readonly stop: () => Promise<void>;
}

/** Starts a command on a core. Its standard output is drained and dropped. */
export function start(
  core: Core,
  command: readonly string[],
  options: { readonly ipc: boolean; readonly env?: Readonly<Record<string, string>> },
): Child {
  const cpu = core === 'load' ? 0 : availableParallelism() - 1;
  const [file = '', ...args] = pinned ? ['taskset', '-c', String(cpu), ...command] : command;
  const child = spawn(file, args, {
    cwd: scratch,
    stdio: ['ignore', 'pipe', 'pipe', ...(options.ipc ? (['ipc'] as const) : [])],
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
  });
  children.add(child);
  let said = '';
  child.stdout?.resume();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < STDERR_KEPT_CHARS) said += text;
  });
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      children.delete(child);
      resolve();
    };
    child.once('exit', end);
    child.once('error', end);
  });
  return {
    pid: child.pid ?? 0,
    process: child,
    stderr: () => said,
    stop: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Polls until the URL answers with 200. Refused connections cost the child nothing. */
export async function ready(child: Child, url: string): Promise<void> {
  const giveUpAt = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    if (child.process.exitCode !== null) throw new Error(`ended at once: ${child.stderr() || child.process.spawnfile}`);
    try {
      const answer = await fetch(url);
      await answer.arrayBuffer();
      if (answer.status === 200) return;
    } catch {
      // Not listening yet.
    }
    if (performance.now() > giveUpAt) throw new Error(`${url} was not ready in time: ${child.stderr()}`);
    await wait(5);
  }
}

/** The load generator. One job at a time; a failed job is an error, and the next job gets a fresh process. */
export class LoadGenerator {
  #child: Child | null = null;

  async run<J extends Job>(job: J): Promise<ResultOf<J>> {
    this.#child ??= start('load', [process.execPath, join(import.meta.dirname, 'load.ts')], { ipc: true });
    const child = this.#child;
    const reply = await new Promise<Reply>((resolve) => {
      const died = (): void => resolve({ error: `the load generator died: ${child.stderr()}` });
      child.process.once('exit', died);
      child.process.once('message', (message) => {
        child.process.off('exit', died);
        resolve(message as Reply);
      });
      child.process.send(job);
    });
    if ('ok' in reply) return reply.ok as ResultOf<J>;
    this.#child = null;
    await child.stop();
    throw new Error(reply.error);
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
    this.#child = null;
  }
}
