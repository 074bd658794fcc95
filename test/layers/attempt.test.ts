import { getEventListeners } from 'node:events';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { streamOf } from '../../src/core/outcome.ts';
import { record } from '../support/attempt-records.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { AttemptHarness, drain, LIMITS, NOTHING_LEFT } from './attempt-harness.ts';

let h: AttemptHarness;

beforeEach(() => {
  h = new AttemptHarness();
});

const read = (overrides: Parameters<typeof policy>[0] = {}): ReturnType<typeof policy> =>
  policy({ operationClass: 'read', name: 'GET /contacts', ...overrides });
const GET = { method: 'GET', body: { kind: 'none' } } as const;
const JSON_FIELDS = ['Content-Type', 'application/json'];
const ANSWER_ERROR = '{"type":"error.list","request_id":"r-9","errors":[{"code":"no","message":"nope"}]}';

/** Starts a create whose policy has these parts. */
const start = (overrides: Parameters<typeof policy>[0] = {}): ReturnType<AttemptHarness['start']> =>
  h.start(exchange({ policy: policy(overrides) }));

describe('an attempt', () => {
  test('sends the request as it came and answers with what came back', async () => {
    const x = exchange({ headers: ['X-B', '1', 'x-a', '2'] });
    const { outcome } = await h.start(x);
    const { request, handler } = h.wire.last;
    expect(request).toEqual({ method: 'POST', target: '/contacts', headers: x.headers, body: x.body });
    handler.onStart();
    await h.clock.advance(120);
    handler.onHead(201, [...JSON_FIELDS, 'X-Request-Id', 'r-1']);
    handler.onData(Buffer.from('{"id":'));
    handler.onData(Buffer.from('"1"}'));
    handler.onEnd(['X-Sum', '1']);
    const answered = await outcome;
    expect(answered).toMatchObject({
      kind: 'answered',
      from: 'upstream',
      status: 201,
      headers: [...JSON_FIELDS, 'X-Request-Id', 'r-1'],
      body: { kind: 'bytes', bytes: Buffer.from('{"id":"1"}') },
      trailers: ['X-Sum', '1'],
      verdict: { class: 'ok', effect: 'applied' },
    });
    expect(x.upstreamMs).toBe(120);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('writes one record, with the wait before it, and tells the events once', async () => {
    const x = exchange({ pendingWait: { ms: 250, reason: 'backoff' }, attempts: [record()] });
    const { outcome } = await h.start(x);
    h.answer(422, ANSWER_ERROR);
    await outcome;
    expect(x.attempts).toHaveLength(2);
    expect(x.attempts[1]).toEqual({
      n: 2,
      startedAtMs: Date.UTC(2026, 0, 1),
      durationMs: 0,
      status: 422,
      failure: null,
      sent: 'yes',
      verdict: 'permanent',
      reason: 'status_422',
      effect: 'none',
      waitedMs: 250,
      waitReason: 'backoff',
      requestId: 'r-9',
      code: 'no',
      excerpt: 'nope',
    });
    expect(x.pendingWait).toBeNull();
    expect(h.recorded.named('attempt')).toHaveLength(1);
    expect(h.recorded.named('unmapped_error')).toMatchObject([{ status: 422, code: 'no' }]);
  });

  test('puts our own credential in the place of the caller’s', async () => {
    h.credential = 'Bearer ours';
    await h.start(exchange({ headers: ['authorization', 'Bearer theirs', 'X', '1', 'Authorization', 'again'] }));
    expect(h.wire.last.request.headers).toEqual(['X', '1', 'Authorization', 'Bearer ours']);
  });

  test('passes interim answers on', async () => {
    const seen: unknown[] = [];
    await h.start(exchange({ onInformational: (status, headers) => seen.push([status, headers]) }));
    h.wire.last.handler.onStart();
    h.wire.last.handler.onInformational(103, ['Link', 'x']);
    expect(seen).toEqual([[103, ['Link', 'x']]]);
  });
});

describe('before the wire', () => {
  test('design 0: beforeSend is awaited after the connection was granted and before anything is sent', async () => {
    const order: string[] = [];
    h.wire.full = true;
    const { promise: committed, resolve: commit } = Promise.withResolvers<void>();
    const x = exchange({
      beforeSend: () => {
        order.push(`commit with ${h.wire.held} place`);
        return committed;
      },
    });
    const { outcome } = await h.start(x);
    expect(order).toEqual([]);
    h.wire.grant();
    await h.clock.settle();
    expect([order, h.wire.calls.length]).toEqual([['commit with 1 place'], 0]);
    await h.clock.advance(60_000);
    commit();
    await h.clock.settle();
    h.answer(200, '{}', JSON_FIELDS);
    await outcome;
    expect(x.attempts[0]).toMatchObject({ durationMs: 0, verdict: 'ok' });
  });

  test('design 0: when it fails nothing is sent, the place comes back and no attempt is counted', async () => {
    const x = exchange({ beforeSend: () => Promise.reject(new Error('disk full')) });
    const { outcome } = await h.start(x);
    expect(await outcome).toMatchObject({
      kind: 'refused',
      by: 'attempt',
      code: 'holdfast_store_unavailable',
      verdict: { effect: 'none', repeatable: true },
    });
    expect([h.wire.calls, x.attempts]).toEqual([[], []]);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test.each([
    ['client_gone', 'holdfast_overloaded'],
    ['shutdown', 'holdfast_overloaded'],
    ['deadline', 'holdfast_deadline'],
  ] as const)('waiting for a connection ends at once on %s', async (reason, code) => {
    h.wire.full = true;
    const x = exchange();
    const { outcome } = await h.start(x);
    x.cancel.abort(reason);
    expect(await outcome).toMatchObject({ kind: 'refused', by: 'attempt', code, verdict: { effect: 'none' } });
    expect(x.attempts).toEqual([]);
  });

  test.each(['client_gone', 'deadline'] as const)('nothing is sent for a call that ended by %s', async (reason) => {
    const x = exchange({ beforeSend: async () => x.cancel.abort(reason) });
    const { outcome } = await h.start(x);
    expect(await outcome).toMatchObject({ kind: 'refused' });
    expect(h.wire.calls).toEqual([]);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('nothing is recorded as sent for a call that nobody waits for', async () => {
    let commits = 0;
    const x = exchange({ beforeSend: async () => void (commits += 1) });
    x.cancel.abort('client_gone');
    const { outcome } = await h.start(x);
    expect([await outcome, commits]).toMatchObject([{ kind: 'refused' }, 0]);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('a shutdown does not stop what needs no waiting', async () => {
    const x = exchange();
    x.cancel.abort('shutdown');
    const { outcome } = await h.start(x);
    h.answer(200, '{}');
    expect(await outcome).toMatchObject({ kind: 'answered' });
  });
});

describe('its limits', () => {
  test('§2: timeout.connect runs until the request is written; then nothing was sent', async () => {
    const { outcome } = await h.start(exchange());
    await h.clock.advance(4999);
    expect(h.wire.last.aborted).toBe(false);
    await h.clock.advance(1);
    expect(await outcome).toMatchObject({
      kind: 'failed',
      failure: 'connect',
      sent: 'no',
      verdict: { effect: 'none' },
    });
    expect(h.wire.last.aborted).toBe(true);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('§2: timeout.attempt runs until the head; a write then is unknown', async () => {
    const x = exchange();
    const { outcome } = await h.start(x);
    await h.clock.advance(4000);
    h.wire.last.handler.onStart();
    await h.clock.advance(10_999);
    expect(h.wire.last.aborted).toBe(false);
    await h.clock.advance(1);
    expect(await outcome).toMatchObject({
      kind: 'failed',
      failure: 'timeout',
      sent: 'maybe',
      verdict: { effect: 'unknown', repeatable: false },
    });
    expect(x.attempts[0]).toMatchObject({ durationMs: 15_000, failure: 'timeout' });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('§2: behind the head of a held answer it is truncated, and a 2xx began', async () => {
    const { outcome } = await h.start(exchange());
    const { handler } = h.wire.last;
    handler.onStart();
    handler.onHead(200, JSON_FIELDS);
    handler.onData(Buffer.from('{"id":"1"'));
    await h.clock.advance(15_000);
    expect(await outcome).toMatchObject({ failure: 'truncated', sent: 'yes', verdict: { effect: 'applied' } });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('a read is cut at its deadline, a write is not', async () => {
    const short = { deadlineAtMs: h.clock.now() + 3000 };
    const reading = await h.start(exchange({ ...GET, ...short, policy: read() }));
    h.wire.last.handler.onStart();
    const writing = await h.start(exchange(short));
    h.wire.last.handler.onStart();
    await h.clock.advance(3000);
    expect(await reading.outcome).toMatchObject({ failure: 'timeout', verdict: { effect: 'none', repeatable: true } });
    expect(h.wire.last.aborted).toBe(false);
    h.answer(200, '{}');
    expect(await writing.outcome).toMatchObject({ kind: 'answered' });
  });

  test('§10: a steady upload has no limit, a stalled one has body_idle, and the attempt’s limit starts after it', async () => {
    const body = { kind: 'stream', lengthBytes: null, opened: true, open: () => null as never } as const;
    const x = exchange({ body: { ...body } });
    const { outcome } = await h.start(x);
    const { handler } = h.wire.last;
    const deadlineAtMs = x.deadlineAtMs;
    handler.onStart();
    expect(x.uploadingSinceMs).toBe(h.clock.now());
    for (let i = 0; i < 100; i += 1) {
      await h.clock.advance(29_000);
      handler.onUpload(false);
    }
    handler.onUpload(true);
    expect(x).toMatchObject({ uploadingSinceMs: null, deadlineAtMs: deadlineAtMs + 2_900_000 });
    await h.clock.advance(14_999);
    expect(h.wire.last.aborted).toBe(false);
    await h.clock.advance(1);
    expect(await outcome).toMatchObject({ failure: 'timeout', sent: 'maybe' });
    const silent = exchange({ body: { ...body } });
    const stalled = await h.start(silent);
    h.wire.last.handler.onStart();
    await h.clock.advance(30_000);
    expect(await stalled.outcome).toMatchObject({ failure: 'timeout', sent: 'maybe' });
    expect(silent.uploadingSinceMs).toBeNull();
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('§3: when nobody waits any more', () => {
  test('a read is aborted, and the upstream is not to blame', async () => {
    const x = exchange({ ...GET, policy: read() });
    const { outcome } = await h.start(x);
    h.wire.last.handler.onStart();
    x.cancel.abort('client_gone');
    expect(await outcome).toMatchObject({
      kind: 'failed',
      verdict: { reason: 'interrupted', effect: 'none', countsAgainstBreaker: false },
    });
    expect(h.wire.last.aborted).toBe(true);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('a read that meets the deadline has timed out', async () => {
    const x = exchange({ ...GET, policy: read() });
    const { outcome } = await h.start(x);
    h.wire.last.handler.onStart();
    x.cancel.abort('deadline');
    expect(await outcome).toMatchObject({ failure: 'timeout', verdict: { countsAgainstBreaker: true } });
  });

  test.each(['client_gone', 'deadline', 'shutdown'] as const)(
    'a running write finishes all the same: %s',
    async (reason) => {
      const x = exchange();
      const { outcome } = await h.start(x);
      h.wire.last.handler.onStart();
      x.cancel.abort(reason);
      await h.clock.advance(14_000);
      expect(h.wire.last.aborted).toBe(false);
      h.answer(200, '{}');
      expect(await outcome).toMatchObject({ kind: 'answered' });
    },
  );

  test('a running read finishes in a shutdown', async () => {
    const x = exchange({ ...GET, policy: read() });
    const { outcome } = await h.start(x);
    x.cancel.abort('shutdown');
    h.answer(200, '{}');
    expect(await outcome).toMatchObject({ kind: 'answered' });
  });

  test('no listener stays on the signal, however the attempt ends', async () => {
    const x = exchange({ ...GET, policy: read() });
    for (let i = 0; i < 100; i += 1) {
      const { outcome } = await h.start(x);
      if (i % 2 === 0) h.answer(200, '{}');
      else h.wire.last.handler.onFailure({ kind: 'connect', sent: 'no', fault: 'upstream', detail: '' });
      await outcome;
    }
    expect(getEventListeners(x.cancel.signal, 'abort')).toEqual([]);
    expect(x.cancel.listening).toBe(0);
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('§1: a 2xx must be whole', () => {
  test.each([
    ['cut JSON', '{"id":"1"', 'applied'],
    ['a page', '<html></html>', 'unknown'],
    ['nothing', '', 'unknown'],
    ['spaces', ' \n ', 'unknown'],
  ])('%s is a broken answer', async (_name, body, effect) => {
    const { outcome } = await start();
    h.answer(200, body, JSON_FIELDS);
    expect(await outcome).toMatchObject({
      kind: 'failed',
      failure: 'broken',
      sent: 'yes',
      verdict: { class: 'transient', effect },
    });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('mode observe passes a broken answer on as it came', async () => {
    const { outcome } = await start({ mode: 'observe' });
    h.answer(200, '<html></html>', JSON_FIELDS);
    expect(await outcome).toMatchObject({
      kind: 'answered',
      status: 200,
      body: { bytes: Buffer.from('<html></html>') },
      verdict: { class: 'transient' },
    });
  });

  test.each([202, 204, 205])('an empty %d is whole', async (status) => {
    const { outcome } = await start();
    h.answer(status, '');
    expect(await outcome).toMatchObject({ kind: 'answered', status, verdict: { class: 'ok' } });
  });

  test('an empty answer to HEAD is whole, and to a row that promises nothing', async () => {
    const head = await h.start(exchange({ ...GET, method: 'HEAD', policy: read() }));
    h.answer(200, '', ['Content-Length', '900']);
    expect(await head.outcome).toMatchObject({ kind: 'answered', verdict: { class: 'ok' } });
    const any = await start({ answer: { kind: 'empty' } });
    h.answer(200, '', ['Content-Length', '0']);
    expect(await any.outcome).toMatchObject({ kind: 'answered', body: { kind: 'bytes' } });
  });

  test('whole: parse finds a page that is cut behind an inner bracket', async () => {
    const page = '{"data":[{"id":"1"},{"id":"2"}';
    const ends = await start({ whole: 'ends' });
    h.answer(200, page, JSON_FIELDS);
    expect((await ends.outcome).kind).toBe('answered');
    const parse = await start({ whole: 'parse' });
    h.answer(200, page, JSON_FIELDS);
    expect(await parse.outcome).toMatchObject({ failure: 'broken' });
  });

  const codings = [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const;

  test.each(codings)('%s is undone to look at it, and passed on as it came', async (coding, code) => {
    const fields = [...JSON_FIELDS, 'Content-Encoding', coding];
    const whole = await start();
    const bytes = code('{"id":"1"}');
    h.answer(200, bytes, fields);
    expect(await whole.outcome).toMatchObject({ kind: 'answered', body: { kind: 'bytes', bytes }, headers: fields });
    const cut = await start();
    h.answer(200, code(`{"id":"${'1'.repeat(1000)}"}`).subarray(0, -9), fields);
    expect(await cut.outcome).toMatchObject({ failure: 'broken', verdict: { effect: 'applied' } });
    const page = await start();
    h.answer(200, code('<html>'), fields);
    expect(await page.outcome).toMatchObject({ failure: 'broken', verdict: { effect: 'unknown' } });
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test.each(codings)('%s with bytes behind its end is whole, and passed on with them', async (coding, code) => {
    const fields = [...JSON_FIELDS, 'Content-Encoding', coding];
    for (const behind of ['junk!', '\0\0\0']) {
      const { outcome } = await start();
      const bytes = Buffer.concat([code('{"id":"1"}'), Buffer.from(behind)]);
      h.answer(200, bytes, fields);
      expect(await outcome).toMatchObject({ kind: 'answered', body: { bytes }, verdict: { class: 'ok' } });
    }
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('gzip in two members is read as one text, and is cut when the second is', async () => {
    const fields = [...JSON_FIELDS, 'Content-Encoding', 'gzip'];
    const bytes = Buffer.concat([gzipSync('{"id":'), gzipSync('"1"}')]);
    const whole = await start();
    h.answer(200, bytes, fields);
    expect(await whole.outcome).toMatchObject({ kind: 'answered', verdict: { class: 'ok' } });
    const cut = await start();
    h.answer(200, bytes.subarray(0, -9), fields);
    expect(await cut.outcome).toMatchObject({ failure: 'broken' });
  });

  test('a coding that nobody knows, and a bomb, pass unlooked at', async () => {
    const unknown = await start();
    h.answer(200, 'xxx', [...JSON_FIELDS, 'Content-Encoding', 'rot13']);
    expect((await unknown.outcome).kind).toBe('answered');
    const bomb = await start();
    h.answer(200, gzipSync(Buffer.alloc(20_000_000)), [...JSON_FIELDS, 'Content-Encoding', 'gzip']);
    expect((await bomb.outcome).kind).toBe('answered');
  });

  test('a larger answer streams, by its length or once it turns out to be', async () => {
    const announced = await start();
    h.wire.last.handler.onStart();
    h.wire.last.handler.onHead(200, [...JSON_FIELDS, 'Content-Length', String(LIMITS.storedAnswerBytes + 1)]);
    expect(streamOf(await announced.outcome)).not.toBeNull();
    const found = await start();
    const { handler } = h.wire.last;
    handler.onStart();
    handler.onHead(200, JSON_FIELDS);
    handler.onData(Buffer.alloc(150_000, 'a'));
    handler.onData(Buffer.alloc(150_000, 'b'));
    const stream = streamOf(await found.outcome);
    expect(h.wire.last.paused).toBe(true);
    const drained = drain(stream!);
    expect(h.wire.last.paused).toBe(false);
    handler.onData(Buffer.from('c'));
    handler.onEnd([]);
    expect(drained).toEqual({ text: 'a'.repeat(150_000) + 'b'.repeat(150_000) + 'c', ended: 'end' });
  });

  test('with no memory left it streams instead of being held', async () => {
    h.buffered.tryTake(h.buffered.freeBytes - 5);
    const { outcome } = await start();
    h.wire.last.handler.onStart();
    h.wire.last.handler.onHead(200, JSON_FIELDS);
    h.wire.last.handler.onData(Buffer.from('{"id":"1"}'));
    expect(drain(streamOf(await outcome)!).text).toBe('{"id":"1"}');
  });

  test('a held body that is not small keeps its share of memory until it was read', async () => {
    const { outcome } = await start();
    const body = `"${'x'.repeat(100_000)}"`;
    h.answer(200, body, JSON_FIELDS);
    const answered = await outcome;
    expect(h.leftovers()).toEqual({ ...NOTHING_LEFT, bytes: 100_002 });
    const stream = streamOf(answered)!;
    expect(drain(stream)).toEqual({ text: body, ended: 'end' });
    await stream.done;
    expect(h.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('what is not JSON by its own account streams', async () => {
    const { outcome } = await start();
    h.wire.last.handler.onStart();
    h.wire.last.handler.onHead(200, ['Content-Type', 'text/csv']);
    expect(streamOf(await outcome)).not.toBeNull();
  });
});
