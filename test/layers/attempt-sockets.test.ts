import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ByteBudget } from '../../src/core/byte-budget.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import { streamOf } from '../../src/core/outcome.ts';
import type { TimeoutPolicy } from '../../src/core/policy.ts';
import type { Service } from '../../src/core/service.ts';
import { attempt } from '../../src/layers/attempt.ts';
import { type CancelTimer, type Clock, systemClock } from '../../src/ops/clock.ts';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import {
  answer,
  type Behaviour,
  closeAfterRequest,
  drip,
  hang,
  hangOnAccept,
  html,
  json,
  resetAfterRequest,
  resetAtHead,
  resetOnAccept,
  ScriptedUpstream,
  truncatedChunked,
  truncatedLength,
} from '../support/scripted-upstream.ts';
import { LIMITS } from './attempt-harness.ts';

/** The machine's clock, with its live timers counted. */
class CountingClock implements Clock {
  live = 0;
  now = (): number => systemClock.now();
  wall = (): number => systemClock.wall();

  timer(ms: number, callback: () => void): CancelTimer {
    if (ms === Infinity) return () => {};
    this.live += 1;
    let live = true;
    const over = (): void => {
      if (live) this.live -= 1;
      live = false;
    };
    const cancel = systemClock.timer(ms, () => {
      over();
      callback();
    });
    return () => {
      over();
      cancel();
    };
  }
}

let server: ScriptedUpstream;
let upstream: Upstream;
let clock: CountingClock;
let buffered: ByteBudget;

const serviceOver = (wire: Upstream): Service =>
  attempt({
    wire,
    clock,
    buffered,
    events: recordedEvents('silent').events,
    limits: () => LIMITS,
    credentials: { current: () => null },
  });

beforeEach(async () => {
  server = await ScriptedUpstream.start();
  upstream = createUpstream({ origin: server.origin, connections: 4, proxy: null, caFile: null });
  clock = new CountingClock();
  buffered = new ByteBudget(LIMITS.bufferedBytes);
});

afterEach(async () => {
  await upstream.close();
  await server.settled();
  await server.close();
  expect([clock.live, buffered.freeBytes]).toEqual([0, LIMITS.bufferedBytes]);
});

/** With the limits of the test, and a deadline far away. */
const call = (timeout: Partial<TimeoutPolicy> = {}, overrides: Partial<Exchange> = {}): Exchange =>
  exchange({
    deadlineAtMs: Infinity,
    policy: policy({ timeout: { ...policy().timeout, ...timeout } }),
    ...overrides,
  });

test('2,000 failing attempts leave no socket, timer, listener or held byte behind', { timeout: 60_000 }, async () => {
  const faults: readonly (() => Behaviour)[] = [
    resetOnAccept,
    resetAtHead,
    resetAfterRequest,
    closeAfterRequest,
    () => html(502),
    () => html(200),
    () => truncatedLength('{"id":"1234"}'),
    () => truncatedChunked('{"id":"1234"}', 'reset'),
    () => answer({ status: 500, body: 'x'.repeat(5000) }),
    () => answer({ status: 500, body: 'x'.repeat(200_000) }),
  ];
  const service = serviceOver(upstream);
  const x = call();
  for (let i = 0; i < 2000; i += 1) {
    server.script(faults[i % faults.length]!());
    const outcome = await service(x);
    expect(outcome.verdict.class).toBe('transient');
    streamOf(outcome)?.discard();
    await streamOf(outcome)?.done;
  }
  expect(x.attempts).toHaveLength(2000);
  // Nothing was sent behind our back: one request per attempt, none for the connections that were reset as they opened.
  expect(server.requests).toHaveLength(1800);
  expect(getEventListeners(x.cancel.signal, 'abort')).toEqual([]);
  expect(x.cancel.listening).toBe(0);
  expect(upstream.stats()).toMatchObject({ running: 0, waiting: 0 });
  await server.settled(1);
});

