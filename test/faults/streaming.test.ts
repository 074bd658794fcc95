import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawClient } from '../edge/harness.ts';
import { eventually, KeepAliveClient } from './live.ts';
import { type Served, serve } from './served.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const GROWTH_BYTES_MAX = 48 * MIB;
/** Half of the body. What kernels hold in between is theirs to say: up to 32 MiB a socket on some machines. */
const STALLED_BYTES_MAX = 128 * MIB;

const YAML = `
version: 1
limits: { request_body: 2GiB }
profiles:
  unhurried: { timeout: { attempt: 60s, body_idle: 60s, total: 5m } }
profile: unhurried
`;

/** Not all alike, so that a piece lost, doubled or moved shows in the sum. */
const PIECE = Buffer.alloc(64 * 1024 + 1);
for (let i = 0; i < PIECE.length; i += 1) PIECE[i] = (i * 2_654_435_761) >>> 13;

let upstream: Server;
let served: Served;
let answer: (incoming: IncomingMessage, response: ServerResponse) => void;

const small = (incoming: IncomingMessage, response: ServerResponse): void => {
  incoming.resume();
  const body = JSON.stringify({ type: 'contact', id: '1', padding: 'p'.repeat(2000) });
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length }).end(body);
};

beforeAll(async () => {
  answer = small;
  upstream = createServer({ requestTimeout: 0 }, (incoming, response) => answer(incoming, response));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  served = await serve(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, YAML);
  const client = new KeepAliveClient(served.url, 8);
  let left = 200;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (left-- > 0) await client.call('PUT', '/contacts/1', '{"name":"Ada"}');
    }),
  );
  client.close();
});

afterAll(async () => {
  await served.stop();
  upstream.closeAllConnections();
  upstream.close();
});

interface Sum {
  bytes: number;
  crc: number;
}

const add = (sum: Sum, chunk: Buffer): void => {
  sum.bytes += chunk.length;
  sum.crc = crc32(chunk, sum.crc);
};

interface Writer {
  write(chunk: Buffer): boolean;
  once(event: 'drain', listener: () => void): unknown;
  end(): void;
}

/** Writes `bytes` as fast as they are taken; `sum` follows what was written. */
function pour(to: Writer, bytes: number, sum: Sum): void {
  while (sum.bytes < bytes) {
    const piece = PIECE.subarray(0, Math.min(PIECE.length, bytes - sum.bytes));
    add(sum, piece);
    if (!to.write(piece)) return void to.once('drain', () => pour(to, bytes, sum));
  }
  to.end();
}

function grownBytes(fromBytes: number): number {
  return served.peakBytes() - fromBytes;
}

describe('§10: memory stays flat while 1 GiB streams through', () => {
  test.each(['Content-Length', 'chunked'])('as an answer, %s', { timeout: 60_000 }, async (framing) => {
    const sent: Sum = { bytes: 0, crc: 0 };
    answer = (_request, response) => {
      const length = framing === 'chunked' ? {} : { 'Content-Length': GIB };
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', ...length });
      pour(response, GIB, sent);
    };
    const fromBytes = served.rssBytes();
    served.forgetPeak();
    const got: Sum = { bytes: 0, crc: 0 };
    const asked = request(`${served.url}/download/content/data/1`).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.on('data', (chunk: Buffer) => add(got, chunk));
    await once(response, 'end');
    expect(got).toEqual(sent);
    expect(got.bytes).toBe(GIB);
    expect(grownBytes(fromBytes)).toBeLessThan(GROWTH_BYTES_MAX);
  });

  test('as a request, the limit raised', { timeout: 60_000 }, async () => {
    const got: Sum = { bytes: 0, crc: 0 };
    answer = (incoming, response) => {
      incoming.on('data', (chunk: Buffer) => add(got, chunk));
      incoming.on('end', () => small(incoming, response));
    };
    const fromBytes = served.rssBytes();
    served.forgetPeak();
    const sent: Sum = { bytes: 0, crc: 0 };
    const asked = request(`${served.url}/contacts/1`, { method: 'PUT', headers: { 'Content-Length': GIB } });
    pour(asked, GIB, sent);
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(got).toEqual(sent);
    expect(got.bytes).toBe(GIB);
    expect(grownBytes(fromBytes)).toBeLessThan(GROWTH_BYTES_MAX);
  });
});

/** Resolves with the number of bytes that stays the same for half a second. */
async function stalledAt(sum: Sum): Promise<number> {
  let last = -1;
  let same = 0;
  await eventually('no more is written', () => {
    same = sum.bytes === last && last > 0 ? same + 1 : 0;
    last = sum.bytes;
    return same >= 100;
  });
  return last;
}

describe('§10: backpressure both ways', () => {
  const BYTES = 256 * MIB;

  test('a client that does not read stops the upstream, and gets everything when it reads on', async () => {
    const sent: Sum = { bytes: 0, crc: 0 };
    answer = (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': BYTES });
      pour(response, BYTES, sent);
    };
    const fromBytes = served.rssBytes();
    served.forgetPeak();
    const asked = request(`${served.url}/download/content/data/1`).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    expect(await stalledAt(sent)).toBeLessThan(STALLED_BYTES_MAX);
    const got: Sum = { bytes: 0, crc: 0 };
    response.on('data', (chunk: Buffer) => add(got, chunk));
    await once(response, 'end');
    expect(got).toEqual(sent);
    expect(grownBytes(fromBytes)).toBeLessThan(GROWTH_BYTES_MAX);
  });

  test('an upstream that does not read stops the client, and gets everything when it reads on', async () => {
    const { promise: reading, resolve: read } = Promise.withResolvers<void>();
    const got: Sum = { bytes: 0, crc: 0 };
    answer = (incoming, response) => {
      void reading.then(() => incoming.on('data', (chunk: Buffer) => add(got, chunk)));
      incoming.on('end', () => small(incoming, response));
    };
    const fromBytes = served.rssBytes();
    served.forgetPeak();
    const sent: Sum = { bytes: 0, crc: 0 };
    const asked = request(`${served.url}/contacts/1`, { method: 'PUT', headers: { 'Content-Length': BYTES } });
    pour(asked, BYTES, sent);
    expect(await stalledAt(sent)).toBeLessThan(STALLED_BYTES_MAX);
    read();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(got).toEqual(sent);
    expect(grownBytes(fromBytes)).toBeLessThan(GROWTH_BYTES_MAX);
  });
});

describe('§10: an answer that breaks off upstream breaks off for the client, and never ends cleanly', () => {
  const BYTES = 8 * MIB;

  test.each([
    ['Content-Length', { 'Content-Length': BYTES }, 'destroy'],
    ['Content-Length', { 'Content-Length': BYTES }, 'resetAndDestroy'],
    ['chunked', {}, 'destroy'],
    ['chunked', {}, 'resetAndDestroy'],
  ] as const)('%s, %j, upstream socket: %s', async (framing, length, how) => {
    answer = ({ socket }, response) => {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', ...length });
      response.write(Buffer.alloc(BYTES / 2, 'x'), () => socket[how]());
    };
    const client = new RawClient(Number(new URL(served.url).port)).send('GET /download HTTP/1.1\r\nHost: h\r\n\r\n');
    const text = await client.closed();
    client.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    if (framing === 'chunked') expect(text.endsWith('0\r\n\r\n')).toBe(false);
    else expect(client.body.length).toBeLessThan(BYTES);

    const asked = request(`${served.url}/download`).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.resume();
    await expect(once(response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' });
  });
});
