import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { streamOf } from '../../src/core/outcome.ts';
import type { BodyCondition } from '../../src/core/policy.ts';
import { record } from '../support/attempt-records.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { AttemptHarness, drain, NOTHING_LEFT, rule } from './attempt-harness.ts';

let h: AttemptHarness;

beforeEach(() => {
  h = new AttemptHarness();
});

const ERROR = '{"type":"error.list","errors":[{"code":"lagging","message":"try later"}]}';
const JSON_FIELDS = ['Content-Type', 'application/json'];
const lag = rule({ codes: new Set(['lagging']) }, { verdict: 'transient', reason: 'lag' });

describe('§1: errors', () => {
  test('are read, decoded to look at, and passed on as they came', async () => {
    const { outcome } = await h.start(exchange({ policy: policy({ errors: [lag] }) }));
    const bytes = gzipSync(ERROR);
    h.answer(404, bytes, [...JSON_FIELDS, 'Content-Encoding', 'gzip']);
    expect(await outcome).toMatchObject({
      kind: 'answered',
      status: 404,
      body: { kind: 'bytes', bytes },
      verdict: { class: 'transient', reason: 'lag', effect: 'none', repeatable: true },
    });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  const long = Buffer.concat([
    Buffer.from(ERROR.slice(0, -1)),
    Buffer.from(`,"x":"${randomBytes(3000).toString('hex')}"}`),
  ]);

  test.each([
    ['plain', long, []],
    ['gzip', gzipSync(long), ['Content-Encoding', 'gzip']],
  ] as const)(
    'longer than limits.error_body are judged by their beginning, the rest streams: %s',
    async (_n, body, coding) => {
      const { outcome } = await h.start(exchange({ policy: policy({ errors: [lag] }) }));
      const { handler } = h.wire.last;
      handler.onStart();
      handler.onHead(404, [...JSON_FIELDS, ...coding]);
      handler.onData(body.subarray(0, 900));
      handler.onData(body.subarray(900, 1800));
      const answered = await outcome;
      expect(answered).toMatchObject({ status: 404, verdict: { reason: 'lag' } });
      const drained = drain(streamOf(answered)!);
      handler.onData(body.subarray(1800));
      handler.onEnd(['X-Sum', '1']);
      expect(drained).toEqual({ text: body.toString('latin1'), ended: 'end X-Sum 1' });
      expect(h.leftovers()).toEqual(NOTHING_LEFT);
    },
  );

  test.each(['', '<html>502</html>', '{"errors":[{"code":"x', Buffer.from([0xff, 0xfe, 0x00])])(
    'with a body of %j are judged by their status and never crash',
    async (body) => {
      const { outcome } = await h.start(exchange());
      h.answer(502, body, ['Content-Encoding', 'gzip']);
      expect(await outcome).toMatchObject({ kind: 'answered', status: 502, verdict: { reason: 'status_502' } });
    },
  );

  test('§2: an error that breaks off is truncated; mode observe lets the client see it break off', async () => {
    const run = async (mode: 'enforce' | 'observe') => {
      const { outcome } = await h.start(exchange({ policy: policy({ mode }) }));
      const { handler } = h.wire.last;
      handler.onStart();
      handler.onHead(503, JSON_FIELDS);
      handler.onData(Buffer.from('{"ty'));
      handler.onFailure({ kind: 'truncated', sent: 'yes', fault: 'upstream', detail: 'cut' });
      return outcome;
    };
    expect(await run('enforce')).toMatchObject({ kind: 'failed', failure: 'truncated', sent: 'yes' });
    const observed = await run('observe');
    expect(observed).toMatchObject({ kind: 'answered', status: 503 });
    expect(drain(streamOf(observed)!)).toEqual({ text: '{"ty', ended: 'truncated' });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });
});

const when = (holds: BodyCondition['holds']): BodyCondition => ({ source: 'test', holds: vi.fn(holds) });

describe('the class of this very request', () => {
  test('is the row’s at once when there is nothing to evaluate', async () => {
    const x = exchange({ policy: policy({ operationClass: 'idempotent' }) });
    await h.start(x);
    expect(x.operationClass).toBe('idempotent');
  });

  test('§7: idempotent_if is not evaluated for a success, and once for all failures', async () => {
    const idempotentIf = when(async (body) => (body as { email: string }).email === 'a@example.com');
    const x = exchange({ policy: policy({ idempotentIf }) });
    const ok = await h.start(x);
    h.answer(200, '{}', JSON_FIELDS);
    await ok.outcome;
    expect([idempotentIf.holds, x.operationClass]).toEqual([idempotentIf.holds, null]);
    expect(idempotentIf.holds).not.toHaveBeenCalled();
    for (let i = 0; i < 3; i += 1) {
      const { outcome } = await h.start(x);
      h.answer(500, '');
      expect(await outcome).toMatchObject({ verdict: { effect: 'unknown', repeatable: true } });
    }
    expect(idempotentIf.holds).toHaveBeenCalledTimes(1);
    expect(x.operationClass).toBe('idempotent');
  });

  test.each([
    { kind: 'none' } as const,
    { kind: 'bytes', bytes: Buffer.from('{broken') } as const,
    { kind: 'stream', lengthBytes: 3, opened: false, open: () => null as never } as const,
  ])('a body that is no JSON at hand gives null to look at: %j', async (body) => {
    const idempotentIf = when(async (value) => value !== null);
    const x = exchange({ body, policy: policy({ idempotentIf }) });
    const { outcome } = await h.start(x);
    h.answer(500, '');
    await outcome;
    expect(x.operationClass).toBe('create');
  });

  test('§2: a streamed body is repeatable until it was opened', async () => {
    for (const opened of [false, true]) {
      const body = { kind: 'stream', lengthBytes: 3, opened, open: () => null as never } as const;
      const { outcome } = await h.start(exchange({ body, policy: policy({ operationClass: 'idempotent' }) }));
      h.wire.last.handler.onFailure({ kind: 'connect', sent: 'no', fault: 'upstream', detail: '' });
      expect((await outcome).verdict.repeatable).toBe(!opened);
    }
  });
});

describe('§1: after_unknown', () => {
  const gone = rule({ matchesStatus: (status) => status === 404, afterUnknown: true }, { reason: 'already_deleted' });
  const deletion = (answer: Parameters<typeof policy>[0], earlier = true) =>
    exchange({
      method: 'DELETE',
      params: { id: 'a%20b', other: '%zz' },
      policy: policy({ operationClass: 'idempotent', errors: [gone], ...answer }),
      attempts: earlier ? [record({ effect: 'unknown' })] : [],
    });
  const template = { id: '{id}', other: '{other}', gone: '{nothing}', object: 'contact', deleted: true };

  test('a row’s template becomes the answer, and the quota’s fields stay', async () => {
    const { outcome } = await h.start(deletion({ answer: { kind: 'template', template } }));
    h.answer(404, ERROR, ['X-RateLimit-Remaining', '7', 'content-type', 'text/x', 'Content-Length', '9', 'ETag', 'e']);
    const body = JSON.stringify({ id: 'a b', other: '%zz', gone: '', object: 'contact', deleted: true });
    expect(await outcome).toMatchObject({
      kind: 'answered',
      status: 200,
      headers: [
        'X-RateLimit-Remaining',
        '7',
        'Content-Type',
        'application/json',
        'Content-Length',
        String(body.length),
      ],
      body: { kind: 'bytes', bytes: Buffer.from(body) },
      verdict: { class: 'ok', reason: 'already_deleted', effect: 'applied' },
    });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('without a template it is an empty 204', async () => {
    const { outcome } = await h.start(deletion({ answer: { kind: 'empty' } }));
    h.answer(404, ERROR, JSON_FIELDS);
    expect(await outcome).toMatchObject({ status: 204, headers: [], body: { kind: 'bytes', bytes: Buffer.alloc(0) } });
  });

  test('a refusal that breaks off behind its head says the same', async () => {
    const { outcome } = await h.start(deletion({ answer: { kind: 'empty' } }));
    const { handler } = h.wire.last;
    handler.onStart();
    handler.onHead(404, JSON_FIELDS);
    handler.onData(Buffer.from('{"ty'));
    handler.onFailure({ kind: 'truncated', sent: 'yes', fault: 'upstream', detail: 'cut' });
    expect(await outcome).toMatchObject({ kind: 'answered', status: 204, verdict: { class: 'ok' } });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('without such an attempt the answer stays what it is', async () => {
    const { outcome } = await h.start(deletion({ answer: { kind: 'template', template } }, false));
    h.answer(404, ERROR, JSON_FIELDS);
    expect(await outcome).toMatchObject({ status: 404, verdict: { class: 'permanent' } });
  });

  test('a rule of the user that calls a 404 ok passes it on', async () => {
    const errors = [rule({ matchesStatus: (status) => status === 404 })];
    const { outcome } = await h.start(exchange({ policy: policy({ errors }) }));
    h.answer(404, ERROR, JSON_FIELDS);
    expect(await outcome).toMatchObject({ status: 404, verdict: { class: 'ok' } });
  });

  test('mode observe changes nothing', async () => {
    const { outcome } = await h.start(deletion({ mode: 'observe' }));
    h.answer(404, ERROR, JSON_FIELDS);
    expect(await outcome).toMatchObject({ status: 404, verdict: { class: 'ok', reason: 'already_deleted' } });
  });
});

describe('mode observe', () => {
  test('cuts nothing that takes its time', async () => {
    const { outcome } = await h.start(exchange({ deadlineAtMs: Infinity, policy: policy({ mode: 'observe' }) }));
    expect(h.clock.pending).toBe(0);
    await h.clock.advance(3_600_000);
    h.answer(200, '{}', JSON_FIELDS);
    expect(await outcome).toMatchObject({ kind: 'answered' });
  });

  test('ends a write with its client, as it would end without Holdfast', async () => {
    const x = exchange({ deadlineAtMs: Infinity, policy: policy({ mode: 'observe' }) });
    const { outcome } = await h.start(x);
    h.wire.last.handler.onStart();
    x.cancel.abort('client_gone');
    expect(await outcome).toMatchObject({
      kind: 'failed',
      verdict: { effect: 'unknown', countsAgainstBreaker: false },
    });
    expect(h.wire.last.aborted).toBe(true);
  });
});
