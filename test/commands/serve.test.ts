import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Io, Signal } from '../../src/commands/io.ts';
import { serve } from '../../src/commands/serve.ts';
import { type Clock, systemClock } from '../../src/ops/clock.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

let folder: string;
let logFile: string;
let fd: number;
let upstream: ScriptedUpstream;
let err = '';
const handlers = new Map<Signal, Set<() => void>>();
let exits: (() => void)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
  logFile = path.join(folder, 'log');
  fd = openSync(logFile, 'a');
  err = '';
  handlers.clear();
  exits = [];
  upstream = await ScriptedUpstream.start();
});

afterEach(async () => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
  await upstream.close();
});

const io = (): Io => ({
  version: '1.2.3',
  nodeVersion: '24.0.0',
  env: { HOLDFAST_DATA: path.join(folder, 'data') },
  stdout: { write: () => true },
  stderr: { write: (text) => void (err += text) },
  stdoutFd: fd,
  readFile: (file) => readFileSync(file, 'utf8'),
  onSignal: (signal, handler) => {
    const of = handlers.get(signal) ?? new Set();
    handlers.set(signal, of.add(handler));
    return () => of.delete(handler);
  },
  onExit: (handler) => void exits.push(handler),
});

const raise = (signal: Signal): void => {
  for (const handler of handlers.get(signal) ?? []) handler();
};

/** The system's clock, and how many of its timers are pending. */
function countingClock(): { clock: Clock; pending: () => number } {
  let pending = 0;
  const timer: Clock['timer'] = (ms, callback) => {
    pending += 1;
    let over = false;
    const end = (): void => {
      if (!over) pending -= 1;
      over = true;
    };
    const cancel = systemClock.timer(ms, () => {
      end();
      callback();
    });
    return () => {
      end();
      cancel();
    };
  };
  const clock = { now: () => systemClock.now(), wall: () => systemClock.wall(), timer };
  return { clock, pending: () => pending };
}

const logged = (): Record<string, unknown>[] =>
  readFileSync(logFile, 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));

/** Looks until the log file has a line of an event; the log is written in batches. */
async function until(event: string): Promise<Record<string, unknown>> {
  for (;;) {
    const line = logged().find((each) => each['event'] === event);
    if (line !== undefined) return line;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const FLAGS = { listen: '127.0.0.1:0', admin: '127.0.0.1:0' };

it('a process that ends at once leaves the lines of its last second', async () => {
  const exit = serve({ ...FLAGS, upstream: upstream.origin }, io());
  const { proxy } = await until('listening');
  expect((await fetch(`${String(proxy)}/me`)).status).toBe(200);
  for (const end of exits) end();
  expect(logged().filter(({ event }) => event === 'exchange')).toHaveLength(1);
  raise('SIGTERM');
  expect(await exit).toBe(0);
  expect(logged().filter(({ event }) => event === 'exchange')).toHaveLength(1);
});

it('runs until SIGTERM, writes its last line, and leaves no signal handler and no timer', async () => {
  const { clock, pending } = countingClock();
  const exit = serve({ ...FLAGS, upstream: upstream.origin }, io(), clock);
  const { proxy } = await until('listening');
  expect((await fetch(`${String(proxy)}/me`)).status).toBe(200);
  raise('SIGTERM');
  expect(await exit).toBe(0);
  expect(logged().at(-1)).toMatchObject({ event: 'stopped', unfinished: 0 });
  expect([...handlers.values()].map(({ size }) => size)).toEqual([0, 0, 0]);
  expect(pending()).toBe(0);
  expect(err).toBe('');
});

it('names each fault of its start on stderr and logs nothing', async () => {
  expect(await serve({ ...FLAGS, upstream: 'nowhere' }, io())).toBe(1);
  expect(err).toMatch(/^holdfast: flag --upstream: [^\n]+\n$/);
  expect(readFileSync(logFile, 'utf8')).toBe('');
});

it.each(['192.0.2.1', 'nowhere.invalid'])('says that %s is no address of this machine', async (host) => {
  expect(await serve({ ...FLAGS, listen: `${host}:0` }, io())).toBe(1);
  expect(err).toBe(`holdfast: ${host} is no address of this machine; correct listen or admin.listen\n`);
});
