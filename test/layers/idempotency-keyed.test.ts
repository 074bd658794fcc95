import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { AnswerSink, AnswerStream, Outcome } from '../../src/core/outcome.ts';
import { withoutEffect } from '../../src/layers/reconcile-outcomes.ts';
import { noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, policy } from '../support/exchanges.ts';
import {
  answer,
  bodyOf,
  created,
  idempotencyRig,
  keyed,
  lost,
  OTHER_SCOPE,
  type Rig,
  rejected,
  STORED_ANSWER_BYTES,
  stillUnknown,
} from './idempotency-rig.ts';

/** Runs a call to its end with the next answer of the upstream. */
async function run({ service, wire, clock }: Rig, x: Exchange, outcome: Outcome): Promise<Outcome> {
  const ending = service(x);
  await clock.settle();
  answer(wire.last, outcome);
  return ending;
}

const idempotent = { operationClass: 'idempotent' } as const;

/** An answer whose body flows. */
function streamed(chunks: readonly Buffer[], broken = false) {
  return created('7', { body: { kind: 'stream', stream: new ScriptedStream([...chunks], broken) } });
}

class ScriptedStream implements AnswerStream {
  readonly done = Promise.resolve();
  readonly #chunks: Buffer[];
  readonly #broken: boolean;
  #sink: AnswerSink | null = null;
  #paused = true;

  constructor(chunks: Buffer[], broken: boolean) {
    this.#chunks = chunks;
    this.#broken = broken;
  }

  start(sink: AnswerSink): void {
    this.#sink = sink;
    this.resume();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) this.#sink?.data(chunk);
    if (this.#paused) return;
    if (this.#broken) this.#sink?.fail('truncated');
    else this.#sink?.end([]);
  }

  discard(): void {}

  #next(): Buffer | undefined {
    return this.#paused ? undefined : this.#chunks.shift();
  }
}

async function read(outcome: Outcome): Promise<{ bytes: Buffer; end: string }> {
  if (outcome.kind !== 'answered') throw new Error('not answered');
  if (outcome.body.kind === 'bytes') return { bytes: outcome.body.bytes, end: 'end' };
  const { stream } = outcome.body;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream.start({
      data: (chunk) => void chunks.push(chunk),
      end: () => resolve({ bytes: Buffer.concat(chunks), end: 'end' }),
      fail: (failure) => resolve({ bytes: Buffer.concat(chunks), end: failure }),
    });
  });
}

const deriving = (...found: unknown[]) => ({
  idempotency: {
    ...policy().idempotency,
    derive: found.map((each, i) => ({
      source: `part${i}`,
      evaluate: () => Promise.resolve(each),
      result: () => Promise.resolve({ value: each }),
    })),
  },
});

test('§6: a finished call is replayed, status, headers and body, and nothing is sent', async () => {
  const rig = idempotencyRig();
  await run(rig, keyed('k'), created('7'));
  const again = keyed('k');
  const replay = await rig.service(again);
  expect(rig.wire.calls).toHaveLength(1);
  expect(replay).toMatchObject({ kind: 'answered', from: 'replay', status: 200, verdict: { effect: 'applied' } });
  expect(bodyOf(replay)).toBe('{"type":"contact","id":"7"}');
  expect(again.operation?.id).toBe('op-1');
});

test('§6: a replay survives the process, byte for byte', async () => {
  const rig = idempotencyRig();
  const body = Buffer.from([0, 255, 10, 13, 128]);
  await run(rig, keyed('k'), created('7', { status: 201, body: { kind: 'bytes', bytes: body } }));
  const next = idempotencyRig(rig.store, rig.clock);
  const replay = await next.service(keyed('k'));
  expect(replay).toMatchObject({ from: 'replay', status: 201, body: { bytes: body } });
  expect(next.wire.calls).toHaveLength(0);
});

test('§6: 100 equal calls at once are one upstream call and 100 equal answers', async () => {
  const rig = idempotencyRig();
  const endings = Array.from({ length: 100 }, () => rig.service(keyed('k')));
  await rig.clock.settle();
  expect(rig.wire.calls).toHaveLength(1);
  answer(rig.wire.last, created('7'));
  const bodies = new Set((await Promise.all(endings)).map(bodyOf));
  expect([...bodies]).toEqual(['{"type":"contact","id":"7"}']);
  expect(rig.wire.calls).toHaveLength(1);
  expect(rig.waiting.held).toBe(0);
  expect(rig.clock.pending).toBe(0);
});

