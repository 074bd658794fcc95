import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/core/outcome.ts';
import { noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { exchange, policy } from '../support/exchanges.ts';
import {
  answer,
  bodyOf,
  create,
  created,
  deliver,
  idempotencyRig,
  lost,
  type Rig,
  rejected,
  stillUnknown,
} from './idempotency-rig.ts';

/** A call that ends with the next answer of the upstream, and is delivered. */
async function run(rig: Rig, outcome: Outcome, x = create(), complete = true): Promise<Outcome> {
  const ending = rig.service(x);
  await rig.clock.settle();
  answer(rig.wire.last, outcome);
  const ended = await ending;
  deliver(x, complete);
  return ended;
}

const left = (x: ReturnType<typeof create>): void => x.cancel.abort('client_gone');

test('a create costs two commits and no read, and leaves nothing in memory', async () => {
  const rig = idempotencyRig();
  await run(rig, created('7'));
  await rig.clock.settle();
  expect(rig.store.writes).toEqual(['insert op-1 sent', 'change op-1 succeeded', 'delivered op-1']);
  expect(rig.store.rows()).toMatchObject([{ answerId: '7', keyHash: null, attempts: [{ n: 1, status: 200 }] }]);
  expect(rig.idempotency.held()).toBe(0);
});

test('reads and idempotent writes without a key never touch the ledger', async () => {
  const rig = idempotencyRig();
  for (const operationClass of ['read', 'idempotent'] as const) {
    await run(rig, created(), exchange({ policy: policy({ operationClass }) }));
  }
  const upsert = { idempotentIf: { source: 'company_id', holds: () => Promise.resolve(true) } };
  await run(rig, created(), create({ rules: upsert }));
  expect(rig.store.writes).toEqual([]);
});

test('what is kept has no credential but the one that a re-send needs, and that one apart', async () => {
  const rig = idempotencyRig();
  const headers = ['Authorization', 'Bearer s3cret', 'Cookie', 'c=1', 'X-Api-Key', 'k', 'Accept', '*/*'];
  await run(rig, created(), create({ headers }));
  expect(rig.store.rows()).toMatchObject([{ headers: ['Accept', '*/*'], credential: 'Bearer s3cret' }]);
});

test('a call that waits before its first send is on record as reserved, and as sent when it is sent', async () => {
  const rig = idempotencyRig();
  const x = create();
  const gate = Promise.withResolvers<void>();
  const service = rig.idempotency.layer(async (call) => {
    rig.waiting.enter(call);
    await gate.promise;
    rig.waiting.leave();
    await call.beforeSend?.();
    return noteAttempt(call, created());
  });
  const ending = service(x);
  await rig.clock.settle();
  expect(rig.store.rows()).toMatchObject([{ state: 'reserved', effect: 'none', sentAtMs: null }]);
  gate.resolve();
  await ending;
  expect(rig.store.writes).toEqual(['insert op-1 reserved', 'change op-1 sent', 'change op-1 succeeded']);
});

test('a call that waited in vain leaves no row', async () => {
  const rig = idempotencyRig();
  const service = rig.idempotency.layer((call) => {
    rig.waiting.enter(call);
    rig.waiting.leave();
    return Promise.resolve(refused('pacing'));
  });
  await service(create());
  await rig.clock.settle();
  expect(rig.store.rows()).toEqual([]);
  expect(rig.idempotency.held()).toBe(0);
});

describe('§6: without a store', () => {
  test('a create without a key is served, and its hold lives in memory', async () => {
    const rig = idempotencyRig();
    rig.store.fault = 'disk full';
    expect(await run(rig, created())).toMatchObject({ status: 200 });
    await run(rig, lost());
    const again = create();
    const ending = rig.service(again);
    await rig.clock.settle();
    expect(again.operation?.doubt).toMatchObject({ lookOnly: false });
    answer(rig.wire.last, created('7', { from: 'reconcile' }));
    expect(await ending).toMatchObject({ from: 'reconcile' });
  });
});

describe('§6: a caller that has closed its side, as a timeout of its client does', () => {
  test('may be gone: the next equal request joins, once', async () => {
    const rig = idempotencyRig();
    const first = create();
    const one = rig.service(first);
    await rig.clock.settle();
    first.inputEnded = true;
    first.onInputEnded?.();
    const again = rig.service(create());
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(1);
    const other = rig.service(create());
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    answer(rig.wire.calls[0]!, created('7'));
    answer(rig.wire.calls[1]!, created('8'));
    expect(bodyOf(await one)).toBe(bodyOf(await again));
    expect(bodyOf(await other)).toContain('8');
  });

  test('may have been gone when it was answered: a later equal request gets that answer', async () => {
    const rig = idempotencyRig();
    const first = create({ inputEnded: true });
    await run(rig, created('7'), first, false);
    expect(bodyOf(await rig.service(create()))).toContain('7');
    expect(rig.wire.calls).toHaveLength(1);
  });
});

describe('§6: a caller that went away unanswered, or got an error, and sends again', () => {
  test('joins the run that still goes on, and gets its answer', async () => {
    const rig = idempotencyRig();
    const first = create();
    const abandoned = rig.service(first);
    await rig.clock.settle();
    left(first);
    await rig.clock.advance(1);
    deliver(first, false);
    await abandoned;
    const again = rig.service(create());
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(1);
    answer(rig.wire.last, created('7'));
    expect(await again).toMatchObject({ from: 'replay', status: 200 });
    expect(bodyOf(await again)).toContain('"7"');
  });

  test('gets the answer of an operation that succeeded after its 504', async () => {
    const rig = idempotencyRig();
    const first = create({ deadlineAtMs: 2000 });
    const early = rig.service(first);
    await rig.clock.advance(1000);
    expect(await early).toMatchObject({ code: 'holdfast_outcome_unknown' });
    deliver(first);
    answer(rig.wire.last, created('7'));
    await rig.clock.settle();
    const again = create();
    const served = await rig.service(again);
    expect(bodyOf(served)).toContain('"7"');
    deliver(again);
    expect(rig.idempotency.held()).toBe(0);
    expect(rig.wire.calls).toHaveLength(1);
  });

  test('gets the answer that did not arrive', async () => {
    const rig = idempotencyRig();
    await run(rig, created('7'), create(), false);
    expect(bodyOf(await rig.service(create()))).toContain('"7"');
    expect(rig.wire.calls).toHaveLength(1);
  });

  test('has an unknown operation looked for again: each re-send is a chance to hand over the answer', async () => {
    const rig = idempotencyRig();
    await run(rig, lost());
    for (let i = 0; i < 2; i++) {
      const ending = rig.service(create());
      await rig.clock.settle();
      expect(rig.wire.last.exchange.operation).toMatchObject({ id: 'op-1', doubt: {} });
      rig.wire.last.answer(stillUnknown());
      expect(await ending).toMatchObject({ code: 'holdfast_outcome_unknown' });
    }
    const found = await run(rig, created('7', { from: 'reconcile' }));
    expect(found).toMatchObject({ from: 'reconcile' });
    // It got its success: what comes now is a second intention.
    expect(await run(rig, created('8'))).toMatchObject({ from: 'upstream' });
    expect(rig.store.rows()).toMatchObject([{ answerId: '7' }, { answerId: '8' }]);
  });

  test('is one caller: only as many may join as were not served', async () => {
    const rig = idempotencyRig();
    await run(rig, lost());
    const again = rig.service(create());
    await rig.clock.settle();
    const another = rig.service(create());
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    answer(rig.wire.last, created('7', { from: 'reconcile' }));
    expect(await again).toMatchObject({ from: 'reconcile' });
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(3);
    expect(rig.wire.last.exchange.operation).toMatchObject({ id: 'op-2', doubt: null });
    answer(rig.wire.last, created('8'));
    expect(bodyOf(await another)).toContain('"8"');
  });

  test('sends what was sent the first time, not what would be stamped now', async () => {
    const rig = idempotencyRig();
    const first = create({ text: '{"event_name":"e"}' });
    const stamped = Buffer.from('{"created_at":1,"event_name":"e"}');
    const service = rig.idempotency.layer((x) => {
      if (x.operation?.doubt === null) x.body = { kind: 'bytes', bytes: stamped };
      return rig.inner(x);
    });
    const ending = service(first);
    await rig.clock.settle();
    answer(rig.wire.last, lost());
    await ending;
    const again = create({ text: '{"event_name":"e"}' });
    void service(again);
    await rig.clock.settle();
    expect(rig.wire.last.exchange.body).toEqual({ kind: 'bytes', bytes: stamped });
    expect(rig.wire.last.exchange.headers).toContain(String(stamped.length));
  });

  test('runs anew when nothing was applied', async () => {
    const rig = idempotencyRig();
    await run(rig, rejected(422));
    expect(rig.idempotency.held()).toBe(0);
    expect(await run(rig, created())).toMatchObject({ from: 'upstream' });
  });

  test('runs anew when the run that it joined was stopped for its own caller', async () => {
    const rig = idempotencyRig();
    const first = create();
    const abandoned = rig.service(first);
    await rig.clock.settle();
    left(first);
    await rig.clock.advance(1);
    await abandoned;
    const again = rig.service(create());
    await rig.clock.settle();
    rig.wire.last.answer(refused('attempt', { code: 'holdfast_overloaded' }));
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    answer(rig.wire.last, created('7'));
    expect(bodyOf(await again)).toContain('"7"');
  });

  test('is told 504 when its own time is over first, and may send again', async () => {
    const rig = idempotencyRig();
    const first = create();
    const abandoned = rig.service(first);
    await rig.clock.settle();
    left(first);
    await rig.clock.advance(1);
    await abandoned;
    const hurried = rig.service(create({ deadlineAtMs: rig.clock.now() + 1000 }));
    await rig.clock.advance(1000);
    expect(await hurried).toMatchObject({ code: 'holdfast_outcome_unknown', verdict: { effect: 'unknown' } });
    const again = rig.service(create());
    await rig.clock.settle();
    answer(rig.wire.last, created('7'));
    expect(bodyOf(await again)).toContain('"7"');
    expect(rig.wire.calls).toHaveLength(1);
  });
});

describe('§6: two equal notes can be intended', () => {
  test('both run at once while neither is in doubt', async () => {
    const rig = idempotencyRig();
    const endings = [rig.service(create()), rig.service(create())];
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    for (const [i, call] of rig.wire.calls.entries()) answer(call, created(`${i}`));
    expect((await Promise.all(endings)).map(bodyOf)).toHaveLength(2);
  });

  test('the second waits while the first is in doubt and its caller still waits, then runs as its own', async () => {
    const rig = idempotencyRig();
    const first = rig.service(create());
    await rig.clock.settle();
    const [call] = rig.wire.calls;
    noteAttempt(call!.exchange, lost());
    const second = rig.service(create());
    await rig.clock.advance(2000);
    expect(rig.wire.calls).toHaveLength(1);
    expect(rig.waiting.taken).toBe(1);
    answer(call!, created('1', { from: 'reconcile' }));
    await first;
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    answer(rig.wire.last, created('2'));
    expect(bodyOf(await second)).toContain('"2"');
    expect(rig.store.rows()).toMatchObject([{ answerId: '1' }, { answerId: '2' }]);
  });

  test('the second does not take the credit of the first one when that ends unknown', async () => {
    const rig = idempotencyRig();
    const first = rig.service(create());
    await rig.clock.settle();
    const [call] = rig.wire.calls;
    noteAttempt(call!.exchange, lost());
    const second = rig.service(create());
    await rig.clock.settle();
    answer(call!, lost());
    await first;
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    expect(rig.wire.last.exchange.operation).toMatchObject({ id: 'op-2', doubt: null });
    answer(rig.wire.last, created('2'));
    expect(bodyOf(await second)).toContain('"2"');
  });

  test('the second gets 409 when the doubt outlasts idempotency.wait; nothing was sent for it', async () => {
    const rig = idempotencyRig();
    void rig.service(create());
    await rig.clock.settle();
    noteAttempt(rig.wire.last.exchange, lost());
    const second = rig.service(create());
    await rig.clock.advance(45_000);
    expect(await second).toMatchObject({ code: 'holdfast_in_flight', verdict: { effect: 'none' } });
    expect(rig.wire.calls).toHaveLength(1);
    expect(rig.waiting.held).toBe(0);
  });

  test('the second gives up its wait when its client closes its side, for that may send again', async () => {
    const rig = idempotencyRig();
    void rig.service(create());
    await rig.clock.settle();
    noteAttempt(rig.wire.last.exchange, lost());
    const second = create();
    const ending = rig.service(second);
    await rig.clock.settle();
    second.inputEnded = true;
    second.onInputEnded?.();
    expect(await ending).toMatchObject({ code: 'holdfast_in_flight', verdict: { effect: 'none' } });
    expect(await rig.service(create({ inputEnded: true }))).toMatchObject({ code: 'holdfast_in_flight' });
    expect(rig.wire.calls).toHaveLength(1);
  });

  test('after a success that arrived, the next one is a second intention', async () => {
    const rig = idempotencyRig();
    await run(rig, created('1'));
    expect(bodyOf(await run(rig, created('2')))).toContain('"2"');
  });

  test('another scope, target or byte is another request', async () => {
    const rig = idempotencyRig();
    await run(rig, lost());
    const others = [{ scope: 'x'.repeat(32) }, { target: '/contacts?' }, { text: '{"email": "a@example.com"}' }];
    for (const other of others) expect(await run(rig, created(), create(other))).toMatchObject({ from: 'upstream' });
  });
});

test('§6: a hold ends after idempotency.hold', async () => {
  const rig = idempotencyRig();
  await run(rig, lost());
  await rig.clock.advance(600_000);
  const ending = rig.service(create({ deadlineAtMs: Infinity }));
  await rig.clock.settle();
  expect(rig.wire.last.exchange.operation).toMatchObject({ id: 'op-2', doubt: null });
  answer(rig.wire.last, created());
  await ending;
});

const restarted = async (rig: Rig): Promise<Rig> => {
  const next = idempotencyRig(rig.store, rig.clock);
  next.idempotency.restore(await rig.store.open(0));
  return next;
};

describe('§6: after a restart', () => {
  test('every earlier caller counts as gone: an unknown create is joined once, an undelivered answer is handed over', async () => {
    const rig = idempotencyRig();
    const cut = create();
    void rig.service(cut);
    await rig.clock.settle();
    const next = await restarted(rig);
    expect(next.idempotency.held()).toBe(1);
    const again = next.service(create());
    await rig.clock.settle();
    expect(next.wire.last.exchange.operation).toMatchObject({ id: 'op-1', doubt: {}, sentAtMs: expect.any(Number) });
    answer(next.wire.last, created('7', { from: 'reconcile' }));
    expect(await again).toMatchObject({ from: 'reconcile' });

    const undelivered = await restarted(next);
    expect(bodyOf(await undelivered.service(create()))).toContain('"7"');
    expect(undelivered.wire.calls).toHaveLength(0);
  });

  test('an answer that was delivered is nobody’s any more', async () => {
    const rig = idempotencyRig();
    await run(rig, created());
    await rig.clock.settle();
    expect((await restarted(rig)).idempotency.held()).toBe(0);
  });

  test('a resumed operation is joined by whoever sends it again, with a key and without', async () => {
    for (const idempotencyKey of [null, 'k']) {
      const rig = idempotencyRig();
      void rig.service(create({ idempotencyKey }));
      await rig.clock.settle();
      const next = await restarted(rig);
      const [row] = rig.store.rows();
      const resumed = create();
      resumed.operation = {
        id: row!.id,
        recorded: true,
        sentAtMs: row!.sentAtMs,
        doubt: { looks: 0, lookOnly: false, lostAtMs: 0 },
      };
      const recovery = next.idempotency.resume(resumed, next.inner);
      const again = next.service(create({ idempotencyKey }));
      await rig.clock.settle();
      expect(next.wire.calls).toHaveLength(1);
      answer(next.wire.last, created('7', { from: 'reconcile' }));
      expect(await recovery).toMatchObject({ from: 'reconcile' });
      expect(bodyOf(await again)).toContain('"7"');
      expect(rig.store.rows()).toMatchObject([{ state: 'succeeded', answerId: '7' }]);
    }
  });

  test('an operation that its caller runs already is not resumed', async () => {
    const rig = idempotencyRig();
    void rig.service(create());
    await rig.clock.settle();
    const next = await restarted(rig);
    void next.service(create());
    await rig.clock.settle();
    const resumed = create();
    resumed.operation = { id: 'op-1', recorded: true, sentAtMs: 1, doubt: { looks: 0, lookOnly: false, lostAtMs: 0 } };
    expect(next.idempotency.resume(resumed, next.inner)).toBeNull();
  });
});

test('a bug inside leaves the operation unknown, and its caller may send again', async () => {
  const rig = idempotencyRig();
  const service = rig.idempotency.layer(async (x) => {
    await x.beforeSend?.();
    throw new Error('bug');
  });
  await expect(service(create())).rejects.toThrow('bug');
  expect(rig.store.rows()).toMatchObject([{ state: 'unknown', reason: 'bug' }]);
  void rig.service(create());
  await rig.clock.settle();
  expect(rig.wire.last.exchange.operation).toMatchObject({ id: 'op-1', doubt: {} });
});

test('what a failed look says nothing of stays unknown for the record and for the caller', async () => {
  const rig = idempotencyRig();
  await run(rig, lost());
  const ending = rig.service(create());
  await rig.clock.settle();
  rig.wire.last.answer(refused('breaker', { verdict: transient() }));
  expect(await ending).toMatchObject({ code: 'holdfast_outcome_unknown' });
  expect(rig.store.rows()).toMatchObject([{ state: 'unknown' }]);
});
