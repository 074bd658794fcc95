import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Instance, startInstance } from '../../src/assemble.ts';
import { edgeSettings, LIMITS, RawClient } from '../edge/harness.ts';
import { dataFolder } from '../support/data-folder.ts';
import { policy } from '../support/exchanges.ts';

const MEBIBYTE = 1024 * 1024;
const JSON_64K = Buffer.from(JSON.stringify({ text: 'x'.repeat(64 * 1024) }));
const BODIES = {
  empty: Buffer.alloc(0),
  'one byte': Buffer.from('1'),
  '64 KiB of JSON': JSON_64K,
  'binary, every byte': Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 256)),
  gzip: gzipSync(JSON_64K),
  '20 MiB': randomBytes(20 * MEBIBYTE),
};
type BodyName = keyof typeof BODIES;
const NAMES = Object.keys(BODIES) as BodyName[];

/** What the upstream saw of a request. */
interface Seen {
  method: string;
  target: string;
  rawHeaders: string[];
  sha: string;
  length: number;
}

/** What a client got. */
interface Got {
  status: number;
  rawHeaders: string[];
  rawTrailers: string[];
  sha: string;
  length: number;
  complete: boolean;
}

const seen: Seen[] = [];
let respond: (response: ServerResponse) => void = (response) => void response.end();
const upstream = createServer((incoming, response) => {
  void digest(incoming).then(({ sha, length }) => {
    const { method = '', url = '', rawHeaders } = incoming;
    seen.push({ method, target: url, rawHeaders, sha, length });
    return respond(response);
  });
});
let instance: Instance;

beforeAll(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo;
  const base = edgeSettings({
    limits: { ...LIMITS, requestBodyBytes: 32 * MEBIBYTE, repeatableBodyBytes: MEBIBYTE },
    upstream: { ...edgeSettings().upstream, origin: `http://127.0.0.1:${port}` },
  });
  const retry = { ...policy().retry, maxRetries: 0 };
  // `/json` promises JSON, so that its answers are held; everything else flows.
  const held = { policy: policy({ retry, operationClass: 'read' }), params: {} };
  const flowing = { policy: policy({ retry, operationClass: 'read', answer: { kind: 'any' } }), params: {} };
  instance = await startInstance({
    settings: { ...base, data: dataFolder(), match: (_method, path) => (path === '/json' ? held : flowing) },
    version: '0',
    nodeVersion: process.versions.node,
    env: {},
    logTo: { write: () => {} },
    file: null,
    load: () => Promise.resolve({ ok: false, faults: ['not here'] }),
  });
});

beforeEach(() => {
  seen.length = 0;
  respond = (response) => void response.end();
});

afterAll(async () => {
  await instance.stop(1000);
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
});

async function digest(message: IncomingMessage): Promise<{ sha: string; length: number }> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of message) {
    hash.update(chunk as Buffer);
    length += (chunk as Buffer).length;
  }
  return { sha: hash.digest('hex'), length };
}

const shaOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

function send(method: string, path: string, headers: string[], body: Buffer, pieces = 1): Promise<Got> {
  return new Promise((resolve, reject) => {
    // Not a URL: Node would fold its dots.
    const { hostname, port } = new URL(instance.url);
    const outgoing = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      const { statusCode: status = 0, rawHeaders } = response;
      const settle = ({ sha, length }: { sha: string; length: number }) =>
        resolve({ status, rawHeaders, rawTrailers: response.rawTrailers, sha, length, complete: response.complete });
      digest(response).then(settle, () => settle({ sha: '', length: -1 }));
    });
    outgoing.on('error', reject);
    const size = Math.ceil(body.length / pieces);
    for (let at = 0; at < body.length; at += size) outgoing.write(body.subarray(at, at + size));
    outgoing.end();
  });
}

const fieldsOf = (raw: readonly string[], names: RegExp) =>
  raw.flatMap((name, i) => (i % 2 === 0 && names.test(name) ? [`${name}: ${raw[i + 1]}`] : []));