test('§6: those who waited get the refusal of the upstream as well, and the key is free again', async () => {
  const rig = idempotencyRig();
  const endings = Array.from({ length: 5 }, () => rig.service(keyed('k')));
  await rig.clock.settle();
  answer(rig.wire.last, rejected(422));
  for (const ending of await Promise.all(endings)) expect(ending).toMatchObject({ kind: 'answered', status: 422 });
  expect(rig.store.rows()).toMatchObject([{ state: 'rejected', keyHash: null, effect: 'none' }]);
  const other = await run(rig, keyed('k', { text: '{"another":"body"}' }), created());
  expect(other).toMatchObject({ from: 'upstream', status: 200 });
});

test('§6: another body under a kept or running key is 422, and nothing is sent', async () => {
  const rig = idempotencyRig();
  const first = rig.service(keyed('k'));
  const meanwhile = await rig.service(keyed('k', { text: '{"email":"b@example.com"}' }));
  expect(meanwhile).toMatchObject({ kind: 'refused', code: 'holdfast_key_reused', verdict: { effect: 'none' } });
  await rig.clock.settle();
  answer(rig.wire.last, created());
  await first;
  for (const next of [rig, idempotencyRig(rig.store, rig.clock)]) {
    const later = await next.service(keyed('k', { text: '{"email":"b@example.com"}' }));
    expect(later).toMatchObject({ code: 'holdfast_key_reused' });
  }
  expect(rig.wire.calls).toHaveLength(1);
});

test('§6: equal JSON is the same request, however it is written; method, path, query, version and type are part of it', async () => {
  const rig = idempotencyRig();
  const headers = ['Content-Type', 'application/json', 'Intercom-Version', '2.14'];
  const target = '/contacts?a=1&b=2';
  await run(rig, keyed('k', { text: '{"a":1,"b":[{"c":2}]}', target, headers }), created());
  const same = keyed('k', { text: ' { "b" : [ {"c": 2} ], "a":1 }', target: '/contacts?b=2&a=1', headers });
  expect(await rig.service(same)).toMatchObject({ from: 'replay' });
  for (const other of [
    { text: '{"a":1,"b":[{"c":3}]}', target, headers },
    { text: '{"a":1,"b":[{"c":2}]}', target: '/contacts', headers },
    {
      text: '{"a":1,"b":[{"c":2}]}',
      target,
      headers: ['Content-Type', 'application/json', 'Intercom-Version', '2.13'],
    },
    { text: '{"a":1,"b":[{"c":2}]}', target, headers, method: 'PUT' },
    { text: '{"a":1,"b":[{"c":2}]}', target, headers: ['Content-Type', 'text/plain', 'Intercom-Version', '2.14'] },
  ]) {
    expect(await rig.service(keyed('k', other))).toMatchObject({ code: 'holdfast_key_reused' });
  }
});

test('§6: two credentials with one key never see each other', async () => {
  const rig = idempotencyRig();
  await run(rig, keyed('k'), created('1'));
  const other = await run(rig, keyed('k', { scope: OTHER_SCOPE }), created('2'));
  expect(bodyOf(other)).toContain('"2"');
  expect(rig.wire.calls).toHaveLength(2);
});

test('§6: an idempotent write with a key is one operation too; a key on a read is ignored', async () => {
  const rig = idempotencyRig();
  await run(rig, keyed('k', { method: 'PUT', rules: idempotent }), created());
  expect(await rig.service(keyed('k', { method: 'PUT', rules: idempotent }))).toMatchObject({ from: 'replay' });
  const asked = exchange({ idempotencyKey: 'k', method: 'GET', policy: policy({ operationClass: 'read' }) });
  await run(rig, asked, answered(200));
  expect(asked.operation).toBeNull();
  expect(rig.wire.calls).toHaveLength(2);
});

test('mode observe changes nothing and records nothing', async () => {
  const rig = idempotencyRig();
  for (let i = 0; i < 2; i++) await run(rig, keyed('k', { rules: { mode: 'observe' } }), created());
  expect(rig.wire.calls).toHaveLength(2);
  expect(rig.store.writes).toEqual([]);
});

