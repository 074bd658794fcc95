/** `when_open: wait`: the retry budget delays instead of refusing (semantics §5). */
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { retry } from '../../src/layers/retry.ts';
import { noteAttempt, transient } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const PATIENT = policy({
  operationClass: 'read',
  retry: { maxRetries: Infinity, baseDelayMs: 100, maxDelayMs: 5000, jitter: 'none', maxWaitMs: 60_000 },
  retryBudget: { ratio: 0, windowMs: 10_000, floorPerSecond: 1 },
  breaker: { ...policy().breaker, whenOpen: 'wait' },
});

function rig(places = 100) {
  const clock = new VirtualClock();
  const inner = new HandDriven();
  const waiting = new WaitingRoom(() => places);
  const recorded = recordedEvents();
  const layer = retry({
    clock,
    random: () => 0.5,
    events: recorded.events,
    credentials: { reread: () => Promise.resolve(null) },
    waiting,
  });
  const service = layer(async (x) => noteAttempt(x, await inner.service(x)));
  const call = (overrides: Partial<Exchange> = {}) => {
    const x = exchange({
      policy: PATIENT,
      receivedAtMs: clock.now(),
      deadlineAtMs: clock.now() + 600_000,
      ...overrides,
    });
    return { exchange: x, outcome: service(x) };
  };
  return { ...recorded, clock, inner, waiting, call };
}

const busy = (): Outcome => answered(503, { verdict: transient() });

/** `count` calls that fail at once, and have backed off. */
async function failing(r: ReturnType<typeof rig>, count: number) {
  const calls = Array.from({ length: count }, (_, i) => r.call({ id: `c${i}`, receivedAtMs: i }));
  await r.clock.settle();
  for (const held of r.inner.calls.slice(-count)) held.answer(busy());
  await r.clock.advance(100);
  return calls;
}

describe('§5: when_open: wait, the budget delays', () => {
  it('sends ten retries of the floor at once and one more as each second of the window passes, oldest first', async () => {
    const r = rig();
    const calls = await failing(r, 14);
    expect(r.inner.calls).toHaveLength(14 + 10);
    expect(r.waiting.taken).toBe(4);
    await r.clock.advance(12_000);
    expect(r.inner.calls.slice(24).map((held) => held.exchange.id)).toEqual(['c10', 'c11', 'c12', 'c13']);
    expect(calls[10]?.exchange.pendingWait).toMatchObject({ reason: 'budget' });
    expect(r.waiting.taken).toBe(0);
    expect((await r.metrics.retriesWithheld.get()).values).toEqual([]);
  });

  it('lets two go for each success, so that the flow doubles after an outage', async () => {
    const r = rig();
    await failing(r, 30);
    const from = r.inner.calls.length;
    expect(from).toBe(40);
    for (const held of r.inner.calls.slice(30, 32)) held.answer(answered(200));
    await r.clock.settle();
    // Two for each success, and one for the price that each gives back.
    expect(r.inner.calls.length - from).toBe(6);
    for (const held of r.inner.calls.slice(from)) held.answer(answered(200));
    await r.clock.settle();
    expect(r.inner.calls.length - from).toBeGreaterThanOrEqual(18);
  });

  it('ends with the last answer when the deadline comes first, and says that it was the budget', async () => {
    const r = rig();
    await failing(r, 10);
    const { exchange: x, outcome } = r.call({ deadlineAtMs: r.clock.now() + 3000 });
    await r.clock.settle();
    r.inner.last.answer(busy());
    await r.clock.advance(3000);
    expect(await outcome).toMatchObject({ kind: 'answered', status: 503 });
    expect(x.withheld).toBe('budget');
    expect(r.waiting.taken).toBe(0);
  });

  it('leaves no wait behind a client that has gone', async () => {
    const r = rig();
    const calls = await failing(r, 12);
    calls[11]?.exchange.cancel.abort('client_gone');
    await calls[11]?.outcome;
    expect(calls[11]?.exchange.withheld).toBe('interrupted');
    expect(r.waiting.taken).toBe(1);
  });

  it('does not wait when the waiting room is full', async () => {
    const r = rig(1);
    const calls = await failing(r, 12);
    await calls[11]?.outcome;
    expect(calls[11]?.exchange.withheld).toBe('budget');
  });

  it('a failed probe that went back to its breaker counts as no retry', async () => {
    const r = rig();
    const limited = { ...PATIENT, retry: { ...PATIENT.retry, maxRetries: 1 } };
    const { exchange: x, outcome } = r.call({ policy: limited });
    await r.clock.settle();
    // As the breaker layer does: four attempts as probes inside one call inward.
    for (let i = 0; i < 4; i++) noteAttempt(x, busy());
    x.failedProbes = 4;
    r.inner.last.answer(busy());
    await r.clock.advance(100);
    expect(r.inner.calls).toHaveLength(2);
    r.inner.last.answer(busy());
    await outcome;
    expect(x.withheld).toBe('max_retries');
  });
});
