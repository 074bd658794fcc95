import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { AttemptRecord, Exchange } from '../../src/core/exchange.ts';
import type { AnswerStream, Outcome } from '../../src/core/outcome.ts';
import type { Service } from '../../src/core/service.ts';
import { OK_READ, refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { type RetryParts, retry } from '../../src/layers/retry.ts';
import { failed, noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

type Script = Outcome | [Outcome, Partial<AttemptRecord>];

/** An inner service that notes an attempt for each scripted outcome; a refusal notes none. The last one repeats. */
function scripted(...script: Script[]) {
  const sentAtMs: number[] = [];
  const clock = new VirtualClock();
  const service: Service = (x) => {
    const step = script[Math.min(sentAtMs.length, script.length - 1)] as Script;
    const [outcome, overrides] = Array.isArray(step) ? step : [step, {}];
    sentAtMs.push(clock.now());
    return Promise.resolve(outcome.kind === 'refused' ? outcome : noteAttempt(x, outcome, overrides));
  };
  return { clock, service, sentAtMs };
}

function rig(script: Script[], parts: Partial<RetryParts> = {}) {
  const { clock, service, sentAtMs } = scripted(...script);
  const recorded = recordedEvents();
  const layer = retry({
    clock,
    random: () => 0.5,
    events: recorded.events,
    credentials: { reread: () => Promise.resolve(null) },
    waiting: new WaitingRoom(() => 100),
    ...parts,
  });
  const stacked = layer(service);
  const run = async (x: Exchange, forMs = 600_000): Promise<Outcome> => {
    const ending = stacked(x);
    await clock.advance(forMs);
    return ending;
  };
  return { ...recorded, clock, sentAtMs, stacked, run };
}

function read(overrides: Partial<Exchange> = {}): Exchange {
  return exchange({
    method: 'GET',
    policy: policy({ name: 'GET /x', operationClass: 'read' }),
    body: { kind: 'none' },
    ...overrides,
  });
}

const patient = {
  retry: { maxRetries: Infinity, baseDelayMs: 1000, maxDelayMs: 30_000, jitter: 'full', maxWaitMs: 60_000 },
} as const;
const ok = answered(200, { verdict: OK_READ });
const busy = (overrides: Partial<ReturnType<typeof transient>> = {}) =>
  answered(503, { verdict: transient(overrides) });

function stream() {
  let discarded = 0;
  const it: AnswerStream = {
    start() {},
    pause() {},
    resume() {},
    discard: () => void (discarded += 1),
    done: Promise.resolve(),
  };
  return { body: { kind: 'stream', stream: it } as const, discarded: () => discarded };
}

describe('§3: the loop', () => {
  test('passes a success on at once', async () => {
    const { run, sentAtMs } = rig([ok]);
    expect(await run(read())).toBe(ok);
    expect(sentAtMs).toEqual([1000]);
  });

  test('sends a failed attempt again after its backoff and notes the wait', async () => {
    const { run, sentAtMs, named, metrics } = rig([busy(), busy(), ok]);
    const x = read();
    expect(await run(x)).toBe(ok);
    expect(sentAtMs).toEqual([1000, 1500, 2500]);
    expect(x.waitedMs).toBe(1500);
    expect(x.withheld).toBeNull();
    expect(x.attempts.map((a) => [a.waitedMs, a.waitReason])).toEqual([
      [0, null],
      [500, 'backoff'],
      [1000, 'backoff'],
    ]);
    expect(named('retry').map((line) => line['waitMs'])).toEqual([500, 1000]);
    expect((await metrics.retries.get()).values).toMatchObject([{ value: 2, labels: { reason: 'status_503' } }]);
  });

  test('never comes earlier than the server wished, and names where the wish stood', async () => {
    const verdict = transient({ class: 'throttled', retryAfterMs: 5000 });
    const x = read();
    const { run, sentAtMs } = rig([answered(429, { verdict, headers: ['X-RateLimit-Reset', '5'] }), ok]);
    await run(x);
    expect(sentAtMs).toEqual([1000, 6500]);
    expect(x.attempts[1]?.waitReason).toBe('rate_limit_reset');
  });

  test('sleeps on when a timer fires early', async () => {
    const { clock, service, sentAtMs } = scripted(busy({ retryAfterMs: 5000 }), ok);
    const hasty = {
      now: () => clock.now(),
      wall: () => clock.wall(),
      timer: (ms: number, callback: () => void) => clock.timer(ms > 2 ? ms - 1.5 : ms, callback),
    };
    const layer = retry({
      clock: hasty,
      random: () => 0,
      events: recordedEvents().events,
      credentials: { reread: () => Promise.resolve(null) },
      waiting: new WaitingRoom(() => 100),
    });
    const ending = layer(service)(read());
    await clock.advance(20_000);
    await ending;
    expect(sentAtMs[1]).toBeGreaterThanOrEqual(6000);
  });

  test('passes the last answer on as it came when retries are used up', async () => {
    const { run, sentAtMs, metrics } = rig([busy()]);
    const x = read({ deadlineAtMs: Infinity });
    const outcome = await run(x);
    expect(outcome).toMatchObject({ kind: 'answered', status: 503 });
    expect(sentAtMs).toHaveLength(6);
    expect(x.withheld).toBe('max_retries');
    expect(await metrics.registry.getSingleMetricAsString('holdfast_retries_withheld_total')).toContain(
      'reason="max_retries"} 1',
    );
  });

  test('counts attempts on the exchange: an outer layer that calls inward again restarts nothing', async () => {
    const { run, stacked, clock, sentAtMs } = rig([busy()]);
    const x = read({ deadlineAtMs: Infinity });
    await run(x);
    const again = stacked(x);
    await clock.advance(600_000);
    await again;
    expect(sentAtMs).toHaveLength(7);
  });

  test('does not sleep for a wish beyond max_wait: the answer goes out with its time', async () => {
    const { run, sentAtMs } = rig([busy({ retryAfterMs: 90_000 })]);
    const x = read();
    expect((await run(x, 0)).verdict.retryAfterMs).toBe(90_000);
    expect(sentAtMs).toHaveLength(1);
    expect(x.withheld).toBe('max_wait');
  });

  test('never starts an attempt that cannot finish before the deadline', async () => {
    const { run, sentAtMs } = rig([[busy({ retryAfterMs: 5000 }), { durationMs: 3000 }]]);
    const x = read({ deadlineAtMs: 1000 + 8000 });
    await run(x, 0);
    expect(sentAtMs).toHaveLength(1);
    expect(x.withheld).toBe('deadline');
  });

  test('§8: a handed-over call does not wait here: its run ends, and withholds nothing', async () => {
    const wish = answered(503, { verdict: transient({ effect: 'none', retryAfterMs: 20_000 }) });
    const r = rig([wish, answered(200)]);
    const x = exchange({ queue: { createdAtMs: 0, stage: 'accepted' } });
    expect(await r.run(x)).toBe(wish);
    expect([r.sentAtMs.length, x.withheld, x.queue?.retryMs]).toEqual([1, null, 20_500]);
  });

  test('leaves a first refusal alone and withholds nothing', async () => {
    const refusal = refused('breaker');
    const x = read();
    expect(await rig([refusal]).run(x, 0)).toBe(refusal);
    expect(x.withheld).toBeNull();
  });

  test('§2: never repeats a create whose effect is unknown', async () => {
    const lost = failed('reset', { verdict: transient({ effect: 'unknown', repeatable: false }) });
    const x = exchange();
    const { run, sentAtMs } = rig([lost]);
    expect(await run(x)).toBe(lost);
    expect(sentAtMs).toHaveLength(1);
    expect(x.withheld).toBe('not_repeatable');
  });

  test('says that the streamed body stood in the way', async () => {
    const body = { kind: 'stream', lengthBytes: null, open: () => null as never, opened: true } as const;
    const x = exchange({ body });
    await rig([busy({ repeatable: false })]).run(x);
    expect(x.withheld).toBe('body_too_large');
  });
});

describe('what goes out', () => {
  test('an answer beats a later failure that proves nothing', async () => {
    const outcome = await rig([busy(), failed('connect')]).run(read({ deadlineAtMs: Infinity }));
    expect(outcome).toMatchObject({ kind: 'answered', status: 503 });
  });

  test('a lost write beats an earlier answer', async () => {
    const lost = failed('reset', { verdict: transient({ effect: 'unknown', repeatable: false }) });
    const throttled = answered(429, { verdict: transient({ class: 'throttled', retryAfterMs: 1000 }) });
    expect(await rig([throttled, lost]).run(exchange())).toBe(lost);
  });

  test('the effect is that of all attempts', async () => {
    const lost = failed('timeout', { verdict: transient({ effect: 'unknown' }) });
    const no = answered(422, { verdict: transient({ class: 'permanent', repeatable: false }) });
    const put = exchange({ policy: policy({ operationClass: 'idempotent' }) });
    const outcome = await rig([lost, no]).run(put);
    expect(outcome).toMatchObject({
      kind: 'answered',
      status: 422,
      verdict: { effect: 'unknown', class: 'permanent' },
    });
  });

  test('§5: a retry that meets an open breaker ends with the last answer and the time to come back', async () => {
    const x = read();
    const outcome = await rig([busy(), refused('breaker')]).run(x);
    expect(outcome).toMatchObject({ kind: 'answered', status: 503, verdict: { retryAfterMs: 30_000 } });
    expect(x.withheld).toBe('breaker');
  });

  test('a refused retry without any answer before it ends with the refusal, or with the write that was lost', async () => {
    const refusal = refused('breaker');
    expect(await rig([failed('connect'), refusal]).run(read())).toBe(refusal);
    const put = exchange({ policy: policy({ operationClass: 'idempotent' }) });
    const lost = failed('reset', { verdict: transient({ effect: 'unknown' }) });
    expect(await rig([lost, refusal]).run(put)).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
  });

  test('names a quota wait and an ended wait as what they are', async () => {
    const x = read();
    await rig([busy(), refused('pacing', { code: 'holdfast_quota_wait' })]).run(x);
    expect(x.withheld).toBe('max_wait');
    const y = read();
    await rig([
      busy(),
      refused('attempt', { code: 'holdfast_store_unavailable', verdict: refusedVerdict('store', 1000) }),
    ]).run(y);
    expect(y.withheld).toBe('interrupted');
  });
});

describe('discarded answers', () => {
  test('are given up before the wait, not after it', async () => {
    const { body, discarded } = stream();
    const { stacked, clock } = rig([answered(503, { verdict: transient(), body }), ok]);
    const ending = stacked(read());
    await clock.settle();
    expect(discarded()).toBe(1);
    await clock.advance(10_000);
    expect(await ending).toBe(ok);
  });

  test('are not passed on when the wait is cut short', async () => {
    const { body } = stream();
    const { stacked, clock } = rig([answered(503, { verdict: transient(), body }), ok]);
    const x = read();
    const ending = stacked(x);
    await clock.settle();
    x.cancel.abort('shutdown');
    expect(await ending).toMatchObject({
      kind: 'refused',
      code: 'holdfast_overloaded',
      verdict: { reason: 'status_503' },
    });
  });

  test('stay untouched when there is no retry', async () => {
    const { body, discarded } = stream();
    const outcome = answered(503, { verdict: transient({ retryAfterMs: 90_000 }), body });
    expect(await rig([outcome]).run(read(), 0)).toBe(outcome);
    expect(discarded()).toBe(0);
  });
});

describe('§3: the caller', () => {
  for (const [reason, withheld] of [
    ['client_gone', 'interrupted'],
    ['shutdown', 'interrupted'],
    ['deadline', 'deadline'],
  ] as const) {
    test(`ends the wait at once with the last outcome on ${reason}`, async () => {
      const { stacked, clock, sentAtMs, metrics } = rig([busy()]);
      const x = read();
      const ending = stacked(x);
      await clock.advance(200);
      x.cancel.abort(reason);
      expect(await ending).toMatchObject({ kind: 'answered', status: 503 });
      expect(sentAtMs).toHaveLength(1);
      expect(x).toMatchObject({ withheld, waitedMs: 200, pendingWait: null });
      expect(clock.pending).toBe(0);
      expect(getEventListeners(x.cancel.signal, 'abort')).toHaveLength(0);
      expect((await metrics.retries.get()).values).toEqual([]);
    });
  }

  test('is not waited for when it left during the attempt', async () => {
    const x = exchange();
    x.cancel.abort('client_gone');
    const { run, sentAtMs } = rig([busy()]);
    await run(x, 0);
    expect(sentAtMs).toHaveLength(1);
    expect(x.withheld).toBe('interrupted');
  });
});

describe('§3: budget', () => {
  test('runs out at the floor when nothing but failures come: the last answer goes out', async () => {
    const { stacked, clock, sentAtMs } = rig([busy()], { random: () => 0 });
    const endings = Array.from({ length: 40 }, () => read()).map(async (x) => ({ x, outcome: await stacked(x) }));
    await clock.advance(500);
    const all = await Promise.all(endings);
    // 40 requests pay 8, the floor of the window is 10.
    expect(sentAtMs).toHaveLength(40 + 18);
    expect(all.filter(({ x }) => x.withheld === 'budget').length).toBeGreaterThanOrEqual(22);
    expect(all.every(({ outcome }) => outcome.kind === 'answered')).toBe(true);
  });

  test('is refilled by success: passing faults are repaired without limit', async () => {
    const failing = busy();
    const passing: Service = (x) => Promise.resolve(noteAttempt(x, x.attempts.length === 0 ? failing : ok));
    const clock = new VirtualClock();
    const stacked = retry({
      clock,
      random: () => 0,
      events: recordedEvents().events,
      credentials: { reread: () => Promise.resolve(null) },
      waiting: new WaitingRoom(() => 100),
    })(passing);
    for (let i = 0; i < 300; i += 1) {
      const ending = stacked(read());
      await clock.advance(0);
      expect(await ending).toBe(ok);
    }
  });

  test('is refunded for a retry that was cancelled or refused unsent', async () => {
    const { clock, service } = scripted(busy());
    const inner: Service = (x) => (x.attempts.length === 0 ? service(x) : Promise.resolve(refused('breaker')));
    const stacked = retry({
      clock,
      random: () => 0.5,
      events: recordedEvents().events,
      credentials: { reread: () => Promise.resolve(null) },
      waiting: new WaitingRoom(() => 100),
    })(inner);
    for (let i = 0; i < 50; i += 1) {
      const x = read();
      const ending = stacked(x);
      await clock.settle();
      if (i % 2 === 0) x.cancel.abort('client_gone');
      await clock.advance(i % 2 === 0 ? 0 : 500);
      await ending;
      expect(x.withheld).toBe(i % 2 === 0 ? 'interrupted' : 'breaker');
    }
  });

  test('is not asked for the first repeat of what was never sent', async () => {
    const stingy = policy({ operationClass: 'read', retryBudget: { ratio: 0, windowMs: 10_000, floorPerSecond: 0 } });
    const x = read({ policy: stingy });
    const { run, sentAtMs } = rig([failed('connect')]);
    await run(x);
    expect(sentAtMs).toHaveLength(2);
    expect(x.withheld).toBe('budget');
  });

  test('takes no deposit from a request that was refused', async () => {
    const stingy = policy({ operationClass: 'read', retryBudget: { ratio: 1, windowMs: 10_000, floorPerSecond: 0 } });
    const { clock, service } = scripted(busy());
    let open = true;
    const inner: Service = (x) => (open ? Promise.resolve(refused('breaker')) : service(x));
    const stacked = retry({
      clock,
      random: () => 0,
      events: recordedEvents().events,
      credentials: { reread: () => Promise.resolve(null) },
      waiting: new WaitingRoom(() => 100),
    })(inner);
    for (let i = 0; i < 20; i += 1) await stacked(read({ policy: stingy }));
    open = false;
    const x = read({ policy: stingy });
    const ending = stacked(x);
    await clock.advance(100);
    await ending;
    expect(x.attempts).toHaveLength(2);
    expect(x.withheld).toBe('budget');
  });
});

describe('§3: 401', () => {
  const rejected = answered(401, { verdict: transient({ class: 'unauthorized', reason: 'status_401' }) });

  test('goes out at once when the callers bring their credentials', async () => {
    const { run, sentAtMs, named } = rig([rejected]);
    expect(await run(read(), 0)).toBe(rejected);
    expect(sentAtMs).toHaveLength(1);
    expect(named('credential_rejected')).toMatchObject([{ changed: null }]);
  });

  test('is repeated once, at once, when our own credential changed', async () => {
    let reads = 0;
    const credentials = { reread: () => Promise.resolve(++reads === 1) };
    const { run, sentAtMs, named } = rig([rejected, ok], { credentials });
    expect(await run(read(), 0)).toBe(ok);
    expect(sentAtMs).toEqual([1000, 1000]);
    expect(named('credential_rejected')).toMatchObject([{ changed: true }]);
  });

  test('ends when the credential did not change, and when the new one is rejected as well', async () => {
    const same = rig([rejected], { credentials: { reread: () => Promise.resolve(false) } });
    expect(await same.run(read(), 0)).toBe(rejected);
    expect(same.sentAtMs).toHaveLength(1);
    const changed = rig([rejected], { credentials: { reread: () => Promise.resolve(true) } });
    expect(await changed.run(read(), 0)).toBe(rejected);
    expect(changed.sentAtMs).toHaveLength(2);
    expect(changed.named('credential_rejected')).toMatchObject([{ changed: true }, { changed: false }]);
  });

  test('is repeated for every call that was sent before the change, after one look for all', async () => {
    const { clock } = scripted(ok);
    let reads = 0;
    const credentials = {
      reread: async () => {
        reads += 1;
        await clock.settle();
        return true;
      },
    };
    const inner: Service = (x) =>
      Promise.resolve(noteAttempt(x, x.attempts.length === 0 ? rejected : ok, { startedAtMs: clock.wall() }));
    const stacked = retry({
      clock,
      random: () => 0,
      events: recordedEvents().events,
      credentials,
      waiting: new WaitingRoom(() => 100),
    })(inner);
    const endings = await Promise.all([read(), read(), read()].map((x) => stacked(x)));
    expect(endings).toEqual([ok, ok, ok]);
    expect(reads).toBe(1);
  });
});

describe('mode observe', () => {
  const observed = policy({ operationClass: 'read', mode: 'observe' });

  test('repeats nothing and says what it would have done', async () => {
    const { run, sentAtMs, named } = rig([busy()]);
    const x = read({ policy: observed, deadlineAtMs: Infinity });
    expect(await run(x, 0)).toMatchObject({ kind: 'answered', status: 503 });
    expect(sentAtMs).toHaveLength(1);
    expect(named('would')).toMatchObject([{ action: 'retry after 500 ms (status_503)' }]);
    expect(x.withheld).toBeNull();
  });

  test('counts what enforce would have withheld', async () => {
    const { run, named } = rig([busy({ retryAfterMs: 90_000 })]);
    await run(read({ policy: observed, deadlineAtMs: Infinity }), 0);
    expect(named('retry_withheld')).toMatchObject([{ reason: 'max_wait' }]);
  });
});

test('10,000 retries leave no timer and no listener behind', async () => {
  const { events } = recordedEvents('silent');
  const clock = new VirtualClock();
  const busyNow = busy();
  const inner: Service = (x) => Promise.resolve(noteAttempt(x, busyNow, { durationMs: 0 }));
  const generous = { ratio: 1, windowMs: 10_000, floorPerSecond: 1e6 };
  const endless = policy({ operationClass: 'read', retryBudget: generous, ...patient });
  const stacked = retry({
    clock,
    random: () => 0.001,
    events,
    credentials: { reread: () => Promise.resolve(null) },
    waiting: new WaitingRoom(() => 100),
  })(inner);
  const exchanges = Array.from({ length: 100 }, () => read({ policy: endless, deadlineAtMs: Infinity }));
  const endings = exchanges.map((x) => stacked(x));
  while (exchanges.some((x) => x.attempts.length <= 100)) await clock.advance(30);
  expect(exchanges.reduce((sum, x) => sum + x.attempts.length - 1, 0)).toBeGreaterThanOrEqual(10_000);
  expect(clock.pending).toBe(100);
  for (const x of exchanges) {
    expect(getEventListeners(x.cancel.signal, 'abort').length).toBeLessThanOrEqual(1);
    x.cancel.abort('shutdown');
  }
  await Promise.all(endings);
  expect(clock.pending).toBe(0);
  for (const x of exchanges) expect(getEventListeners(x.cancel.signal, 'abort')).toHaveLength(0);
});