describe('a request body reaches the upstream byte for byte', () => {
  const cases = NAMES.flatMap((name) =>
    ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'].flatMap((method) =>
      (['length', 'chunked'] as const).map((framing) => [name, method, framing] as const),
    ),
  );
  test.each(cases)('%s by %s, framed by %s', async (name, method, framing) => {
    const body = BODIES[name];
    const encoding = name === 'gzip' ? ['Content-Encoding', 'gzip'] : [];
    const framed = framing === 'length' ? ['Content-Length', String(body.length)] : ['Transfer-Encoding', 'chunked'];
    const target = '/any/%7Epath/../x?q=%20&q=1;a=b';
    const got = await send(method, target, ['hOsT', 'x', 'X-Dup', '1', 'x-DUP', '2', ...encoding, ...framed], body, 3);
    expect(got.status).toBe(200);
    expect(seen.length).toBe(1);
    expect(seen[0]).toMatchObject({ method, target, sha: shaOf(body), length: body.length });
    expect(fieldsOf(seen[0]!.rawHeaders, /^(x-dup|content-encoding)$/i)).toEqual([
      'X-Dup: 1',
      'x-DUP: 2',
      ...(encoding.length > 0 ? ['Content-Encoding: gzip'] : []),
    ]);
  });
});

describe('an answer reaches the client byte for byte', () => {
  const framings = ['length', 'chunked', 'chunked with trailers', 'close'] as const;
  const cases = NAMES.flatMap((name) =>
    framings.flatMap((framing) => [200, 201, 404].map((status) => [name, framing, status] as const)),
  );
  test.each(cases)('%s framed by %s, status %i', async (name, framing, status) => {
    const body = BODIES[name];
    // Held where the row promises JSON and the answer is JSON, flowing otherwise.
    const path = name === '64 KiB of JSON' || name === 'gzip' || status === 404 ? '/json' : '/any';
    respond = (response) => {
      const headers = ['Content-Type', 'application/json', 'x-DUP', '1', 'X-Dup', '2'];
      if (name === 'gzip') headers.push('Content-Encoding', 'gzip');
      if (framing === 'length') headers.push('Content-Length', String(body.length));
      if (framing === 'close') response.removeHeader('Transfer-Encoding');
      response.sendDate = false;
      if (framing === 'close') {
        response.socket?.end(Buffer.concat([rawHead(status, headers), body]));
        return;
      }
      response.writeHead(status, headers);
      if (framing === 'chunked with trailers') response.addTrailers([['X-Sum', 'abc']]);
      for (let at = 0; at < body.length; at += 100_000) response.write(body.subarray(at, at + 100_000));
      response.end();
    };
    const got = await send('GET', path, ['Host', 'x'], Buffer.alloc(0));
    expect(got).toMatchObject({ status, sha: shaOf(body), length: body.length, complete: true });
    expect(fieldsOf(got.rawHeaders, /^x-dup$/i)).toEqual(['x-DUP: 1', 'X-Dup: 2']);
    if (framing === 'chunked with trailers') expect(got.rawTrailers).toEqual(['X-Sum', 'abc']);
  });

  test.each([
    ['GET', 204],
    ['GET', 304],
    ['HEAD', 200],
    ['HEAD', 404],
    ['HEAD', 304],
    ['DELETE', 204],
    ['POST', 205],
  ])('%s answered %i has no body, and its fields come as they were', async (method, status) => {
    const length = method === 'HEAD' ? ['Content-Length', '1234'] : status === 205 ? ['Content-Length', '0'] : [];
    respond = (response) => void response.writeHead(status, ['ETag', '"x"', ...length]).end();
    for (const path of ['/any', '/json']) {
      const got = await send(method, path, ['Host', 'x'], Buffer.alloc(0));
      expect(got).toMatchObject({ status, length: 0, complete: true });
      expect(fieldsOf(got.rawHeaders, /^(etag|content-length)$/i)).toEqual(['ETag: "x"', ...fieldsOf(length, /./)]);
    }
  });

  test('102 and 103 pass, 100 is never forwarded', async () => {
    respond = (response) => {
      response.writeProcessing();
      response.writeEarlyHints({ link: '</a>; rel=preload' });
      response.end('done');
    };
    const client = new RawClient(Number(new URL(instance.url).port));
    const text = await client.send('GET /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').closed();
    expect(text).toMatch(
      /^HTTP\/1.1 102 Processing\r\n\r\nHTTP\/1.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\n\r\nHTTP\/1.1 200 OK\r\n/,
    );
    expect(text).not.toContain('100 Continue');
    client.destroy();
  });

  test.each(['length', 'chunked'] as const)(
    'one that breaks off, framed by %s, is never whole for the client',
    async (framing) => {
      respond = (response) => {
        response.writeHead(200, framing === 'length' ? ['Content-Length', '1000000'] : []);
        response.write(Buffer.alloc(500_000), () => response.destroy());
      };
      const got = await send('GET', '/any', ['Host', 'x'], Buffer.alloc(0));
      expect(got.complete).toBe(false);
    },
  );
});

function rawHead(status: number, headers: string[]): Buffer {
  let head = `HTTP/1.1 ${status} X\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1');
}
