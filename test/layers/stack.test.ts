/**
 * shed, deadline and retry together, around an innermost service that keeps the promises of `attempt` to
 * `beforeSend` (awaited directly before every dispatch, a rejection means nothing sent) and is driven by hand.
 */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { compose, type Layer, type Service } from '../../src/core/service.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { deadline } from '../../src/layers/deadline.ts';
import { retry } from '../../src/layers/retry.ts';
import { createShed } from '../../src/layers/shed.ts';
import { failed, noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const limits = {
  inFlight: 100,
  waiting: 20_000,
  perEndpoint: null,
  requestBodyBytes: 1,
  bufferedBytes: 1,
  repeatableBodyBytes: 1,
  errorBodyBytes: 1,
  storedAnswerBytes: 1,
};

function rig(between: Layer[] = []) {
  const clock = new VirtualClock();
  const { events } = recordedEvents();
  const wire = new HandDriven();
  const waiting = new WaitingRoom(() => 100);
  const shed = createShed({ limits: () => limits, events, waiting });
  const innermost: Service = async (x) => {
    try {
      await x.beforeSend?.();
    } catch {
      return refused('attempt', {
        code: 'holdfast_store_unavailable',
        verdict: refusedVerdict('store_unavailable', null),
      });
    }
    return noteAttempt(x, await wire.service(x));
  };
  const layers = [
    shed.layer,
    deadline({ clock, events, waiting }),
    ...between,
    retry({ clock, random: () => 0.5, events, credentials: { reread: () => Promise.resolve(null) }, waiting }),
  ];
  return { clock, wire, shed, waiting, stacked: compose(layers, innermost) };
}

const busy = answered(503, { verdict: transient() });
const idempotent = (overrides: Partial<Exchange> = {}) =>
  exchange({ policy: policy({ operationClass: 'idempotent' }), deadlineAtMs: 11_000, ...overrides });

describe('design, rule 0: beforeSend', () => {
  test('is awaited before every dispatch, after the wait', async () => {
    const { clock, wire, stacked } = rig();
    const asked: number[] = [];
    const x = idempotent({
      beforeSend: () => {
        asked.push(clock.now());
        return Promise.resolve();
      },
    });
    const ending = stacked(x);
    await clock.settle();
    wire.last.answer(busy);
    await clock.advance(500);
    wire.last.answer(answered(200));
    expect(await ending).toMatchObject({ status: 200 });
    expect(asked).toEqual([1000, 1500]);
  });

  test('that fails on a retry sends nothing: the answer before it goes out', async () => {
    const { clock, wire, stacked, shed } = rig();
    let times = 0;
    const x = idempotent({ beforeSend: () => (++times === 1 ? Promise.resolve() : Promise.reject(new Error('disk'))) });
    const ending = stacked(x);
    await clock.settle();
    wire.last.answer(busy);
    await clock.advance(500);
    expect(await ending).toMatchObject({ status: 503 });
    expect(wire.calls).toHaveLength(1);
    expect(x.withheld).toBe('interrupted');
    expect(shed.inFlight()).toBe(0);
  });

  test('counts as deadline: a commit that hangs is answered in time, and nobody claims that nothing happened', async () => {
    const { clock, wire, stacked } = rig();
    const ending = stacked(idempotent({ beforeSend: () => new Promise(() => {}) }));
    await clock.advance(10_000);
    expect(await ending).toMatchObject({ code: 'holdfast_outcome_unknown' });
    expect(wire.calls).toHaveLength(0);
  });
});

describe('design, rule 0: settled', () => {
  for (const reason of ['deadline', 'client_gone'] as const) {
    test(`on ${reason} the write under way finishes, is not repeated, and counts as in flight until then`, async () => {
      const { clock, wire, stacked, shed } = rig();
      const x = idempotent();
      const ending = stacked(x);
      await clock.advance(reason === 'deadline' ? 10_000 : 100);
      if (reason === 'client_gone') x.cancel.abort('client_gone');
      await clock.advance(0);
      const outcome = await ending;
      expect(outcome).toMatchObject({ code: 'holdfast_outcome_unknown', verdict: { reason, effect: 'unknown' } });
      expect(shed.inFlight()).toBe(1);

      wire.last.answer(busy);
      expect(await outcome.settled).toMatchObject({ kind: 'answered', status: 503 });
      await clock.advance(60_000);
      expect(wire.calls).toHaveLength(1);
      expect(x.withheld).toBe(reason === 'deadline' ? 'deadline' : 'interrupted');
      expect(shed.inFlight()).toBe(0);
      expect(clock.pending).toBe(0);
      expect(getEventListeners(x.cancel.signal, 'abort')).toHaveLength(0);
      expect(x.cancel.listening).toBe(0);
    });
  }

  test('outer layers see the true ending of every early answer', async () => {
    const records: Outcome[] = [];
    const { clock, wire, stacked } = rig();
    const ledger: Layer = (inner) => async (x) => {
      const outcome = await inner(x);
      (outcome.settled ?? Promise.resolve(outcome)).then((truth) => records.push(truth)).catch(() => {});
      return outcome;
    };
    const ending = ledger(stacked)(idempotent());
    await clock.advance(10_000);
    await ending;
    expect(records).toEqual([]);
    wire.last.answer(answered(201));
    await clock.settle();
    expect(records).toMatchObject([{ status: 201 }]);
  });
});

test('a wait that the client leaves ends at once, without a second attempt', async () => {
  const { clock, wire, stacked, shed } = rig();
  const x = idempotent();
  const ending = stacked(x);
  await clock.settle();
  wire.last.answer(busy);
  await clock.advance(100);
  x.cancel.abort('client_gone');
  await clock.advance(0);
  expect((await ending).settled).toBeUndefined();
  expect(wire.calls).toHaveLength(1);
  expect(x.withheld).toBe('interrupted');
  expect(shed.inFlight()).toBe(0);
});

const twice: Layer = (inner) => async (x) => {
  const outcome = await inner(x);
  return outcome.verdict.class === 'ok' ? outcome : inner(x);
};

test('a layer that calls inward twice restarts nothing: attempts and retries go on counting', async () => {
  const { clock, wire, stacked } = rig([twice]);
  const retryPolicy = { maxRetries: 2, baseDelayMs: 10, maxDelayMs: 10, jitter: 'full', maxWaitMs: 1000 } as const;
  const x = idempotent({ policy: policy({ operationClass: 'idempotent', retry: retryPolicy }) });
  const ending = stacked(x);
  for (let i = 0; i < 8; i += 1) {
    await clock.advance(10);
    wire.last.answer(i === 0 ? failed('reset') : busy);
  }
  await clock.advance(10);
  expect(await ending).toMatchObject({ status: 503 });
  expect(x.attempts.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
});
