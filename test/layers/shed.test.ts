import { describe, expect, test } from 'vitest';
import type { AnswerStream, Outcome } from '../../src/core/outcome.ts';
import type { Limits } from '../../src/core/policy.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { createShed } from '../../src/layers/shed.ts';
import { refused } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';

const limits: Limits = {
  inFlight: 2,
  waiting: 20_000,
  perEndpoint: null,
  requestBodyBytes: 1,
  bufferedBytes: 1,
  repeatableBodyBytes: 1,
  errorBodyBytes: 1,
  storedAnswerBytes: 1,
};

function rig() {
  const recorded = recordedEvents();
  const inner = new HandDriven();
  let current = limits;
  const waiting = new WaitingRoom(() => 100);
  const shed = createShed({ limits: () => current, events: recorded.events, waiting });
  const reload = (inFlight: number): void => {
    current = { ...limits, inFlight };
  };
  return { ...recorded, inner, shed, waiting, reload, stacked: shed.layer(inner.service) };
}

test('refuses beyond the limit at once, says when to come back, and asks nobody inside', async () => {
  const it = rig();
  void it.stacked(exchange());
  void it.stacked(exchange());
  expect(await it.stacked(exchange())).toMatchObject({
    kind: 'refused',
    by: 'shed',
    code: 'holdfast_overloaded',
    retryAfterMs: 1000,
    verdict: { effect: 'none', reason: 'overloaded', countsAgainstBreaker: false },
  });
  expect(it.inner.calls).toHaveLength(2);
  expect(it.shed.inFlight()).toBe(2);
  expect(it.shed.inFlight()).toBe(2);
  expect((await it.metrics.shed.get()).values[0]?.value).toBe(1);
});

test('takes calls again as soon as one has ended', async () => {
  const it = rig();
  const first = it.stacked(exchange());
  void it.stacked(exchange());
  it.inner.calls[0]?.answer(answered(200));
  await first;
  expect(it.shed.inFlight()).toBe(1);
  void it.stacked(exchange());
  expect(it.inner.calls).toHaveLength(3);
  expect(it.shed.inFlight()).toBe(2);
});

test('those that waited and were let go together leave the room in flight to newcomers', async () => {
  const it = rig();
  const herd = Array.from({ length: 50 }, () => exchange());
  for (const x of herd) {
    void it.stacked(x);
    expect(it.waiting.enter(x)).toBe(true);
  }
  for (const _ of herd) it.waiting.leave();
  expect(it.shed.inFlight()).toBe(50);
  expect(it.shed.full()).toBe(false);
  for (const _ of [1, 2]) void it.stacked(exchange());
  expect(it.inner.calls).toHaveLength(52);
  expect(await it.stacked(exchange())).toMatchObject({ code: 'holdfast_overloaded' });
});

test('obeys a limit that a reload changed', async () => {
  const it = rig();
  it.reload(0);
  expect(await it.stacked(exchange())).toMatchObject({ code: 'holdfast_overloaded' });
});

test('in mode observe only says that it would have refused', async () => {
  const it = rig();
  it.reload(0);
  const ending = it.stacked(exchange({ policy: policy({ mode: 'observe' }) }));
  it.inner.last.answer(answered(200));
  expect(await ending).toMatchObject({ status: 200 });
  expect(it.named('would')).toMatchObject([{ action: 'refuse as overloaded' }]);
  expect(it.shed.inFlight()).toBe(0);
});

describe('a call counts until it has really ended', () => {
  test('after an early answer until it is settled', async () => {
    const it = rig();
    const ending = it.stacked(exchange());
    const { promise: settled, resolve: settle } = Promise.withResolvers<Outcome>();
    it.inner.last.answer({ ...refused('deadline'), settled });
    await ending;
    expect(it.shed.inFlight()).toBe(1);
    settle(answered(200));
    await settled;
    await new Promise(setImmediate);
    expect(it.shed.inFlight()).toBe(0);
    expect(it.shed.inFlight()).toBe(0);
  });

  test('while its answer flows', async () => {
    const it = rig();
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const stream: AnswerStream = { start() {}, pause() {}, resume() {}, discard() {}, done };
    const ending = it.stacked(exchange());
    it.inner.last.answer(answered(200, { body: { kind: 'stream', stream } }));
    await ending;
    expect(it.shed.inFlight()).toBe(1);
    finish();
    await new Promise(setImmediate);
    expect(it.shed.inFlight()).toBe(0);
  });

  test('and no longer when a bug ended it', async () => {
    const recorded = recordedEvents();
    const shed = createShed({ limits: () => limits, events: recorded.events, waiting: new WaitingRoom(() => 100) });
    await expect(shed.layer(() => Promise.reject(new Error('bug')))(exchange())).rejects.toThrow('bug');
    expect(shed.inFlight()).toBe(0);
  });
});

test('counts a run that no client waits for, and refuses none of them', async () => {
  const it = rig();
  const entered = it.shed.counting(it.inner.service);
  const runs = [entered(exchange()), entered(exchange()), entered(exchange())];
  expect(it.shed.inFlight()).toBe(3);
  expect(await it.stacked(exchange())).toMatchObject({ code: 'holdfast_overloaded' });
  for (const held of it.inner.calls) held.answer(answered(200));
  await Promise.all(runs);
  expect(it.shed.inFlight()).toBe(0);
});
