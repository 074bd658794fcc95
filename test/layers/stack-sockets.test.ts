import { randomUUID } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { hostBreakerPolicy } from '../../src/core/breaker.ts';
import { ByteBudget } from '../../src/core/byte-budget.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import { streamOf } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { buildStack } from '../../src/stack.ts';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import {
  answer,
  type Behaviour,
  hang,
  html,
  intercomError,
  json,
  resetAfterRequest,
  ScriptedUpstream,
  truncatedChunked,
  truncatedLength,
} from '../support/scripted-upstream.ts';

const BUFFERED_BYTES = 16 * 1024 * 1024;
const limits = {
  inFlight: 1024,
  waiting: 20_000,
  perEndpoint: null,
  requestBodyBytes: 1024 * 1024,
  bufferedBytes: BUFFERED_BYTES,
  repeatableBodyBytes: 1024 * 1024,
  errorBodyBytes: 64 * 1024,
  storedAnswerBytes: 1024 * 1024,
};

let scripted: ScriptedUpstream | null = null;
let upstream: Upstream | null = null;

afterEach(async () => {
  await upstream?.close();
  await scripted?.close();
});

async function rig() {
  scripted = await ScriptedUpstream.start();
  upstream = createUpstream({ origin: scripted.origin, connections: 32, proxy: null, caFile: null });
  const buffered = new ByteBudget(BUFFERED_BYTES);
  const { events } = recordedEvents('silent');
  const stack = buildStack({
    clock: systemClock,
    random: seededRandom(7),
    events,
    limits: () => limits,
    hostPolicy: () => hostBreakerPolicy({ failures: 5, windowMs: 10_000, openForMs: 1000, maxOpenForMs: 30_000 }),
    credentials: { current: () => null, reread: () => Promise.resolve(false) },
    wire: upstream,
    buffered,
    keep: () => {},
    store: new MemoryStore(),
    newId: randomUUID,
    namesKey: NAMES_KEY,
    passthrough: () => true,
    match: () => ({ policy: policy(), params: {} }),
    stopping: new AbortController().signal,
    wakeQueue: () => {},
    configHash: () => 'abc',
  });
  // Nearly every attempt fails here on purpose, and it is retries that are looked at.
  stack.holdBreaker('host', 'close');
  stack.holdBreaker('POST /contacts', 'close');
  return { scripted, upstream, buffered, stack };
}

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const hasty: Partial<EndpointPolicy> = {
  operationClass: 'idempotent',
  timeout: { connectMs: 2000, attemptMs: 10_000, bodyIdleMs: 2000, totalMs: 60_000 },
  retry: { maxRetries: 20, baseDelayMs: 1, maxDelayMs: 2, jitter: 'full', maxWaitMs: 1000 },
  retryBudget: { ratio: 1, windowMs: 10_000, floorPerSecond: 1_000_000 },
  pacing: { enabled: false, maxWaitMs: 0, reserve: 0 },
};

function call(overrides: Partial<EndpointPolicy>, forMs = 60_000): Exchange {
  const now = systemClock.now();
  const x = { method: 'PUT', target: '/contacts/1', policy: policy(overrides), receivedAtMs: now };
  return exchange({ ...x, deadlineAtMs: now + forMs });
}

test('10,000 retries leave no socket, timer, listener or held byte behind, and the server saw exactly the attempts', async () => {
  const { scripted: server, upstream: pool, buffered, stack } = await rig();
  const large = 'x'.repeat(200_000);
  const faults: Behaviour[] = [
    intercomError(503, 'service_unavailable', 'busy', ['Retry-After', '0']),
    intercomError(500, 'server_error'),
    answer({ status: 502, headers: ['Content-Type', 'text/html'], body: large }),
    html(200),
    truncatedLength('{"id": "1", "type": "contact"}'),
    truncatedChunked('{"id": "1", "type": "contact"}', 'reset'),
    resetAfterRequest(),
  ];
  const timersBefore = timers();
  const exchanges = Array.from({ length: 500 }, () => call(hasty));
  for (let i = 0; i < 500 * 21; i += 1) server.script(faults[i % faults.length] as Behaviour);
  server.otherwise = intercomError(500, 'server_error');

  const workers = Array.from({ length: 32 }, async (_, w) => {
    for (let i = w; i < exchanges.length; i += 32) {
      const stream = streamOf(await stack.service(exchanges[i] as Exchange));
      stream?.discard();
      await stream?.done;
    }
  });
  await Promise.all(workers);

  const attempts = exchanges.flatMap((x) => x.attempts);
  expect(attempts.length - exchanges.length).toBe(10_000);
  expect(server.requests).toHaveLength(attempts.filter(({ sent }) => sent !== 'no').length);
  await turn();
  expect(stack.inFlight()).toBe(0);
  expect(buffered.freeBytes).toBe(BUFFERED_BYTES);
  for (const x of exchanges) expect(getEventListeners(x.cancel.signal, 'abort')).toHaveLength(0);
  for (const x of exchanges) expect(x.cancel.listening).toBe(0);
  expect(pool.stats()).toMatchObject({ running: 0, waiting: 0 });
  await pool.close();
  await server.settled(0);
  expect(timers()).toBeLessThanOrEqual(timersBefore);
});

test('§3: a write under way at the deadline finishes behind the answer; a read is aborted', async () => {
  const { scripted: server, stack } = await rig();
  const { promise: proceed, resolve: release } = Promise.withResolvers<void>();
  server.script({
    at: 'request',
    act: (peer, request) => void proceed.then(() => json({ id: '1' }).act(peer, request)),
  });
  const write = call({ ...hasty, operationClass: 'create' }, 150);
  const outcome = await stack.service(write);
  expect(outcome).toMatchObject({ code: 'holdfast_outcome_unknown', verdict: { effect: 'unknown' } });
  expect(stack.inFlight()).toBe(1);
  release();
  expect(await outcome.settled).toMatchObject({ kind: 'answered', status: 200 });
  await turn();
  expect(stack.inFlight()).toBe(0);

  server.script(hang());
  const read = call({ ...hasty, operationClass: 'read' }, 150);
  const ended = await stack.service(read);
  expect(ended.settled).toBeUndefined();
  expect(ended.verdict.effect).toBe('none');
  await turn();
  expect(stack.inFlight()).toBe(0);
  expect(server.requests).toHaveLength(2);
});

test('§3: a client that leaves ends a read on the wire and keeps a write', async () => {
  const { scripted: server, stack } = await rig();
  server.script(hang(), hang());
  const read = call({ ...hasty, operationClass: 'read' });
  const reading = stack.service(read);
  await server.seen(1);
  read.cancel.abort('client_gone');
  await reading;
  await turn();
  expect(stack.inFlight()).toBe(0);
  expect(read.attempts).toHaveLength(1);

  const write = call({ ...hasty, timeout: { connectMs: 2000, attemptMs: 200, bodyIdleMs: 2000, totalMs: 60_000 } });
  const writing = stack.service(write);
  await server.seen(2);
  write.cancel.abort('client_gone');
  const outcome = await writing;
  expect(outcome.verdict).toMatchObject({ reason: 'client_gone', effect: 'unknown' });
  expect(await outcome.settled).toMatchObject({ kind: 'failed', failure: 'timeout' });
  expect(write.withheld).toBe('interrupted');
  expect(server.requests).toHaveLength(2);
  await turn();
  expect(stack.inFlight()).toBe(0);
});
