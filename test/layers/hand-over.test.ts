import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Operation } from '../../src/core/operation.ts';
import { exchangeOfOperation } from '../../src/core/operation-exchange.ts';
import type { Answered, Outcome } from '../../src/core/outcome.ts';
import { handOver } from '../../src/layers/hand-over.ts';
import { refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { answer, create, created, idempotencyRig, keyed, lost, rejected } from './idempotency-rig.ts';

function rig(store = new MemoryStore()) {
  const base = idempotencyRig(store);
  let wakes = 0;
  const layer = handOver({
    ...base,
    random: () => 0.5,
    passthrough: () => true,
    events: base.events,
    wakeQueue: () => void (wakes += 1),
  });
  const service = base.idempotency.layer(layer(base.inner));
  return { ...base, service, wakes: () => wakes };
}

const ASYNC = { preference: { waitMs: null } };
const TRY = { preference: { waitMs: 5000 } };
const headerOf = (outcome: Outcome, name: string): string | null => {
  const { headers } = outcome as Answered;
  const at = headers.findIndex((each, i) => i % 2 === 0 && each.toLowerCase() === name);
  return at === -1 ? null : (headers[at + 1] ?? null);
};
const statusOf = (outcome: Outcome): number | string => (outcome.kind === 'answered' ? outcome.status : outcome.kind);
const update = (given: Partial<Exchange> = {}): Exchange =>
  exchange({
    policy: policy({ name: 'PUT /contacts/{id}', operationClass: 'idempotent' }),
    method: 'PUT',
    target: '/contacts/7',
    ...given,
  });
const breakerOpen = refused('breaker', {
  code: 'holdfast_breaker_open',
  verdict: transient({ effect: 'none', retryAfterMs: 30_000 }),
});
const busy = answered(503, { verdict: transient({ effect: 'none', countsAgainstBreaker: true }) });

describe('§8: respond-async', () => {
  it('is durable before the 202, and nothing is sent by the call itself', async () => {
    const r = rig();
    const { promise, resolve: commit } = Promise.withResolvers<void>();
    r.store.commitGate = promise;
    const given = r.service(create(ASYNC));
    let isAnswered = false;
    void given.then(() => (isAnswered = true));
    await r.clock.settle();
    expect(isAnswered).toBe(false);
    commit();
    const outcome = await given;
    expect([statusOf(outcome), outcome.verdict.effect, outcome.verdict.reason]).toEqual([202, 'none', 'handed_over']);
    expect(headerOf(outcome, 'location')).toBe('/.holdfast/operations/op-1');
    expect(headerOf(outcome, 'preference-applied')).toBe('respond-async');
    expect(r.store.rows()[0]).toMatchObject({
      state: 'waiting',
      handedOver: true,
      dueAtMs: r.clock.wall(),
      sentAtMs: null,
    });
    expect([r.wire.calls.length, r.wakes()]).toEqual([0, 1]);
  });

  it('also of a write that does no harm twice, and of one with a key', async () => {
    const r = rig();
    expect(statusOf(await r.service(update(ASYNC)))).toBe(202);
    expect(statusOf(await r.service(keyed('k', ASYNC)))).toBe(202);
    expect(r.store.rows().map(({ resource, state }) => [resource, state])).toEqual([
      ['abcd1234 /contacts/7', 'waiting'],
      [null, 'waiting'],
    ]);
  });

  it('without the ledger it is 503 and nothing is sent', async () => {
    for (const call of [create(ASYNC), create(TRY), update(ASYNC), keyed('k', ASYNC)]) {
      const r = rig();
      r.store.fault = 'disk full';
      expect(await r.service(call)).toMatchObject({ kind: 'refused', code: 'holdfast_store_unavailable' });
      expect(r.wire.calls).toHaveLength(0);
    }
  });

  it('a body that streams cannot be kept: the preference is ignored', async () => {
    const r = rig();
    const body = { kind: 'stream', lengthBytes: null, open: () => ({}) as never, opened: false } as const;
    const given = r.service(create({ ...ASYNC, body: { ...body } }));
    await r.clock.settle();
    answer(r.wire.last, created());
    expect(statusOf(await given)).toBe(200);
  });

  it('§6: the same key once more is the same address; a caller who waits is told that it runs', async () => {
    const r = rig();
    const first = await r.service(keyed('k', ASYNC));
    const again = await r.service(keyed('k', ASYNC));
    expect(headerOf(again, 'location')).toBe(headerOf(first, 'location'));
    expect(await r.service(keyed('k'))).toMatchObject({ code: 'holdfast_in_flight' });
    expect(await r.service(keyed('k', { ...ASYNC, text: '{"other":1}' }))).toMatchObject({
      code: 'holdfast_key_reused',
    });
    expect(r.store.rows()).toHaveLength(1);
  });

  it('§6: whoever missed its 202 and sends again is told the same address; an equal call of another is its own', async () => {
    const r = rig();
    const missed = create(ASYNC);
    const first = await r.service(missed);
    missed.onDelivered?.(false);
    const again = create(ASYNC);
    expect(headerOf(await r.service(again), 'location')).toBe(headerOf(first, 'location'));
    again.onDelivered?.(true);
    const second = await r.service(create(ASYNC));
    expect(headerOf(second, 'location')).not.toBe(headerOf(first, 'location'));
    expect(r.store.rows()).toHaveLength(2);
  });
});

describe('§8: respond-async, wait=N', () => {
  it('is on record before it is sent, and answered as any other when it is done in time', async () => {
    const r = rig();
    const given = r.service(create(TRY));
    await r.clock.settle();
    expect(r.store.writes).toEqual(['insert op-1 reserved', 'change op-1 sent']);
    answer(r.wire.last, created());
    expect(statusOf(await given)).toBe(200);
    expect(r.store.rows()[0]).toMatchObject({ state: 'succeeded', handedOver: false });
  });

  it('a final error is the answer', async () => {
    const r = rig();
    const given = r.service(create(TRY));
    await r.clock.settle();
    answer(r.wire.last, rejected(422));
    expect(statusOf(await given)).toBe(422);
    expect(r.store.rows()[0]).toMatchObject({ state: 'rejected', handedOver: false, dueAtMs: null });
  });

  it('an open breaker hands over at once', async () => {
    const r = rig();
    const given = r.service(create(TRY));
    await r.clock.settle();
    r.wire.last.answer(breakerOpen);
    const outcome = await given;
    expect([statusOf(outcome), headerOf(outcome, 'preference-applied')]).toEqual([202, 'respond-async, wait=5']);
    expect(r.store.rows()[0]).toMatchObject({ state: 'waiting', handedOver: true, effect: 'none' });
    expect(r.wakes()).toBe(1);
  });

  it('what may pass is handed over with its attempts, and waits for its backoff', async () => {
    const r = rig();
    const given = r.service(update(TRY));
    await r.clock.settle();
    answer(r.wire.last, busy);
    expect(statusOf(await given)).toBe(202);
    const [stored] = r.store.rows();
    expect(stored).toMatchObject({ state: 'waiting', lane: 'PUT /contacts/{id} |  | abcd1234' });
    expect(stored?.attempts).toHaveLength(1);
    expect(stored?.dueAtMs).toBeGreaterThan(r.clock.wall());
  });

  it('§7: what the try has looked for in vain counts with the looks of the queue', async () => {
    const r = rig();
    const x = create({ ...TRY, rules: { reconcile: [{ kind: 'search', resendIfAbsent: 900_000 }] as never } });
    const given = r.service(x);
    await r.clock.settle();
    const look = { n: 1, startedAtMs: 1, durationMs: 1, request: 'POST /contacts/search', status: 200 } as const;
    x.looks.push({ ...look, result: 'failed' }, { ...look, n: 2, result: 'absent' });
    answer(r.wire.last, lost());
    expect(statusOf(await given)).toBe(202);
    expect(r.store.rows()[0]).toMatchObject({ state: 'unknown', handedOver: true, looks: 1 });
  });

  it('what still hangs after N goes on behind the 202; its end is that of the operation', async () => {
    const r = rig();
    const x = update(TRY);
    const given = r.service(x);
    await r.clock.advance(5001);
    const outcome = await given;
    expect(statusOf(outcome)).toBe(202);
    expect(r.store.rows()[0]).toMatchObject({ state: 'sent', handedOver: true, dueAtMs: null });
    expect(x.queue?.stage).toBe('accepted');
    answer(r.wire.last, created());
    await outcome.settled;
    await r.clock.settle();
    expect(r.store.rows()[0]).toMatchObject({ state: 'succeeded', answer: { status: 200 } });
  });

  it('and when that end is a failure that may pass, the queue goes on', async () => {
    const r = rig();
    const given = r.service(update(TRY));
    await r.clock.advance(5001);
    const outcome = await given;
    answer(r.wire.last, busy);
    await outcome.settled;
    await r.clock.settle();
    expect(r.store.rows()[0]).toMatchObject({ state: 'waiting', handedOver: true });
    expect(r.store.rows()[0]?.attempts).toHaveLength(1);
  });

  it('§9: one that cannot be handed over because the disk is full now is not lost in silence', async () => {
    const r = rig();
    const given = r.service(update(TRY));
    await r.clock.settle();
    r.store.fault = 'disk full';
    answer(r.wire.last, busy);
    expect(statusOf(await given)).toBe(503);
    expect(r.named('dead_letter_lost')).toMatchObject([{ endpoint: 'PUT /contacts/{id}', reason: 'exhausted' }]);
  });

  it('a create that nobody can look for is no promise: its doubt is the answer', async () => {
    const r = rig();
    const given = r.service(create(TRY));
    await r.clock.settle();
    answer(r.wire.last, lost());
    expect((await given).verdict.effect).toBe('unknown');
    expect(r.store.rows()[0]).toMatchObject({ state: 'unknown', handedOver: false, dueAtMs: null });
  });

  it('does not come before an earlier write to its resource that waits', async () => {
    const r = rig();
    await r.service(update(ASYNC));
    expect(statusOf(await r.service(update(TRY)))).toBe(202);
    expect(r.wire.calls).toHaveLength(0);
  });
});

async function accepted(r: ReturnType<typeof rig>, call = update(ASYNC)) {
  await r.service(call);
  const [stored] = r.store.rows();
  if (stored === undefined) throw new Error('nothing is stored');
  const run = exchangeOfOperation(
    stored,
    { policy: call.policy, params: {} },
    { id: 'run', nowMs: r.clock.now(), deadlineAtMs: r.clock.now() + 120_000, priority: 7, lookOnly: false },
  );
  run.queue = { createdAtMs: stored.createdAtMs, stage: 'accepted' };
  const given = r.idempotency.resume(run, r.inner);
  if (given === null) throw new Error('somebody runs it');
  await r.clock.settle();
  return { run, given };
}

describe('§8: a run of the queue', () => {
  it('is on record as sent before the wire, and its answer is kept, an error too', async () => {
    const r = rig();
    const { given } = await accepted(r);
    expect(r.store.rows()[0]).toMatchObject({ state: 'sent', effect: 'unknown', sentAtMs: r.clock.wall() });
    answer(r.wire.last, rejected(422));
    await given;
    expect(r.store.rows()[0]).toMatchObject({ state: 'rejected', dueAtMs: null, answer: { status: 422 } });
  });

  it('sends nothing when it was cancelled meanwhile, or cannot be recorded', async () => {
    for (const how of ['cancelled', 'fault'] as const) {
      const r = rig();
      await r.service(update(ASYNC));
      const [stored] = r.store.rows();
      const match = { policy: update().policy, params: {} };
      const again = { id: 'run', nowMs: 0, deadlineAtMs: 1e9, priority: 7, lookOnly: false };
      const run = exchangeOfOperation(stored as never, match, again);
      run.queue = { createdAtMs: r.clock.wall(), stage: 'accepted' };
      if (how === 'fault') r.store.fault = 'disk full';
      else await r.store.change(stored?.id ?? '', { state: 'discarded', updatedAtMs: 1 });
      await r.idempotency.resume(run, r.inner);
      expect(r.wire.calls).toHaveLength(0);
      expect(r.store.rows()[0]?.state).toBe(how === 'fault' ? 'waiting' : 'discarded');
    }
  });

  it('that is refused unsent leaves the row as it was', async () => {
    const r = rig();
    await r.service(update(ASYNC));
    const [stored] = r.store.rows();
    const again = { id: 'run', nowMs: r.clock.now(), deadlineAtMs: r.clock.now() + 1000, priority: 7, lookOnly: false };
    const run = exchangeOfOperation(stored as never, { policy: update().policy, params: {} }, again);
    run.queue = { createdAtMs: r.clock.wall(), stage: 'accepted' };
    await r.idempotency.resume(run, () => Promise.resolve(breakerOpen));
    expect(r.store.rows()[0]).toEqual(stored);
  });

  it('§6: meanwhile its key gives its address, and its success is replayed', async () => {
    const r = rig();
    const { given } = await accepted(r, keyed('k', ASYNC));
    const again = r.service(keyed('k', ASYNC));
    await r.clock.advance(1);
    expect(headerOf(await again, 'location')).toBe('/.holdfast/operations/op-1');
    answer(r.wire.last, created());
    await given;
    expect(await r.service(keyed('k', ASYNC))).toMatchObject({ from: 'replay', status: 200 });
    expect(r.wire.calls).toHaveLength(1);
  });
});

describe('§6, §8: whoever missed its 202', () => {
  it('is told the same address while the queue runs the call, and not kept waiting for its end', async () => {
    const r = rig();
    const missed = create(ASYNC);
    const { given } = await accepted(r, missed);
    missed.onDelivered?.(false);
    const again = r.service(create(ASYNC));
    await r.clock.advance(1);
    expect(headerOf(await again, 'location')).toBe('/.holdfast/operations/op-1');
    answer(r.wire.last, created());
    await given;
    expect(r.wire.calls).toHaveLength(1);
  });

  it('may wait for its end as long as it asks to', async () => {
    const r = rig();
    const missed = create(ASYNC);
    const { given } = await accepted(r, missed);
    missed.onDelivered?.(false);
    const again = r.service(create(TRY));
    await r.clock.advance(4000);
    answer(r.wire.last, created());
    await given;
    expect(await again).toMatchObject({ from: 'replay', status: 200 });
  });
});

describe('§7: a lost create of a caller that left, behind a lagging index', () => {
  const search = { reconcile: [{ kind: 'search', resendIfAbsent: 900_000 }] as never };

  async function lostCreate(r: ReturnType<typeof rig>) {
    const x = create({ rules: search });
    const given = r.service(x);
    await r.clock.settle();
    answer(r.wire.last, lost());
    await given;
    x.onDelivered?.(true);
    return r.store.rows()[0] as Operation;
  }

  const lookAt = (r: ReturnType<typeof rig>, stored: Operation) => {
    const again = { id: 'run', nowMs: r.clock.now(), deadlineAtMs: r.clock.now() + 1000, priority: 7, lookOnly: false };
    const x = exchangeOfOperation(stored, { policy: policy(search), params: {} }, again);
    x.queue = { createdAtMs: stored.createdAtMs, stage: 'look' };
    void r.idempotency.resume(x, () => Promise.resolve(breakerOpen));
    return x.operation?.doubt?.lookOnly;
  };

  it('is looked for a quarter of an hour later, and may be sent then', async () => {
    const r = rig();
    const stored = await lostCreate(r);
    expect(stored).toMatchObject({ state: 'unknown', handedOver: false, dueAtMs: (stored.sentAtMs ?? 0) + 900_000 });
    await r.clock.advance(900_000);
    expect(lookAt(r, stored)).toBe(false);
  });

  it('is only looked for when an equal call came after its hold had ended', async () => {
    const r = rig();
    const stored = await lostCreate(r);
    await r.clock.advance(900_000);
    const equal = r.service(create({ rules: search }));
    await r.clock.settle();
    answer(r.wire.last, created());
    await equal;
    expect(lookAt(r, stored)).toBe(true);
  });
});
