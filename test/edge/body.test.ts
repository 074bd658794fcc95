import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { answered, HandDriven } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import {
  bodyOf,
  type Edge,
  type EdgeOptions,
  edgeSettings,
  exchangeBytes,
  LIMITS,
  RawClient,
  startEdge,
} from './harness.ts';

const edges: Edge[] = [];

async function edge(options: EdgeOptions = {}): Promise<Edge> {
  const made = await startEdge(options);
  edges.push(made);
  return made;
}

afterEach(async () => {
  for (const made of edges.splice(0)) {
    await made.close();
    expect(made.plane.active()).toBe(0);
    expect(made.recorded.named('bug')).toEqual([]);
  }
});

const turn = () => new Promise((resolve) => setImmediate(resolve));
const head = (fields: string) => `POST /contacts HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${fields}\r\n`;
const sized = (bytes: number) => head(`Content-Length: ${bytes}\r\n`);
const CHUNKED = head('Transfer-Encoding: chunked\r\n');
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const bearer = (token: string) => `Holdfast-Authorization: Bearer ${token}\r\n`;
const MEBIBYTE = Buffer.alloc(1024 * 1024, 'm');

describe('what is held and what flows', () => {
  test.each([
    ['none', 'bytes of length 0', sized(0), '', 'none'],
    ['one byte', '', sized(1), 'a', 'bytes'],
    [
      'as much as may be repeated',
      '',
      sized(LIMITS.repeatableBodyBytes),
      'a'.repeat(LIMITS.repeatableBodyBytes),
      'bytes',
    ],
    ['one byte more', '', sized(LIMITS.repeatableBodyBytes + 1), 'a'.repeat(LIMITS.repeatableBodyBytes + 1), 'stream'],
  ] as const)('a body of known length: %s', async (_name, _note, bytes, body, kind) => {
    const { port, seen } = await edge();
    expect(await exchangeBytes(port, bytes + body)).toMatch(/^HTTP\/1.1 200 /);
    expect(seen[0]!.exchange.body.kind).toBe(kind);
    expect(seen[0]!.body?.toString('latin1')).toBe(body);
    if (seen[0]!.exchange.body.kind === 'stream') expect(seen[0]!.exchange.body.lengthBytes).toBe(body.length);
  });

  test.each([1, 7, 4096, 32_768, 65_536, 65_537, 200_000])(
    'a chunked body of %i bytes, in odd pieces, is the same',
    async (length) => {
      const { port, seen } = await edge();
      const body = Array.from({ length }, (_, i) => String.fromCharCode(33 + (i % 90))).join('');
      let bytes = CHUNKED;
      for (let at = 0; at < length; at += 777) bytes += chunk(body.slice(at, at + 777));
      expect(await exchangeBytes(port, `${bytes}0\r\nX-Trailer: dropped\r\n\r\n`)).toMatch(/^HTTP\/1.1 200 /);
      expect(seen[0]!.exchange.body.kind).toBe(length > LIMITS.repeatableBodyBytes ? 'stream' : 'bytes');
      expect(seen[0]!.body?.toString()).toBe(body);
      expect(seen[0]!.exchange.headers.join()).not.toMatch(/transfer-encoding|x-trailer/i);
    },
  );

  test('limits.buffered: beyond it bodies flow instead of being held; nothing of it is lost afterwards', async () => {
    const limits = { ...LIMITS, bufferedBytes: 10 };
    const { port, seen, buffered } = await edge({ settings: edgeSettings({ limits }) });
    await exchangeBytes(port, `${sized(11)}hello world`);
    await exchangeBytes(port, `${CHUNKED}${chunk('hello ')}${chunk('world')}0\r\n\r\n`);
    await exchangeBytes(port, `${sized(5)}hello`);
    expect(seen.map(({ exchange, body }) => [exchange.body.kind, body?.toString()])).toEqual([
      ['stream', 'hello world'],
      ['stream', 'hello world'],
      ['bytes', 'hello'],
    ]);
    expect(buffered.freeBytes).toBe(10);
  });

  test('§10: backpressure: a body that nobody reads is not taken off the socket', async () => {
    const driven = new HandDriven();
    const limits = { ...LIMITS, requestBodyBytes: 1024 * MEBIBYTE.length };
    const { port } = await edge({ service: driven.service, settings: edgeSettings({ limits }) });
    const client = new RawClient(port).send(sized(64 * MEBIBYTE.length));
    while (driven.calls.length === 0) await turn();
    for (let n = 0; n < 64; n++) client.socket.write(MEBIBYTE);
    for (let n = 0; n < 200; n++) await turn();
    expect(client.socket.bytesWritten - client.socket.writableLength).toBeLessThan(16 * MEBIBYTE.length);
    const reading = bodyOf(driven.last.exchange);
    expect((await reading)?.length).toBe(64 * MEBIBYTE.length);
    driven.last.answer(answered(200));
    expect(await client.closed()).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('bodies that do not keep their word', () => {
  test('413 by Content-Length at once, by counting when there is none: held or flowing', async () => {
    const limits = { ...LIMITS, requestBodyBytes: 1_000_000 };
    const { port, seen } = await edge({ settings: edgeSettings({ limits }) });
    const byLength = new RawClient(port).send(sized(1_000_001));
    expect(await byLength.until((text) => text.endsWith(']}'))).toMatch(/^HTTP\/1.1 413 [^]*limits.request_body/);
    byLength.destroy();
    expect(seen).toEqual([]);
    const counted = new RawClient(port).send(CHUNKED + chunk('a'.repeat(1_000_001)));
    expect(await counted.until((text) => text.endsWith(']}'))).toMatch(/^HTTP\/1.1 413 /);
    counted.destroy();
    expect(seen.map(({ body }) => body)).toEqual([null]);
    const small = { ...LIMITS, requestBodyBytes: 100 };
    const held = await edge({ settings: edgeSettings({ limits: small }) });
    const holding = new RawClient(held.port).send(CHUNKED + chunk('a'.repeat(101)));
    expect(await holding.until((text) => text.endsWith(']}'))).toMatch(/^HTTP\/1.1 413 /);
    holding.destroy();
    expect(held.seen).toEqual([]);
  });

  test('§10: a body that falls silent is 408 after body_idle, re-armed per chunk', async () => {
    const clock = new VirtualClock();
    const { port, seen } = await edge({ clock });
    const client = new RawClient(port).send(`${sized(10)}a`);
    for (let n = 0; n < 5; n++) {
      while (clock.pending === 0) await turn();
      await clock.advance(29_000);
      const before = client.socket.bytesWritten;
      client.send('b');
      while (client.socket.bytesWritten === before) await turn();
      for (let i = 0; i < 20; i++) await turn();
    }
    expect(client.text).toBe('');
    await clock.advance(30_000);
    expect(await client.until((text) => text.endsWith(']}'))).toMatch(/^HTTP\/1.1 408 [^]*timeout.body_idle/);
    expect(seen).toEqual([]);
    await clock.advance(2000);
    await client.closed();
    expect(clock.pending).toBe(0);
  });

  test('§10: body_idle stands still under backpressure', async () => {
    const clock = new VirtualClock();
    const driven = new HandDriven();
    const { port } = await edge({ clock, service: driven.service });
    const client = new RawClient(port).send(sized(100_000)).send('a'.repeat(50_000));
    while (driven.calls.length === 0) await turn();
    await clock.advance(3_600_000);
    expect(client.text).toBe('');
    const reading = bodyOf(driven.last.exchange);
    await clock.advance(29_999);
    client.send('a'.repeat(50_000));
    expect((await reading)?.length).toBe(100_000);
    driven.last.answer(answered(200));
    await client.closed();
  });

  test('§10: a flowing body that turns out malformed breaks off for the upstream and is 400 for the client', async () => {
    const { port, plane, seen } = await edge();
    const client = new RawClient(port).send(CHUNKED + chunk('a'.repeat(70_000)));
    client.send('zz\r\n');
    expect(await client.until((text) => text.endsWith(']}'))).toMatch(/^HTTP\/1.1 400 /);
    client.destroy();
    while (plane.active() > 0) await turn();
    expect(seen.map(({ exchange, body }) => [exchange.body.kind, body])).toEqual([['stream', null]]);
  });

  test('a client that leaves in the middle of its body is no exchange, or one that breaks off', async () => {
    const { port, plane, seen, buffered } = await edge();
    const held = new RawClient(port).send(`${sized(10)}a`);
    const flowing = new RawClient(port).send(sized(100_000)).send('a'.repeat(70_000));
    while (plane.active() < 2) await turn();
    held.socket.resetAndDestroy();
    flowing.socket.resetAndDestroy();
    while (plane.active() > 0) await turn();
    expect(seen.map(({ body }) => body)).toEqual([null]);
    expect(buffered.freeBytes).toBe(LIMITS.bufferedBytes);
  });
});

const expecting = (length: number, more = '') =>
  `POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n${more}\r\n`;

describe('Expect: 100-continue', () => {
  test('gets 100 when its body is wanted, and Expect is not forwarded', async () => {
    const { port, seen } = await edge();
    const client = new RawClient(port).send(expecting(5));
    expect(await client.until((text) => text !== '')).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    client.send('hello');
    expect(await client.until((text) => text.endsWith('hello'))).toContain('HTTP/1.1 200 OK');
    expect(seen[0]!.exchange.headers.join()).not.toMatch(/expect/i);
    client.destroy();
  });

  test.each([
    ['too large', expecting(LIMITS.requestBodyBytes + 1), 413],
    ['malformed', expecting(5, 'Holdfast-Timeout: soon\r\n'), 400],
  ])('is refused from the headers alone when %s', async (_name, bytes, status) => {
    const { port } = await edge();
    const text = await exchangeBytes(port, bytes);
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*\r\nConnection: close\r\n`));
    expect(text).not.toContain('100 Continue');
  });

  test('is never told to continue when the service answers without reading a large body', async () => {
    const { port } = await edge({ service: () => Promise.resolve(answered(503)) });
    const text = await exchangeBytes(port, expecting(LIMITS.repeatableBodyBytes + 1));
    expect(text).toMatch(/^HTTP\/1.1 503 [^]*\r\nConnection: close\r\n/);
    expect(text).not.toContain('100 Continue');
  });

  test('is ignored on HTTP/1.0', async () => {
    const { port } = await edge();
    const text = await exchangeBytes(port, `${expecting(2).replace('HTTP/1.1', 'HTTP/1.0')}hi`);
    expect(text).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('an early answer to a large upload', () => {
  test('§10: is delivered with Connection: close, and the rest is read and thrown away until the upload ends', async () => {
    const clock = new VirtualClock();
    const { port, recorded } = await edge({ clock, service: () => Promise.resolve(answered(422)) });
    const client = new RawClient(port).send(sized(900_000)).send('a'.repeat(100_000));
    expect(await client.until((text) => text.endsWith('{}'))).toMatch(/^HTTP\/1.1 422 [^]*\r\nConnection: close\r\n/);
    expect(client.ended).toBe(false);
    client.send('a'.repeat(800_000));
    await client.closed();
    expect(client.error).toBe(null);
    expect(recorded.named('exchange')).toEqual([expect.objectContaining({ status: 422 })]);
    expect(recorded.named('exchange')[0]).not.toHaveProperty('complete');
    expect(clock.pending).toBe(0);
  });

  test('§10: after 2 s it is cut', async () => {
    const clock = new VirtualClock();
    const { port } = await edge({ clock, service: () => Promise.resolve(answered(422)) });
    const client = new RawClient(port).send(sized(900_000)).send('a'.repeat(100_000));
    await client.until((text) => text.endsWith('{}'));
    await clock.advance(1999);
    expect(client.ended).toBe(false);
    await clock.advance(1);
    await client.closed();
  });

  test('§10: after 1 MiB it is cut', async () => {
    const clock = new VirtualClock();
    const { port } = await edge({ clock, service: () => Promise.resolve(answered(422)) });
    const client = new RawClient(port).send(sized(LIMITS.requestBodyBytes)).send('a'.repeat(100_000));
    await client.until((text) => text.endsWith('{}'));
    client.socket.write(MEBIBYTE);
    client.socket.write(MEBIBYTE);
    await client.closed();
  });
});

describe('client tokens', () => {
  test('one token in a file lets its bearers in, is never forwarded, and may be replaced while we run', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
    const file = join(folder, 'token');
    await writeFile(file, 'first\n');
    const clock = new VirtualClock();
    const { port, seen } = await edge({ clock, settings: edgeSettings({ clients: { kind: 'token_file', file } }) });
    const ask = async (field: string) =>
      (await exchangeBytes(port, `GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${field}\r\n`)).slice(9, 12);
    expect(await ask(bearer('first'))).toBe('200');
    expect(seen[0]!.exchange.headers.join()).not.toMatch(/holdfast-authorization|first/i);
    expect(await ask('')).toBe('401');
    expect(await ask('Authorization: Bearer first\r\n')).toBe('401');
    expect(await ask('Holdfast-Authorization: Basic first\r\n')).toBe('401');
    expect(await ask(bearer('second'))).toBe('401');
    await writeFile(file, 'second');
    await clock.advance(1000);
    expect(await ask(bearer('first'))).toBe('401');
    expect(await ask(bearer('second'))).toBe('200');
    await rm(file);
    await clock.advance(1000);
    expect(await ask(bearer('second'))).toBe('200');
    expect(await exchangeBytes(port, 'GET /.holdfast/x HTTP/1.1\r\nHost: h\r\n\r\n')).toMatch(/^HTTP\/1.1 401 /);
    await rm(folder, { recursive: true });
  });

  test('a file that cannot be read lets nobody in', async () => {
    const { port, recorded } = await edge({
      settings: edgeSettings({ clients: { kind: 'token_file', file: '/nowhere/token' } }),
    });
    const text = await exchangeBytes(port, 'GET / HTTP/1.1\r\nHost: h\r\nHoldfast-Authorization: Bearer x\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1.1 401 [^]*WWW-Authenticate: Bearer[^]*holdfast_unauthorized/);
    expect(recorded.named('client_token_unreadable').length).toBe(1);
  });
});

describe('slow heads', () => {
  test('§10: a head that does not come is 408 and closed', async () => {
    const { port, seen } = await edge({ headTimeoutMs: 50 });
    const text = await exchangeBytes(port, 'GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ');
    expect(text).toMatch(/^HTTP\/1.1 408 [^]*holdfast_request_timeout/);
    expect(seen).toEqual([]);
  });
});

describe('a call that is expected to be shed', () => {
  const POST = 'POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello';

  test('goes inward with a body that nobody has opened, and that holds no room', async () => {
    const driven = new HandDriven();
    const { port, buffered } = await edge({ full: () => true, service: driven.service });
    const free = buffered.freeBytes;
    const answering = exchangeBytes(port, POST);
    await expect.poll(() => driven.calls.length).toBe(1);
    expect(driven.last.exchange.body).toMatchObject({ kind: 'stream', lengthBytes: 5, opened: false });
    expect(buffered.freeBytes).toBe(free);
    driven.last.answer(answered(503));
    expect(await answering).toMatch(/^HTTP\/1.1 503 /);
  });

  test('and is not shed after all has its whole body', async () => {
    const { port, seen } = await edge({ full: () => true });
    expect(await exchangeBytes(port, POST)).toMatch(/hello$/);
    expect(seen[0]!.body?.toString()).toBe('hello');
  });
});
