import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { type Edge, exchangeBytes, RawClient, startEdge } from '../edge/harness.ts';
import { answered } from '../support/exchanges.ts';
import { MALFORMED } from './malformed.corpus.ts';

const VALID = 'POST /valid HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nvalid';

let edge: Edge;

beforeAll(async () => {
  edge = await startEdge({
    // Not at once: what is malformed behind it must wait for it.
    answer: async () => {
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
      return answered(200, { body: { kind: 'bytes', bytes: Buffer.from('the valid one') } });
    },
  });
});

afterAll(async () => {
  expect(await exchangeBytes(edge.port, VALID.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))).toMatch(/ 200 OK/);
  const open = await new Promise<number>((resolve, reject) =>
    edge.plane.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
  expect(open).toBe(0);
  expect(edge.plane.active()).toBe(0);
  expect(edge.buffered.freeBytes).toBe(64 * 1024 * 1024);
  expect(edge.recorded.named('bug')).toEqual([]);
  await edge.close();
});

async function send(bytes: string, cut: boolean): Promise<string> {
  const client = new RawClient(edge.port).send(bytes);
  if (cut) client.socket.end();
  // A client that closes when it has its answer, as clients do; the server must not depend on it (see below).
  const text = await client.until((all) => /connection: close\r\n[^]*\r\n\r\n\{[^]*\}\]\}$/i.test(all));
  client.socket.end();
  await client.closed();
  await new Promise<void>((resolve) =>
    client.socket.destroyed ? resolve() : client.socket.once('close', () => resolve()),
  );
  expect(client.error).toBe(null);
  return text;
}

function expectRefusal(text: string, status: number): void {
  const [head, body] = text.split('\r\n\r\n') as [string, string];
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(head).toMatch(/^connection: close$/im);
  expect(head).toMatch(/^holdfast: from=proxy, attempts=0, verdict=permanent, effect=none, reason=/im);
  expect(head).toMatch(new RegExp(`^content-length: ${body.length}$`, 'im'));
  const parsed = JSON.parse(body) as { type: string; errors: { code: string }[] };
  expect(parsed.type).toBe('error.list');
  expect(parsed.errors[0]?.code).toMatch(/^holdfast_/);
}

test('the corpus has at least 60 requests, each under its own name', () => {
  expect(new Set(MALFORMED.map(({ name }) => name)).size).toBe(MALFORMED.length);
  expect(MALFORMED.length).toBeGreaterThanOrEqual(60);
});

describe('§10: a malformed request never reaches the upstream, gets its 4xx and a closed connection', () => {
  test.each(MALFORMED.map((entry) => [entry.name, entry] as const))('%s', async (_name, { bytes, status, cut }) => {
    const before = edge.seen.length;
    expectRefusal(await send(bytes, cut === true), status);
    expect(edge.seen.length).toBe(before);
  });
});

describe('§10: a valid request pipelined before a malformed one is served and answered first', () => {
  test.each(MALFORMED.map((entry) => [entry.name, entry] as const))('%s', async (_name, { bytes, status, cut }) => {
    const before = edge.seen.length;
    const text = await send(VALID + bytes, cut === true);
    const second = text.indexOf('HTTP/1.1', 10);
    expect(text.slice(0, second)).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*the valid one$/);
    expectRefusal(text.slice(second), status);
    expect(edge.seen.slice(before).map(({ exchange }) => exchange.target)).toEqual(['/valid']);
  });
});

describe('§10: nothing behind a malformed request is served', () => {
  test.each(MALFORMED.filter(({ cut }) => cut !== true).map((entry) => [entry.name, entry] as const))(
    '%s',
    async (_name, { bytes, status }) => {
      const before = edge.seen.length;
      expectRefusal(await send(bytes + VALID, false), status);
      expect(edge.seen.length).toBe(before);
    },
  );
});

test('§10: the connection is closed in time although the client does not close', async () => {
  const { bytes } = MALFORMED.find(({ name }) => name === 'a chunk size that is no number')!;
  expectRefusal(await exchangeBytes(edge.port, bytes), 400);
  expectRefusal(await exchangeBytes(edge.port, MALFORMED[0]!.bytes), 400);
});

test('any byte sequence leaves the server alive: every prefix of a request, with a cut behind it', async () => {
  const whole = 'POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
  const before = edge.seen.length;
  for (let length = 0; length < whole.length; length++) {
    const text = await send(whole.slice(0, length), true);
    expect(text === '' || text.startsWith('HTTP/1.1 400 ')).toBe(true);
  }
  expect(edge.seen.length).toBe(before);
});

test('any byte sequence leaves the server alive: 2,000 mutations of the corpus', async () => {
  const random = seededRandom(7);
  const pick = (below: number) => Math.floor(random() * below);
  const mutated = (): string => {
    let bytes = random() < 0.5 ? VALID : '';
    bytes += MALFORMED[pick(MALFORMED.length)]!.bytes.slice(0, 2000);
    for (let n = pick(4); n >= 0; n--) {
      const at = pick(bytes.length);
      const inserted = [String.fromCharCode(pick(256)), '\r\n', '0\r\n\r\n', ' ', VALID.slice(pick(VALID.length))][
        pick(5)
      ]!;
      bytes = bytes.slice(0, at) + inserted + bytes.slice(at + pick(3));
    }
    return bytes;
  };
  for (let n = 0; n < 100; n++) {
    const texts = await Promise.all(Array.from({ length: 20 }, () => send(mutated(), true)));
    for (const text of texts) expect(text === '' || /^HTTP\/1\.1 [1-5]\d\d /.test(text)).toBe(true);
  }
});

test('a request that comes byte by byte is served', async () => {
  const client = new RawClient(edge.port);
  client.socket.setNoDelay(true);
  for (const byte of VALID) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await client.until((text) => text.includes('the valid one'))).toMatch(/^HTTP\/1.1 200/);
  client.socket.end();
  await client.closed();
});
