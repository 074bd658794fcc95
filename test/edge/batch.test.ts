import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { headerOf } from '../../src/core/raw-headers.ts';
import { refused } from '../support/attempt-records.ts';
import { answered } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { batch, gated, json, openBatch, post, readAnswer, restOf, resultLines, until } from './batch-client.ts';
import { type Edge, type EdgeOptions, edgeSettings, LIMITS, startEdge } from './harness.ts';

const edges: Edge[] = [];
afterEach(async () => {
  for (const edge of edges.splice(0)) await edge.close();
});

async function start(options: EdgeOptions = {}): Promise<Edge> {
  const edge = await startEdge(options);
  edges.push(edge);
  return edge;
}

const of = (exchange: Exchange, name: string) => headerOf(exchange.headers, name);

describe('a batch: requests as lines in, results as lines out', () => {
  test('each record is a call with the batch’s own fields under its own', async () => {
    const { port, seen } = await start();
    const records = [
      {
        id: 'a',
        method: 'POST',
        path: '/contacts?x=1',
        body: { name: 'Zoë' },
        key: 'k "1"',
        context: { lead: 7 },
        timeout: '3s',
      },
      {
        id: 2,
        method: 'PUT',
        path: '/contacts/1',
        headers: { 'intercom-version': '2.14', 'X-Own': 'y' },
        body: '{"raw": 1}',
      },
      { method: 'GET', path: '/me' },
    ];
    const { status, lines, headers } = await batch(port, records, {
      'Intercom-Version': '2.13',
      'Holdfast-Context': 'workflow="enrich"',
      'Accept-Encoding': 'gzip',
    });
    expect([status, headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    expect(lines.map(({ id, line }) => [id, line]).toSorted((x, y) => Number(x[1]) - Number(y[1]))).toEqual([
      ['a', 1],
      [2, 2],
      [null, 3],
    ]);
    const [first, second, third] = seen.map(({ exchange }) => exchange) as [Exchange, Exchange, Exchange];
    expect(first).toMatchObject({
      method: 'POST',
      target: '/contacts?x=1',
      idempotencyKey: 'k "1"',
      context: { workflow: 'enrich', lead: '7' },
    });
    expect(first.deadlineAtMs - first.receivedAtMs).toBeCloseTo(3000);
    expect(seen[0]?.body?.toString()).toBe('{"name":"Zoë"}');
    expect(seen[1]?.body?.toString()).toBe('{"raw": 1}');
    expect(third.body).toEqual({ kind: 'none' });
    expect([first, second, third].map((each) => of(each, 'intercom-version'))).toEqual(['2.13', '2.14', '2.13']);
    expect(of(second, 'x-own')).toBe('y');
    for (const each of [first, second, third]) {
      expect(of(each, 'authorization')).toBe('Bearer t');
      expect(of(each, 'accept')).toBe('application/json');
      for (const gone of ['accept-encoding', 'transfer-encoding', 'holdfast-context', 'host'])
        expect(of(each, gone)).toBeNull();
      expect(of(each, 'via')).toMatch(/^1\.1 holdfast-/);
    }
    expect(of(first, 'content-type')).toBe('application/json');
    expect(of(first, 'content-length')).toBe('15');
    expect(of(third, 'content-type')).toBeNull();
    expect(new Set([first, second, third].map(({ scope }) => scope)).size).toBe(1);
  });

  test('a result has what an answer has: status, the Holdfast field, and the body as it came', async () => {
    const answers: Record<string, Outcome> = {
      a: json('{"id": 12345678901234567890,\n "f": 1.0}'),
      b: answered(503, {
        headers: ['Retry-After', '7', 'X-Request-Id', 'r1'],
        body: { kind: 'bytes', bytes: Buffer.from('<h1>no</h1>') },
      }),
      c: answered(200, {
        headers: ['Content-Encoding', 'gzip'],
        body: { kind: 'bytes', bytes: Buffer.from([0x1f, 0x8b, 0xff]) },
      }),
      d: answered(204, { body: { kind: 'bytes', bytes: Buffer.alloc(0) } }),
      e: refused('breaker'),
    };
    const { port } = await start({ answer: (exchange) => answers[exchange.idempotencyKey ?? ''] as Outcome });
    const { lines, text, trailers } = await batch(
      port,
      Object.keys(answers).map((key) => ({ ...post(key), key })),
    );
    const by = new Map(lines.map((line) => [line.id, line]));
    expect(text).toContain('"body":{"id": 12345678901234567890,  "f": 1.0}');
    expect(by.get('b')).toMatchObject({
      status: 503,
      body: '<h1>no</h1>',
      headers: { 'retry-after': '7', 'x-request-id': 'r1' },
    });
    expect(by.get('c')).toMatchObject({ status: 200, body_base64: 'H4v/' });
    expect(by.get('d')).toMatchObject({ status: 204, body: null });
    expect(by.get('e')).toMatchObject({
      status: 503,
      holdfast: { from: 'proxy', attempts: 0, verdict: 'transient', effect: 'none', reason: 'breaker_open' },
      headers: { 'retry-after': '30' },
      body: { type: 'error.list', errors: [{ code: 'holdfast_breaker_open' }] },
    });
    expect(trailers['holdfast-batch']).toBe('records=5, ok=3, failed=2, complete');
  });

  test('numbers of a body that JavaScript cannot hold arrive as they were written', async () => {
    const { port, seen } = await start();
    await batch(port, [
      '{"method":"POST","path":"/x","body":{"id":12345678901234567890,"n":[1.0,1e2,-0.5],"s":"1.0"}}',
    ]);
    expect(seen[0]?.body?.toString()).toBe('{"id":12345678901234567890,"n":[1.0,1e2,-0.5],"s":"1.0"}');
  });

  test.each<[string, unknown, string]>([
    ['broken JSON', '{"id": 1', 'holdfast_bad_request'],
    ['no object', '[1]', 'holdfast_bad_request'],
    ['no method', { id: 'x', path: '/a' }, '"method"'],
    ['a method that is none', { id: 'x', method: 'post', path: '/a' }, '"method"'],
    ['CONNECT', { id: 'x', method: 'CONNECT', path: '/a' }, '"method"'],
    ['TRACE', { id: 'x', method: 'TRACE', path: '/a' }, 'TRACE'],
    ['no path', { id: 'x', method: 'GET' }, '"path"'],
    ['a URL for a path', { id: 'x', method: 'GET', path: 'https://evil.example/a' }, '"path"'],
    ['a path with a line end', { id: 'x', method: 'GET', path: '/a HTTP/1.1\r\nX: y' }, '"path"'],
    ['a path with a fragment', { id: 'x', method: 'GET', path: '/a#b' }, 'request target'],
    ['a path of Holdfast’s own', { id: 'x', method: 'POST', path: '/.holdfast/batch' }, '/.holdfast/'],
    ['an unknown key', { id: 'x', method: 'GET', path: '/a', heders: {} }, 'meant headers?'],
    ['a header with a line end', { id: 'x', method: 'GET', path: '/a', headers: { A: 'b\r\nC: d' } }, '"headers"'],
    [
      'a header for the transfer',
      { id: 'x', method: 'GET', path: '/a', headers: { 'Transfer-Encoding': 'chunked' } },
      'Transfer-Encoding',
    ],
    [
      'a key with a header',
      { id: 'x', method: 'GET', path: '/a', headers: { 'Idempotency-Key': 'k' } },
      'use \\"key\\"',
    ],
    ['an empty key', { id: 'x', method: 'GET', path: '/a', key: '' }, '"key"'],
    ['a timeout that is none', { id: 'x', method: 'GET', path: '/a', timeout: 'soon' }, 'Holdfast-Timeout'],
    ['a context that is none', { id: 'x', method: 'GET', path: '/a', context: { a: {} } }, '"context"'],
    ['an id that is none', { id: {}, method: 'GET', path: '/a' }, '"id"'],
    ['an id that JavaScript would change', '{"id":12345678901234567890,"method":"GET","path":"/a"}', '"id"'],
    [
      'a body nested too deeply to be written',
      `{"id":"x","method":"POST","path":"/a","body":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
      '"body"',
    ],
  ])('a bad line, %s, is its own result and stops nothing', async (_, record, says) => {
    const { port, seen } = await start();
    const { lines, trailers } = await batch(port, [post('before'), record, '', '   ', post('after')]);
    expect(seen).toHaveLength(2);
    const line = lines.find((each) => each.line === 2);
    expect(line).toMatchObject({ status: 400, holdfast: { from: 'proxy', effect: 'none' } });
    expect(JSON.stringify(line)).toContain(says.replaceAll(/(?<!\\)"/g, '\\"'));
    expect(lines.map((each) => each.line).toSorted((a, b) => a - b)).toEqual([1, 2, 5]);
    expect(trailers['holdfast-batch']).toBe('records=3, ok=2, failed=1, complete');
  });

  test('a line beyond the limit is 413, bytes that are no UTF-8 are 400, and the rest goes on', async () => {
    const { port, seen } = await start();
    const { request, response } = openBatch(port);
    const long = JSON.stringify(post('long', { x: 'y'.repeat(LIMITS.repeatableBodyBytes + 70_000) }));
    request.write(`${long}\n`);
    request.write(Buffer.from([0x7b, 0xff, 0x7d, 0x0a]));
    // Cut in the middle, and without an end.
    const last = JSON.stringify(post('last'));
    request.write(last.slice(0, 10));
    request.end(last.slice(10));
    const { lines } = await readAnswer(await response);
    expect(lines.map(({ line, status }) => [line, status])).toEqual([
      [1, 413],
      [2, 400],
      [3, 200],
    ]);
    expect(seen).toHaveLength(1);
  });

  test('a whole batch is refused for what can hold for no record', async () => {
    const { port } = await start();
    const refusals: [string, Record<string, string>, string][] = [
      ['POST', { 'Idempotency-Key': 'k' }, 'own \\"key\\"'],
      ['POST', { 'Content-Encoding': 'gzip' }, 'Content-Encoding'],
      ['GET', {}, 'POST'],
    ];
    for (const [method, headers, says] of refusals) {
      const { request, response } = openBatch(port, headers, method);
      request.end();
      const { status, text } = await readAnswer(await response);
      expect([status, text.includes(says)]).toEqual([400, true]);
    }
  });

  test('a batch needs the client token like every call', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-batch-'));
    const file = path.join(folder, 'token');
    writeFileSync(file, 'gate\n');
    const { port, seen } = await start({ settings: edgeSettings({ clients: { kind: 'token_file', file } }) });
    expect((await batch(port, [post('a')])).status).toBe(401);
    expect((await batch(port, [post('a')], { 'Holdfast-Authorization': 'Bearer gate' })).lines).toHaveLength(1);
    expect(seen.map(({ exchange }) => of(exchange, 'holdfast-authorization'))).toEqual([null]);
    rmSync(folder, { recursive: true });
  });

  test('an empty batch is an empty answer', async () => {
    const { port } = await start();
    expect(await batch(port, [])).toMatchObject({
      status: 200,
      text: '',
      trailers: { 'holdfast-batch': 'records=0, ok=0, failed=0, complete' },
    });
  });
});

describe('a batch: bounds', () => {
  test('results come as records end, and at most 64 run at once', async () => {
    const { driven, service } = gated();
    const { port, plane } = await start({ service });
    const { request, response } = openBatch(port);
    for (let i = 0; i < 200; i += 1) request.write(`${JSON.stringify(post(`r${i}`))}\n`);
    request.end();
    await until(() => driven.calls.length === 64);
    // One batch and its running records are what a drain waits for.
    expect(plane.active()).toBe(65);
    driven.calls[63]?.answer(json('{"n":63}'));
    const results = resultLines(await response);
    expect((await results.next()).value).toMatchObject({ id: 'r63', body: { n: 63 } });
    for (let i = 0; i < 200; i += 1) {
      await until(() => driven.calls.length > i);
      driven.calls[i]?.answer(json('{}'));
    }
    expect(await restOf(results)).toHaveLength(199);
    expect(driven.calls).toHaveLength(200);
  });

  test('a client that reads nothing stops the reading; memory is bounded, and nothing is lost', async () => {
    let calls = 0;
    const big = json(JSON.stringify({ x: 'y'.repeat(60_000) }));
    const { port, buffered } = await start({
      service: () => {
        calls += 1;
        return Promise.resolve(big);
      },
    });
    const records = 1000;
    const { request, response } = openBatch(port);
    const answer = await response;
    for (let i = 0; i < records; i += 1) {
      request.write(`${JSON.stringify(post(`r${i}`, { pad: 'z'.repeat(20_000) }))}\n`);
    }
    request.end();
    let last = -1;
    let quiet = 0;
    while (quiet < 200) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      quiet = calls === last ? quiet + 1 : 0;
      last = calls;
    }
    // 8 MiB of results, and what the sockets hold.
    expect(calls).toBeLessThan(records / 2);
    expect((await readAnswer(answer)).lines).toHaveLength(records);
    expect(buffered.freeBytes).toBe(LIMITS.bufferedBytes);
  });

  test('a client that sends all lines first and reads then gets all of 4,000 results', async () => {
    const { port, seen } = await start();
    const { lines, trailers } = await batch(
      port,
      Array.from({ length: 4000 }, (_, i) => (i % 100 === 50 ? 'no json' : post(`r${i}`))),
    );
    expect(lines.filter(({ status }) => status === 200)).toHaveLength(3960);
    expect(new Set(lines.map(({ line }) => line)).size).toBe(4000);
    expect(seen).toHaveLength(3960);
    expect(trailers['holdfast-batch']).toBe('records=4000, ok=3960, failed=40, complete');
  });

  test('a file that is no NDJSON does not hold up other calls', async () => {
    const { port } = await start();
    let turns = 0;
    let over = false;
    const count = (): void => {
      turns += 1;
      if (!over) setImmediate(count);
    };
    const { request, response } = openBatch(port);
    await response;
    count();
    request.end('x\n'.repeat(20_000));
    expect((await readAnswer(await response)).lines).toHaveLength(20_000);
    over = true;
    expect(turns).toBeGreaterThan(20_000 / 64);
  });

  test('records wait while the proxy is full, and for room under limits.buffered', async () => {
    let full = false;
    const limits = { ...LIMITS, bufferedBytes: 64 * 1024 };
    const { driven, service } = gated();
    const { port, buffered } = await start({ service, full: () => full, settings: edgeSettings({ limits }) });
    const { request, response } = openBatch(port);
    for (let i = 0; i < 4; i += 1) request.write(`${JSON.stringify(post(`r${i}`, { pad: 'z'.repeat(30_000) }))}\n`);
    await until(() => driven.calls.length === 2);
    full = true;
    driven.calls[0]?.answer(json('{}'));
    await once(await response, 'readable');
    expect(driven.calls).toHaveLength(2);
    full = false;
    for (let i = 1; i < 4; i += 1) {
      await until(() => driven.calls.length > i);
      driven.calls[i]?.answer(json('{}'));
    }
    request.end();
    expect((await readAnswer(await response)).lines.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(buffered.freeBytes).toBe(limits.bufferedBytes);
  });

  test('a batch that meets a full proxy waits for it, as for room under limits.buffered, and is not shed', async () => {
    const clock = new VirtualClock();
    let full = true;
    const { port, seen, buffered } = await start({ clock, full: () => full });
    const answer = batch(port, [post('a'), post('b'), post('c')]);
    // Longer than a silent client may be: it is we who keep this one waiting.
    for (let i = 0; i < 120; i += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      await clock.advance(1000);
    }
    expect(seen).toHaveLength(0);
    buffered.tryTake(LIMITS.bufferedBytes);
    full = false;
    for (let i = 0; i < 10; i += 1) await clock.advance(1000);
    expect(seen).toHaveLength(0);
    buffered.giveBack(LIMITS.bufferedBytes);
    for (let i = 0; i < 10; i += 1) await clock.advance(1000);
    expect((await answer).lines.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(buffered.freeBytes).toBe(LIMITS.bufferedBytes);
  });

  test('more than sixteen batches at once are refused', async () => {
    const { port } = await start();
    const open = Array.from({ length: 16 }, () => openBatch(port));
    await Promise.all(open.map(({ response }) => response));
    const one = openBatch(port);
    one.request.end();
    expect((await readAnswer(await one.response)).status).toBe(503);
    for (const { request } of open) request.end();
    await Promise.all(open.map(async ({ response }) => readAnswer(await response)));
    expect((await batch(port, [post('a')])).lines).toHaveLength(1);
  });
});