describe('§6: a call that runs', () => {
  test('is waited for up to idempotency.wait, then 409 with Retry-After; it is never taken over', async () => {
    const rig = idempotencyRig();
    const first = rig.service(keyed('k'));
    await rig.clock.settle();
    const second = rig.service(keyed('k'));
    await rig.clock.advance(44_999);
    expect(rig.waiting.taken).toBe(1);
    await rig.clock.advance(1);
    expect(await second).toMatchObject({ code: 'holdfast_in_flight', retryAfterMs: 1000, verdict: { effect: 'none' } });
    expect(rig.waiting.held).toBe(0);
    await rig.clock.advance(60_000);
    expect(rig.wire.calls).toHaveLength(1);
    answer(rig.wire.last, created('7'));
    expect(await first).toMatchObject({ from: 'upstream' });
    expect(await rig.service(keyed('k'))).toMatchObject({ from: 'replay' });
  });

  test('is waited for no longer than the deadline of the one who waits, and its client may leave', async () => {
    const rig = idempotencyRig();
    void rig.service(keyed('k'));
    await rig.clock.settle();
    const hurried = rig.service(keyed('k', { deadlineAtMs: 3000 }));
    const left = keyed('k');
    const leaving = rig.service(left);
    await rig.clock.advance(1000);
    left.cancel.abort('client_gone');
    expect(await leaving).toMatchObject({ kind: 'refused', verdict: { reason: 'client_gone' } });
    await rig.clock.advance(1000);
    expect(await hurried).toMatchObject({ code: 'holdfast_in_flight' });
    expect(rig.wire.calls).toHaveLength(1);
  });

  test('goes on when its own client leaves, and the one who waits gets its answer', async () => {
    const rig = idempotencyRig();
    const first = keyed('k');
    const abandoned = rig.service(first);
    await rig.clock.settle();
    const second = rig.service(keyed('k'));
    first.cancel.abort('client_gone');
    await rig.clock.advance(1);
    expect(await abandoned).toMatchObject({ verdict: { reason: 'client_gone' } });
    answer(rig.wire.last, created('7'));
    expect(bodyOf(await second)).toContain('"7"');
    expect(rig.wire.calls).toHaveLength(1);
  });

  test('whose own caller gave it too little time lets one of those who wait run anew', async () => {
    const rig = idempotencyRig();
    const first = rig.service(keyed('k', { deadlineAtMs: 2000 }));
    await rig.clock.settle();
    const others = [rig.service(keyed('k')), rig.service(keyed('k'))];
    await rig.clock.advance(1000);
    await first;
    // What was on the wire turns out not to have been sent at all.
    rig.wire.last.answer(refused('attempt', { code: 'holdfast_deadline' }));
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(2);
    answer(rig.wire.last, created('7'));
    for (const each of await Promise.all(others)) expect(bodyOf(each)).toContain('"7"');
  });
});

