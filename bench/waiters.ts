/**
 * What ten thousand waiting calls cost in the layers themselves, with a hand-driven inner service and no sockets: heap per
 * waiting call, processor time per released call at growing depths of the line, and how long the event loop is kept from
 * others while ten thousand arrive and are let go window by window.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Outcome } from '../src/core/outcome.ts';
import type { Service } from '../src/core/service.ts';
import { WaitingRoom } from '../src/core/waiting-room.ts';
import { createPacing } from '../src/layers/pacing.ts';
import { type CancelTimer, type Clock, systemClock } from '../src/ops/clock.ts';
import { answered, exchange, policy } from '../test/support/exchanges.ts';

const WAITERS = 10_000;
/** Intercom's default: 10,000 a minute. */
const LIMIT = 1667;
const LAST_MS = 1e9;
/** A hundred calls each: the shallowest line is empty afterwards. */
const RELEASE_ROUNDS = 10;
const RESOLUTION_MS = 1;
const UNHURRIED = policy({ pacing: { enabled: true, maxWaitMs: LAST_MS, reserve: 0 } });

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What it came to. */
export interface WaitersCost {
  readonly bytesEach: number;
  /** Depth of the line → µs per released call: the best of ten windows, what is above it is somebody else's. */
  readonly releaseUs: Readonly<Record<number, number>>;
  /** ms, p99 and worst, while ten thousand arrive within a second and leave in windows of three. */
  readonly loopDelayMs: { readonly p99: number; readonly max: number };
}

/** Measures all three; about half a minute. */
export async function measureWaiters(): Promise<WaitersCost> {
  const bytesEach = await heapEach();
  const releaseUs: Record<number, number> = {};
  await releaseCost(1000);
  for (const depth of [1000, 10_000, 100_000]) releaseUs[depth] = await releaseCost(depth);
  return { bytesEach, releaseUs, loopDelayMs: await loopDelay() };
}

/** A clock that a hand moves; its timers run only when asked for. */
class HandClock implements Clock {
  readonly #timers = new Map<object, { readonly atMs: number; readonly callback: () => void }>();
  #nowMs = 0;

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  timer(ms: number, callback: () => void): CancelTimer {
    const key = {};
    this.#timers.set(key, { atMs: this.#nowMs + ms, callback });
    return () => void this.#timers.delete(key);
  }

  /** Moves on, and hands out what is due then. */
  due(ms: number): (() => void)[] {
    this.#nowMs += ms;
    const due = [...this.#timers].filter(([, { atMs }]) => atMs <= this.#nowMs);
    for (const [key] of due) this.#timers.delete(key);
    return due.map(([, { callback }]) => callback);
  }
}

function pacingOver(inner: Service, clock: Clock): Service {
  const pacing = createPacing({
    clock,
    random: () => 0.5,
    events: { waitedForSlot: () => {}, paused: () => {}, wouldHave: () => {} },
    waiting: new WaitingRoom(() => Infinity),
    keep: () => {},
  });
  return pacing.layer(inner);
}

function call(clock: Clock, i: number) {
  return exchange({ policy: UNHURRIED, receivedAtMs: clock.now(), deadlineAtMs: LAST_MS, priority: i % 8 });
}

async function heapEach(): Promise<number> {
  const clock = new HandClock();
  const service = pacingOver(() => new Promise(() => {}), clock);
  for (let i = 0; i < 10; i++) void service(call(clock, i));
  const exchanges = Array.from({ length: WAITERS }, (_, i) => {
    const x = call(clock, i);
    // As the deadline layer does: the signal's own tables are not the line's.
    x.cancel.signal.addEventListener('abort', () => {});
    return x;
  });
  collect();
  const before = process.memoryUsage().heapUsed;
  const outcomes = exchanges.map((x) => service(x));
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / WAITERS;
  for (const x of exchanges) x.cancel.abort('client_gone');
  await Promise.all(outcomes);
  return bytes;
}

/** An answer of the window that ends at a whole second of the clock. */
function answerOf(clock: Clock, limit: number, remaining: number, windowMs: number): Outcome {
  const reset = (Math.floor(clock.wall() / windowMs) + 1) * (windowMs / 1000);
  const headers = ['Date', new Date(clock.wall()).toUTCString(), 'X-RateLimit-Limit', String(limit)];
  headers.push('X-RateLimit-Remaining', String(remaining), 'X-RateLimit-Reset', String(reset));
  return answered(200, { headers });
}

/** µs per call, from the reset until everybody that it lets go has gone and was answered. */
async function releaseCost(depth: number): Promise<number> {
  const limit = 100;
  const clock = new HandClock();
  let inWindow = 0;
  const service = pacingOver(async () => answerOf(clock, limit, limit - ++inWindow, 10_000), clock);
  let done = 0;
  const count = (): void => void (done += 1);
  for (let i = 0; i < depth + limit; i++) void service(call(clock, i)).then(count);
  await sleep(0);
  const samples: number[] = [];
  for (let round = 0; round < RELEASE_ROUNDS; round++) {
    const due = clock.due(11_000);
    inWindow = 0;
    const before = done;
    const startedAt = performance.now();
    for (const callback of due) callback();
    // The answers, and what they release, are promise callbacks.
    await sleep(0);
    const released = done - before;
    if (released > 0) samples.push(((performance.now() - startedAt) * 1000) / released);
  }
  return Math.min(...samples);
}

async function loopDelay(): Promise<WaitersCost['loopDelayMs']> {
  const windowMs = 3000;
  let window = 0;
  let inWindow = 0;
  const clock = systemClock;
  const service = pacingOver(async () => {
    const now = Math.floor(clock.wall() / windowMs);
    if (now !== window) inWindow = 0;
    window = now;
    const remaining = LIMIT - ++inWindow;
    await sleep(50);
    return answerOf(clock, LIMIT, Math.max(0, remaining), windowMs);
  }, clock);
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const all: Promise<Outcome>[] = [];
  while (all.length < WAITERS) {
    for (let i = 0; i < WAITERS / 100; i++) all.push(service(call(clock, all.length)));
    await sleep(10);
  }
  await Promise.all(all);
  histogram.disable();
  return { p99: delayMs(histogram.percentile(99)), max: delayMs(histogram.max) };
}

/** The histogram holds the distances between the firings of a timer: what exceeds its period is delay. */
function delayMs(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
}
