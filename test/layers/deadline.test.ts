import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type Exchange, uploadEnded } from '../../src/core/exchange.ts';
import type { AnswerStream, Outcome } from '../../src/core/outcome.ts';
import type { Service } from '../../src/core/service.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { deadline } from '../../src/layers/deadline.ts';
import { sleep } from '../../src/ops/clock.ts';
import { failed, noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const DEADLINE_AT_MS = 11_000;

function rig(service?: (clock: VirtualClock) => Service) {
  const clock = new VirtualClock();
  const recorded = recordedEvents();
  const inner = new HandDriven();
  const waiting = new WaitingRoom(() => 1);
  const stacked = deadline({ clock, events: recorded.events, waiting })(service?.(clock) ?? inner.service);
  return { ...recorded, clock, inner, waiting, stacked };
}

const write = (overrides: Partial<Exchange> = {}) => exchange({ deadlineAtMs: DEADLINE_AT_MS, ...overrides });
const read = (overrides: Partial<Exchange> = {}) =>
  write({ method: 'GET', policy: policy({ operationClass: 'read' }), ...overrides });
const timedOut = failed('timeout', { verdict: transient({ reason: 'timeout' }) });
const lost = failed('timeout', { verdict: transient({ effect: 'unknown', repeatable: false }) });

function expectNothingLeft(clock: VirtualClock, x: Exchange): void {
  expect(clock.pending).toBe(0);
  expect(getEventListeners(x.cancel.signal, 'abort')).toHaveLength(0);
  expect(x.cancel.listening).toBe(0);
}

function streamed() {
  let discarded = 0;
  const stream: AnswerStream = {
    start() {},
    pause() {},
    resume() {},
    discard: () => void (discarded += 1),
    done: Promise.resolve(),
  };
  return { outcome: answered(200, { body: { kind: 'stream', stream } }), discarded: () => discarded };
}

test('passes an outcome on untouched and leaves nothing behind', async () => {
  const { stacked, inner, clock } = rig();
  const x = write();
  const ending = stacked(x);
  expect(clock.pending).toBe(1);
  const outcome = answered(200);
  inner.last.answer(outcome);
  expect(await ending).toBe(outcome);
  expectNothingLeft(clock, x);
});

test('§10: stands still while a streamed body is written, and goes on with the time that was left', async () => {
  const { stacked, clock } = rig();
  const x = write();
  const ending = stacked(x);
  await clock.advance(4000);
  x.uploadingSinceMs = clock.now();
  await clock.advance(500_000);
  uploadEnded(x, clock.now());
  const left = x.deadlineAtMs - clock.now();
  expect(left).toBe(6000);
  await clock.advance(left - 1);
  expect(x.cancel.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(await ending).toMatchObject({ kind: 'refused', by: 'deadline' });
});

test('passes a bug on', async () => {
  const { stacked, clock } = rig(() => () => Promise.reject(new Error('bug')));
  const x = write();
  await expect(stacked(x)).rejects.toThrow('bug');
  expectNothingLeft(clock, x);
});

test('sets no timer for a call without a deadline', async () => {
  const { stacked, clock, inner } = rig();
  const ending = stacked(write({ deadlineAtMs: Infinity }));
  expect(clock.pending).toBe(0);
  inner.last.answer(answered(200));
  await ending;
});

describe('§3: when the time is over', () => {
  test('a wait inside ends with it, and nothing was applied', async () => {
    const { stacked, clock } = rig((c) => async (x) => {
      await sleep(c, 600_000, x.cancel.signal);
      return refused('pacing', { verdict: refusedVerdict('quota_wait', 7000) });
    });
    const x = write();
    const ending = stacked(x);
    await clock.advance(10_000);
    const outcome = await ending;
    expect(outcome).toMatchObject({
      kind: 'refused',
      by: 'deadline',
      code: 'holdfast_deadline',
      retryAfterMs: 7000,
      verdict: { effect: 'none', repeatable: true, reason: 'deadline' },
    });
    expect(outcome.settled).toBeUndefined();
    expect(x.cancel.signal.reason).toBe('deadline');
    expectNothingLeft(clock, x);
  });

  test('an answer that comes in the same turn is used', async () => {
    const { stacked, clock } = rig((c) => async (x) => {
      await sleep(c, 600_000, x.cancel.signal);
      return answered(503, { verdict: transient() });
    });
    const ending = stacked(write());
    await clock.advance(10_000);
    expect(await ending).toMatchObject({ kind: 'answered', status: 503 });
  });

  test('a write under way is unknown, may finish, and its true ending follows', async () => {
    const { stacked, clock, inner } = rig();
    const x = write();
    const ending = stacked(x);
    await clock.advance(10_000);
    const outcome = await ending;
    expect(outcome).toMatchObject({
      code: 'holdfast_outcome_unknown',
      verdict: { effect: 'unknown', repeatable: false },
    });
    inner.last.answer(answered(200));
    expect(await outcome.settled).toMatchObject({ kind: 'answered', status: 200 });
    expectNothingLeft(clock, x);
  });

  test('a write whose earlier attempt is unknown stays unknown, though nothing runs any more', async () => {
    const { stacked, clock } = rig((c) => async (x) => {
      const outcome = noteAttempt(x, lost);
      await sleep(c, 600_000, x.cancel.signal);
      return outcome;
    });
    const ending = stacked(write());
    await clock.advance(10_000);
    const outcome = await ending;
    expect(outcome).toMatchObject({ code: 'holdfast_outcome_unknown', verdict: { effect: 'unknown' } });
    expect(outcome.settled).toBeUndefined();
  });

  test('a write of which every attempt was refused by the upstream has applied nothing', async () => {
    const { stacked, clock } = rig((c) => async (x) => {
      const outcome = noteAttempt(x, failed('connect'));
      await sleep(c, 600_000, x.cancel.signal);
      return outcome;
    });
    const ending = stacked(write());
    await clock.advance(10_000);
    expect(await ending).toMatchObject({ code: 'holdfast_deadline', verdict: { effect: 'none' } });
  });

  test('a read whose attempts all timed out is an upstream timeout without effect', async () => {
    const { stacked, clock } = rig((c) => async (x) => {
      noteAttempt(x, timedOut);
      await sleep(c, 600_000, x.cancel.signal);
      return noteAttempt(x, timedOut);
    });
    const ending = stacked(read());
    await clock.advance(10_000);
    expect(await ending).toMatchObject({
      code: 'holdfast_upstream_timeout',
      verdict: { effect: 'none', repeatable: true },
    });
  });

  test('a read that hangs on the wire is an upstream timeout as well', async () => {
    const { stacked, clock } = rig();
    const ending = stacked(read());
    await clock.advance(10_000);
    expect(await ending).toMatchObject({ code: 'holdfast_upstream_timeout' });
  });

  test('a read with other failures, or without any attempt, is past its deadline', async () => {
    const mixed = rig((c) => async (x) => {
      noteAttempt(x, failed('reset'));
      await sleep(c, 600_000, x.cancel.signal);
      return noteAttempt(x, timedOut);
    });
    const ending = mixed.stacked(read());
    await mixed.clock.advance(10_000);
    expect(await ending).toMatchObject({ code: 'holdfast_deadline' });

    const waiting = rig((c) => async (x) => {
      await sleep(c, 600_000, x.cancel.signal);
      return refused('pacing');
    });
    const other = waiting.stacked(read());
    await waiting.clock.advance(10_000);
    expect(await other).toMatchObject({ code: 'holdfast_deadline' });
  });

  test('a call that arrives too late is not sent', async () => {
    const { stacked, inner } = rig();
    expect(await stacked(write({ deadlineAtMs: 1000 }))).toMatchObject({ code: 'holdfast_deadline' });
    expect(inner.calls).toHaveLength(0);
  });
});

describe('late endings', () => {
  test('give their stream up', async () => {
    const { stacked, clock, inner } = rig();
    const ending = stacked(write());
    await clock.advance(10_000);
    const { outcome, discarded } = streamed();
    inner.last.answer(outcome);
    expect(await (await ending).settled).toBe(outcome);
    expect(discarded()).toBe(1);
  });

  test('that are early themselves are waited for', async () => {
    const { stacked, clock, inner } = rig();
    const ending = stacked(write());
    await clock.advance(10_000);
    const truth = answered(200);
    inner.last.answer({ ...refused('reconcile'), settled: Promise.resolve<Outcome>(truth) });
    expect(await (await ending).settled).toBe(truth);
  });

  test('that are bugs are reported and settle as unknown', async () => {
    const { stacked, clock, named } = rig((c) => async () => {
      await sleep(c, 20_000, new AbortController().signal);
      throw new Error('late bug');
    });
    const ending = stacked(write());
    await clock.advance(30_000);
    expect(await (await ending).settled).toMatchObject({ code: 'holdfast_outcome_unknown' });
    expect(named('bug')).toMatchObject([{ where: 'behind the deadline' }]);
  });
});

describe('§3: when the client is gone', () => {
  test('a running write is answered at once as unknown and recorded when it ends', async () => {
    const { stacked, clock, inner } = rig();
    const x = write();
    const ending = stacked(x);
    await clock.advance(100);
    x.cancel.abort('client_gone');
    await clock.advance(0);
    const outcome = await ending;
    expect(outcome).toMatchObject({ kind: 'refused', verdict: { reason: 'client_gone', effect: 'unknown' } });
    inner.last.answer(answered(201));
    expect(await outcome.settled).toMatchObject({ status: 201 });
    expectNothingLeft(clock, x);
  });

  test('a call that has not started is not sent', async () => {
    const { stacked, inner } = rig();
    const x = write();
    x.cancel.abort('client_gone');
    expect(await stacked(x)).toMatchObject({ verdict: { reason: 'client_gone', effect: 'none' } });
    expect(inner.calls).toHaveLength(0);
  });
});

test('a shutdown lets running attempts finish, but not beyond the deadline', async () => {
  const { stacked, clock, inner } = rig();
  const x = write();
  const ending = stacked(x);
  x.cancel.abort('shutdown');
  await clock.advance(5000);
  const outcome = answered(200);
  inner.last.answer(outcome);
  expect(await ending).toBe(outcome);

  const y = write();
  const other = stacked(y);
  y.cancel.abort('shutdown');
  await clock.advance(10_000);
  expect(await other).toMatchObject({ code: 'holdfast_outcome_unknown' });
  expectNothingLeft(clock, y);
});

test('100,000 calls on one exchange leave no listener and no timer', async () => {
  const ok = answered(200);
  const { stacked, clock } = rig(() => () => Promise.resolve(ok));
  const x = write();
  for (let i = 0; i < 100_000; i += 1) await stacked(x);
  expectNothingLeft(clock, x);
});

test('a place in the waiting room is given back when the call has really ended, not with its early answer', async () => {
  const it = rig();
  const x = write();
  const ending = it.stacked(x);
  expect(it.waiting.enter(x)).toBe(true);
  it.waiting.leave();
  await it.clock.advance(DEADLINE_AT_MS);
  expect(await ending).toMatchObject({ kind: 'refused', by: 'deadline' });
  expect(it.waiting.enter(write())).toBe(false);
  it.inner.last.answer(answered(200));
  await it.clock.settle();
  expect([it.waiting.held, it.waiting.taken]).toEqual([0, 0]);
});
