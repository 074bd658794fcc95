import { describe, expect, it } from 'vitest';
import type { AttemptRecord, Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { resourceOrder } from '../../src/layers/resource-order.ts';
import { record, refused } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const PUT = policy({ name: 'PUT /contacts/{id}', operationClass: 'idempotent' });

function rig(places = 100) {
  const clock = new VirtualClock();
  const inner = new HandDriven();
  const { events, named } = recordedEvents();
  const waiting = new WaitingRoom(() => places);
  const service = resourceOrder({ clock, waiting, events })(inner.service);
  const put = (id: string, overrides: Partial<Exchange> = {}) => {
    const x = exchange({
      id,
      policy: PUT,
      method: 'PUT',
      target: '/contacts/1',
      receivedAtMs: clock.now(),
      ...overrides,
    });
    return { exchange: x, outcome: service(x) };
  };
  const sent = (): string[] => inner.calls.map((held) => held.exchange.id);
  const end = async (id: string, outcome: Outcome = answered(200)): Promise<void> => {
    inner.calls.find((held) => held.exchange.id === id)?.answer(outcome);
    await clock.settle();
  };
  return { clock, inner, waiting, named, put, sent, end };
}

/** An attempt of it was lost; retry is in its backoff. */
function lose({ exchange: x }: { exchange: Exchange }, effect: AttemptRecord['effect'] = 'unknown'): void {
  x.attempts.push(record({ effect }));
}

describe('§2: writes to the same resource wait while one is unknown', () => {
  for (const effect of ['unknown', 'applied'] as const) {
    it(`a write that arrives in the backoff of one whose effect is ${effect} goes when that one has ended`, async () => {
      const r = rig();
      lose(r.put('old'), effect);
      const newer = r.put('new');
      await r.clock.advance(700);
      expect([r.sent(), r.waiting.taken]).toEqual([['old'], 1]);
      await r.end('old');
      expect(r.sent()).toEqual(['old', 'new']);
      expect(newer.exchange.pendingWait).toEqual({ ms: 700, reason: 'order' });
      await r.end('new');
      expect(await newer.outcome).toMatchObject({ status: 200 });
      expect([r.waiting.taken, r.clock.pending]).toEqual([0, 0]);
    });
  }

  it('those that wait go one at a time, by arrival whatever their priority, and nobody overtakes them', async () => {
    const r = rig();
    lose(r.put('old'));
    r.put('second', { receivedAtMs: 20, priority: 0 });
    r.put('first', { receivedAtMs: 10, priority: 7 });
    await r.end('old');
    expect(r.sent()).toEqual(['old', 'first']);
    r.put('third');
    await r.clock.settle();
    expect(r.sent()).toEqual(['old', 'first']);
    await r.end('first');
    await r.end('second');
    expect(r.sent()).toEqual(['old', 'first', 'second', 'third']);
    r.put('meets the third');
    expect(r.sent()).toHaveLength(5);
  });

  it('also for one already on the wire beside the lost one, which may be lost next', async () => {
    const r = rig();
    const old = r.put('old');
    r.put('beside');
    lose(old);
    r.put('new');
    await r.end('old');
    expect(r.sent()).toEqual(['old', 'beside']);
    await r.end('beside');
    expect(r.sent()).toEqual(['old', 'beside', 'new']);
  });

  for (const reason of ['client_gone', 'deadline'] as const) {
    it(`a write left on the wire (${reason}) is undecided until it has ended`, async () => {
      const r = rig();
      r.put('old').exchange.cancel.abort(reason);
      r.put('new');
      expect(r.sent()).toEqual(['old']);
      await r.end('old');
      expect(r.sent()).toEqual(['old', 'new']);
    });
  }

  it('one that was answered early has ended when it is settled', async () => {
    const r = rig();
    const { promise: settled, resolve } = Promise.withResolvers<Outcome>();
    lose(r.put('old'));
    r.put('new');
    await r.end('old', refused('deadline', { settled }));
    expect(r.sent()).toEqual(['old']);
    resolve(answered(200));
    await r.clock.settle();
    expect(r.sent()).toEqual(['old', 'new']);
  });

  it('nobody waits while nothing is undecided, for another resource, or for another credential', async () => {
    const r = rig();
    lose(r.put('refused by the quota'), 'none');
    r.put('same');
    lose(r.put('lost', { target: '/contacts/2' }));
    r.put('other id', { target: '/contacts/22' });
    r.put('other token', { target: '/contacts/2', credentialRef: 'ffff' });
    r.put('a read', { target: '/contacts/2', policy: policy({ name: 'GET /contacts/{id}', operationClass: 'read' }) });
    expect(r.sent()).toHaveLength(6);
  });

  it('a write below the resource is a write to it', () => {
    const r = rig();
    lose(r.put('old'));
    r.put('tag', { target: '/contacts/1/tags?x=1', policy: policy({ name: 'POST /contacts/{contact_id}/tags' }) });
    expect(r.sent()).toEqual(['old']);
  });

  it('refuses shortly before the deadline, sends nothing, and lets those behind it go', async () => {
    const r = rig();
    lose(r.put('old'));
    const { outcome } = r.put('new', { deadlineAtMs: r.clock.now() + 1000 });
    r.put('behind');
    await r.clock.advance(980);
    expect(await outcome).toMatchObject({
      kind: 'refused',
      by: 'resource-order',
      code: 'holdfast_overloaded',
      retryAfterMs: 1000,
      verdict: { effect: 'none', reason: 'resource_undecided' },
    });
    await r.end('old');
    expect(r.sent()).toEqual(['old', 'behind']);
  });

  it('a cancelled wait ends at once and leaves nothing behind', async () => {
    const r = rig();
    lose(r.put('old'));
    const gone = r.put('gone');
    gone.exchange.cancel.abort('client_gone');
    expect(await gone.outcome).toMatchObject({ kind: 'refused' });
    expect([r.waiting.taken, r.clock.pending]).toEqual([0, 0]);
    await r.end('old');
    r.put('new');
    expect(r.sent()).toEqual(['old', 'new']);
  });

  it('refuses at once when the waiting room is full', async () => {
    const r = rig(0);
    lose(r.put('old'));
    expect(await r.put('new').outcome).toMatchObject({ code: 'holdfast_overloaded', by: 'resource-order' });
  });

  it('lets the next go when the inner service throws', async () => {
    const { events } = recordedEvents();
    const clock = new VirtualClock();
    const { promise, reject } = Promise.withResolvers<Outcome>();
    const outcomes = [promise, Promise.resolve(answered(200))];
    const service = resourceOrder({ clock, waiting: new WaitingRoom(() => 1), events })(
      () => outcomes.shift() ?? promise,
    );
    const old = exchange({ policy: PUT, target: '/contacts/1', attempts: [record({ effect: 'unknown' })] });
    const broken = service(old);
    const next = service(exchange({ policy: PUT, target: '/contacts/1' }));
    reject(new Error('bug'));
    await expect(broken).rejects.toThrow('bug');
    expect(await next).toMatchObject({ status: 200 });
  });

  it('mode observe: holds nobody back and says whom it would have', () => {
    const r = rig();
    lose(r.put('old'));
    r.put('new', { policy: { ...PUT, mode: 'observe' } });
    expect(r.sent()).toEqual(['old', 'new']);
    expect(r.named('would').map((line) => line['layer'])).toEqual(['resource-order']);
  });
});