describe('§6: an unknown outcome', () => {
  test('is a state: each later call looks once and gets 504, beyond the TTL too; another body is 422', async () => {
    const rig = idempotencyRig();
    await run(rig, keyed('k'), lost());
    expect(rig.store.rows()).toMatchObject([{ state: 'unknown', effect: 'unknown', expiresAtMs: null }]);
    await rig.clock.advance(3 * 86_400_000);
    for (const [i, next] of [rig, rig, idempotencyRig(rig.store, rig.clock)].entries()) {
      const x = keyed('k', { deadlineAtMs: Infinity });
      const ending = next.service(x);
      await rig.clock.settle();
      expect(next.wire.last.exchange.operation).toMatchObject({ id: 'op-1', doubt: { lookOnly: true } });
      next.wire.last.answer(stillUnknown());
      expect(await ending, `call ${i}`).toMatchObject({
        code: 'holdfast_outcome_unknown',
        verdict: { effect: 'unknown' },
      });
    }
    expect(await rig.service(keyed('k', { text: '{}' }))).toMatchObject({ code: 'holdfast_key_reused' });
  });

  test('that is found landed is a success from then on', async () => {
    const rig = idempotencyRig();
    await run(rig, keyed('k'), lost());
    const found = await run(rig, keyed('k'), created('7', { from: 'reconcile' }));
    expect(found).toMatchObject({ from: 'reconcile' });
    expect(await rig.service(keyed('k'))).toMatchObject({ from: 'replay' });
    expect(rig.store.rows()).toMatchObject([{ state: 'succeeded', answerId: '7', expiresAtMs: expect.any(Number) }]);
  });

  test('is what a caller is told when the look could not be made', async () => {
    const rig = idempotencyRig();
    await run(rig, keyed('k'), lost());
    const ending = rig.service(keyed('k'));
    await rig.clock.settle();
    rig.wire.last.answer(refused('breaker'));
    expect(await ending).toMatchObject({ code: 'holdfast_outcome_unknown', verdict: { effect: 'unknown' } });
    expect(rig.store.rows()).toMatchObject([{ state: 'unknown' }]);
  });

  test('may be sent again where a repeat does no harm: idempotent, or guarded by the upstream', async () => {
    for (const rules of [idempotent, { guardedBy: { source: 'email', holds: () => Promise.resolve(true) } }]) {
      const rig = idempotencyRig();
      await run(rig, keyed('k', { rules }), lost());
      const ending = rig.service(keyed('k', { rules }));
      await rig.clock.settle();
      expect(rig.wire.last.exchange.operation?.doubt).toMatchObject({ lookOnly: false });
      answer(rig.wire.last, created());
      expect(await ending).toMatchObject({ status: 200 });
    }
  });

  test('ends when it is proven that nothing was applied: the refusal of the repeat is the answer, and the key is free', async () => {
    const rig = idempotencyRig();
    const rules = { guardedBy: { source: 'email', holds: () => Promise.resolve(true) } };
    await run(rig, keyed('k', { rules }), lost());
    const x = keyed('k', { rules });
    const ending = rig.service(x);
    await rig.clock.settle();
    rig.wire.last.answer(withoutEffect(x, noteAttempt(x, rejected(409))));
    expect(await ending).toMatchObject({ kind: 'answered', status: 409 });
    expect(rig.store.rows()).toMatchObject([{ state: 'rejected', keyHash: null }]);
  });

  test('of a create is what an answer whose body broke off leaves', async () => {
    const rig = idempotencyRig();
    const broken = transient({ reason: 'truncated', effect: 'applied' });
    await run(rig, keyed('k'), { kind: 'failed', failure: 'truncated', sent: 'yes', detail: '', verdict: broken });
    expect(rig.store.rows()).toMatchObject([{ state: 'unknown', effect: 'applied', expiresAtMs: null }]);
  });
});

test('§6: the key lives for its TTL, counted from the first call', async () => {
  const rig = idempotencyRig();
  const rules = { idempotency: { ...policy().idempotency, ttlMs: 60_000 } };
  await run(rig, keyed('k', { rules }), created('1'));
  await rig.clock.advance(59_000);
  expect(await rig.service(keyed('k', { rules }))).toMatchObject({ from: 'replay' });
  await rig.clock.advance(1000);
  const anew = await run(rig, keyed('k', { rules, text: '{}' }), created('2'));
  expect(bodyOf(anew)).toContain('"2"');
});

describe('§6: when the store is unavailable', () => {
  test('a keyed call is refused before anything is sent, also when it fails between look-up and send', async () => {
    const rig = idempotencyRig();
    rig.store.fault = 'disk full';
    expect(await rig.service(keyed('k'))).toMatchObject({ code: 'holdfast_store_unavailable', retryAfterMs: 1000 });
    rig.store.fault = null;
    const gate = Promise.withResolvers<void>();
    rig.store.commitGate = gate.promise;
    const ending = rig.service(keyed('k'));
    rig.store.fault = 'disk full';
    gate.resolve();
    expect(await ending).toMatchObject({ code: 'holdfast_store_unavailable' });
    expect(rig.wire.calls).toHaveLength(0);
  });

  test('at the end, the caller still gets the truth, the record follows, and nothing runs twice', async () => {
    const rig = idempotencyRig();
    const ending = rig.service(keyed('k'));
    await rig.clock.settle();
    rig.store.fault = 'disk full';
    answer(rig.wire.last, rejected(422));
    expect(await ending).toMatchObject({ status: 422 });
    expect(rig.named('operation_unrecorded')).toHaveLength(1);
    expect(await rig.service(keyed('k'))).toMatchObject({ code: 'holdfast_store_unavailable' });
    rig.store.fault = null;
    await rig.clock.advance(1000);
    expect(rig.store.rows()).toMatchObject([{ state: 'rejected', attempts: [{ n: 1 }] }]);
    expect(await run(rig, keyed('k'), created())).toMatchObject({ status: 200 });
  });
});