test('more calls than connections wait their turn, and all are served', async () => {
  const service = serviceOver(upstream);
  const outcomes = await Promise.all(Array.from({ length: 100 }, () => service(call())));
  expect(outcomes.every((each) => each.kind === 'answered')).toBe(true);
  expect(server.accepted).toBeLessThanOrEqual(4);
});

test('§2: a handshake that does not end is cut by timeout.connect, nothing sent, and its socket goes', async () => {
  server.script(hangOnAccept());
  const tls = createUpstream({
    origin: server.origin.replace('http:', 'https:'),
    connections: 1,
    proxy: null,
    caFile: null,
  });
  const outcome = await serviceOver(tls)(call({ connectMs: 50 }));
  expect(outcome).toMatchObject({ failure: 'connect', sent: 'no', verdict: { effect: 'none', repeatable: true } });
  await server.settled();
  await tls.close();
});

test('§2: an upstream that reads and says nothing is cut by timeout.attempt', async () => {
  server.script(hang());
  const outcome = await serviceOver(upstream)(call({ attemptMs: 300 }));
  expect(outcome).toMatchObject({ failure: 'timeout', sent: 'maybe', verdict: { effect: 'unknown' } });
  await server.settled();
});

test('§2: a held answer that drips is cut by timeout.attempt, an answer that streams is not', async () => {
  const service = serviceOver(upstream);
  server.script(drip({ headers: ['Content-Type', 'application/json'], body: '{"a":1}' }, 7, 100));
  expect(await service(call({ attemptMs: 400 }))).toMatchObject({
    failure: 'truncated',
    verdict: { effect: 'applied' },
  });
  await server.settled();
  server.script(drip({ headers: ['Content-Type', 'text/csv'], body: 'a,b,c,d' }, 7, 100));
  const outcome = await service(call({ attemptMs: 400 }));
  const seen: string[] = [];
  streamOf(outcome)!.start({
    data: (chunk) => void seen.push(chunk.toString()),
    end: () => void seen.push('|end'),
    fail: (failure) => void seen.push(failure),
  });
  await streamOf(outcome)!.done;
  expect(seen.join('')).toBe('a,b,c,d|end');
});

test('timeout.body_idle cuts a stream that stalls', async () => {
  server.script({
    at: 'request',
    act: (peer) => peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 9\r\n\r\na,b'),
  });
  const outcome = await serviceOver(upstream)(call({ bodyIdleMs: 50 }));
  const failures: string[] = [];
  streamOf(outcome)!.start({ data: () => {}, end: () => {}, fail: (failure) => void failures.push(failure) });
  await streamOf(outcome)!.done;
  expect(failures).toEqual(['truncated']);
  await server.settled();
});

test('a client that leaves ends the upstream’s work on a read', async () => {
  server.script(hang());
  const x = call({}, { method: 'GET', body: { kind: 'none' }, policy: policy({ operationClass: 'read' }) });
  const outcome = serviceOver(upstream)(x);
  await server.seen(1);
  x.cancel.abort('client_gone');
  expect(await outcome).toMatchObject({ verdict: { reason: 'interrupted', effect: 'none' } });
  await server.settled();
});

test('what was on its way when the client left is nobody’s fault but its own', async () => {
  const source = new Readable({ read() {} });
  const x = call({}, { body: { kind: 'stream', lengthBytes: 100, opened: false, open: () => source } });
  const outcome = serviceOver(upstream)(x);
  source.push('half');
  await server.seen(1);
  source.destroy(new Error('aborted'));
  expect(await outcome).toMatchObject({
    sent: 'maybe',
    verdict: { reason: 'interrupted', countsAgainstBreaker: false },
  });
});

test('a kept connection serves on after an answer that was drained', async () => {
  const service = serviceOver(upstream);
  server.script(answer({ status: 503, body: 'x'.repeat(20_000) }), json({ ok: 1 }));
  const first = await service(call());
  streamOf(first)!.discard();
  await streamOf(first)!.done;
  expect(await service(call())).toMatchObject({ kind: 'answered', status: 200 });
  expect(server.accepted).toBe(1);
});
