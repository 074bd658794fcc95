import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { AnswerStream, Outcome } from '../../src/core/outcome.ts';
import type { Limits } from '../../src/core/policy.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { bulkhead } from '../../src/layers/bulkhead.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const LIMITS: Limits = {
  inFlight: 100,
  waiting: 100,
  perEndpoint: 2,
  requestBodyBytes: 1,
  bufferedBytes: 1,
  repeatableBodyBytes: 1,
  errorBodyBytes: 1,
  storedAnswerBytes: 1,
};

function rig(limits: Partial<Limits> = {}) {
  const clock = new VirtualClock();
  const inner = new HandDriven();
  const { events, named } = recordedEvents();
  let current = { ...LIMITS, ...limits };
  const waiting = new WaitingRoom(() => current.waiting);
  const service = bulkhead({ clock, limits: () => current, waiting, events })(inner.service);
  const call = (overrides: Partial<Exchange> = {}) => {
    const x = exchange({ receivedAtMs: clock.now(), ...overrides });
    return { exchange: x, outcome: service(x) };
  };
  const reload = (perEndpoint: number | null): void => {
    current = { ...current, perEndpoint };
  };
  return { clock, inner, waiting, named, call, reload };
}

const end = (held: { answer: (outcome: Outcome) => void } | undefined): void => held?.answer(answered(200));

describe('limits.per_endpoint', () => {
  it('lets so many calls of an endpoint in, and the next when one has ended, by urgency and arrival', async () => {
    const r = rig();
    r.call();
    r.call();
    const late = r.call({ id: 'late', receivedAtMs: 5 });
    r.call({ id: 'early', receivedAtMs: 4 });
    r.call({ id: 'urgent', receivedAtMs: 6, priority: 0 });
    await r.clock.advance(300);
    expect(r.inner.calls).toHaveLength(2);
    expect(r.waiting.taken).toBe(3);
    for (let i = 0; i < 3; i++) {
      end(r.inner.calls[i]);
      await r.clock.settle();
    }
    expect(r.inner.calls.slice(2).map((held) => held.exchange.id)).toEqual(['urgent', 'early', 'late']);
    expect(late.exchange.pendingWait).toEqual({ ms: 300, reason: 'bulkhead' });
    expect(r.waiting.taken).toBe(0);
    expect(r.clock.pending).toBe(0);
  });

  it('counts each endpoint for itself', async () => {
    const r = rig();
    for (const name of ['GET /a', 'GET /a', 'GET /a', 'GET /b', 'GET /b']) r.call({ policy: policy({ name }) });
    await r.clock.settle();
    expect(r.inner.calls.map((held) => held.exchange.policy.name)).toEqual(['GET /a', 'GET /a', 'GET /b', 'GET /b']);
  });

  it('refuses shortly before the deadline, and leaves the line', async () => {
    const r = rig();
    r.call();
    r.call();
    const { outcome } = r.call({ deadlineAtMs: r.clock.now() + 1000 });
    await r.clock.advance(980);
    expect(await outcome).toMatchObject({
      kind: 'refused',
      by: 'bulkhead',
      code: 'holdfast_overloaded',
      retryAfterMs: 1000,
      verdict: { effect: 'none' },
    });
    expect([r.waiting.taken, r.clock.pending]).toEqual([0, 0]);
  });

  it('refuses at once when the waiting room is full', async () => {
    const r = rig({ waiting: 0 });
    r.call();
    r.call();
    expect(await r.call().outcome).toMatchObject({ code: 'holdfast_overloaded', by: 'bulkhead' });
  });

  it('counts a call until its stream has run dry', async () => {
    const r = rig({ perEndpoint: 1 });
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const stream = { done } as unknown as AnswerStream;
    const first = r.call();
    await r.clock.settle();
    r.inner.last.answer(answered(200, { body: { kind: 'stream', stream } }));
    await first.outcome;
    r.call();
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(1);
    resolve();
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(2);
  });

  it('obeys a reload: a raised limit, and none, let those go who wait', async () => {
    const r = rig({ perEndpoint: 1 });
    for (let i = 0; i < 5; i++) r.call();
    await r.clock.settle();
    r.reload(2);
    end(r.inner.calls[0]);
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(3);
    r.reload(null);
    end(r.inner.calls[1]);
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(5);
  });

  it('frees its place when the inner service throws', async () => {
    const clock = new VirtualClock();
    const { events } = recordedEvents();
    const waiting = new WaitingRoom(() => 1);
    const limits = { ...LIMITS, perEndpoint: 1 };
    const broken = bulkhead({ clock, limits: () => limits, waiting, events })(() => Promise.reject(new Error('bug')));
    for (let i = 0; i < 3; i++) await expect(broken(exchange())).rejects.toThrow('bug');
  });

  it('mode observe: holds nobody back and says whom it would have', async () => {
    const r = rig({ perEndpoint: 1 });
    for (let i = 0; i < 3; i++) r.call({ policy: policy({ mode: 'observe' }) });
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(3);
    expect(r.named('would').map((line) => line['layer'])).toEqual(['bulkhead', 'bulkhead']);
  });
});