describe('derive', () => {
  test('§6: makes the key of a call that sends none; another body under it is an operation of its own', async () => {
    const rig = idempotencyRig();
    const rules = deriving('lead-1', 'a@example.com');
    await run(rig, keyed('', { idempotencyKey: null, rules, text: '{"v":1}' }), created('1'));
    expect(await rig.service(keyed('', { idempotencyKey: null, rules, text: '{"v":1}' }))).toMatchObject({
      from: 'replay',
    });
    const other = await run(rig, keyed('', { idempotencyKey: null, rules, text: '{"v":2}' }), created('2'));
    expect(bodyOf(other)).toContain('"2"');
    // The first one is still known: a pipeline that starts again from the top repeats neither.
    expect(await rig.service(keyed('', { idempotencyKey: null, rules, text: '{"v":1}' }))).toMatchObject({
      from: 'replay',
    });
    expect(rig.wire.calls).toHaveLength(2);
  });

  test.each([[undefined], [null], [''], [[]], [['a']], [{ a: 1 }], [Number.NaN]])(
    '§6: a part that is %j means no key',
    async (part) => {
      const rig = idempotencyRig();
      for (let i = 0; i < 2; i++) {
        const x = keyed('', { idempotencyKey: null, rules: deriving('lead-1', part) });
        await run(rig, x, created());
        x.onDelivered?.(true);
      }
      expect(rig.wire.calls).toHaveLength(2);
      expect(rig.store.rows().every(({ keyHash }) => keyHash === null)).toBe(true);
    },
  );
});

test('§6: with require, a write without a key is refused with 400 and nothing is sent', async () => {
  const rig = idempotencyRig();
  const rules = { idempotency: { ...policy().idempotency, require: true } };
  expect(await rig.service(keyed('', { idempotencyKey: null, rules }))).toMatchObject({ code: 'holdfast_bad_request' });
  expect(await run(rig, keyed('k', { rules }), created())).toMatchObject({ status: 200 });
});

describe('answers that stream', () => {
  test('are collected and kept up to limits.stored_answer', async () => {
    const rig = idempotencyRig();
    const chunks = [Buffer.alloc(400, 'a'), Buffer.alloc(600, 'b')];
    const first = await run(rig, keyed('k'), streamed(chunks));
    expect((await read(first)).bytes).toEqual(Buffer.concat(chunks));
    expect((await read(await rig.service(keyed('k')))).bytes).toEqual(Buffer.concat(chunks));
    expect(rig.buffered.freeBytes).toBe(1e6);
  });

  test('flow on whole when they are larger; a replay then says that the answer is not kept', async () => {
    const rig = idempotencyRig();
    const chunks = Array.from({ length: 5 }, (_, i) => Buffer.alloc(STORED_ANSWER_BYTES / 2, `${i}`));
    const first = await run(rig, keyed('k'), streamed(chunks));
    expect(await read(first)).toEqual({ bytes: Buffer.concat(chunks), end: 'end' });
    expect(rig.store.rows()).toMatchObject([{ state: 'succeeded', answer: { status: 200, body: null } }]);
    const again = await rig.service(keyed('k'));
    expect(again).toMatchObject({
      code: 'holdfast_answer_not_kept',
      verdict: { effect: 'applied', repeatable: false },
    });
    expect(rig.buffered.freeBytes).toBe(1e6);
  });

  test('that break off break off for their caller, and leave an outcome to be looked for', async () => {
    const rig = idempotencyRig();
    const first = await run(rig, keyed('k'), streamed([Buffer.alloc(10, 'a')], true));
    expect(await read(first)).toEqual({ bytes: Buffer.alloc(10, 'a'), end: 'truncated' });
    expect(rig.store.rows()).toMatchObject([{ state: 'unknown', effect: 'applied' }]);
  });
});
