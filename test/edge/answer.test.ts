import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/core/outcome.ts';
import { answered, HandDriven } from '../support/exchanges.ts';
import {
  type Edge,
  type EdgeOptions,
  edgeSettings,
  exchangeBytes,
  HandStream,
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
    expect(made.recorded.named('exchange').length).toBe(made.seen.length);
  }
});

const turn = () => new Promise((resolve) => setImmediate(resolve));
const request = (method = 'GET', version = '1.1') =>
  `${method} / HTTP/${version}\r\nHost: h\r\nConnection: close\r\n\r\n`;
const streamed = (stream: HandStream, headers: string[] = []): Outcome =>
  answered(200, { headers, body: { kind: 'stream', stream } });

/** A client whose exchange has a streamed answer that the test drives. */
async function streaming(headers: string[] = [], version = '1.1') {
  const stream = new HandStream();
  const made = await edge({ answer: () => streamed(stream, headers) });
  const client = new RawClient(made.port).send(request('GET', version));
  while (stream.sink === null) await turn();
  return { stream, client, ...made };
}

describe('the head of an answer that streams', () => {
  test('keeps its bytes, and goes out before the body', async () => {
    const disposition = 'attachment; filename="caf\xe9\xff.csv"';
    const { stream, client } = await streaming(['Content-Disposition', disposition]);
    await client.until((text) => text.endsWith('\r\n\r\n'));
    expect(client.text).toContain(`Content-Disposition: ${disposition}\r\n`);
    stream.sink!.end([]);
    await client.closed();
  });
});

describe('an answer held whole', () => {
  test('keeps its fields in order, case, duplicates and bytes; ours stand behind', async () => {
    const headers = [
      'X-B',
      '1',
      'x-a',
      'caf\xe9',
      'X-B',
      '2',
      'Set-Cookie',
      'a=1',
      'set-cookie',
      'b=2',
      'dATE',
      'Mon',
      'Content-Disposition',
      'f; n="\xe9"',
    ];
    const { port } = await edge({
      answer: () => answered(207, { headers, body: { kind: 'bytes', bytes: Buffer.from('{}') } }),
    });
    const text = await exchangeBytes(port, request());
    expect(text).toMatch(/^HTTP\/1.1 207 /);
    const lines = text.split('\r\n').slice(1, 8);
    expect(lines).toEqual([
      'X-B: 1',
      'x-a: caf\xe9',
      'X-B: 2',
      'Set-Cookie: a=1',
      'set-cookie: b=2',
      'dATE: Mon',
      'Content-Disposition: f; n="\xe9"',
    ]);
    expect(text.match(/^date:/gim)?.length).toBe(1);
    expect(text).toContain('\r\nContent-Length: 2\r\n');
    expect(text).toMatch(/\r\nHoldfast: from=upstream, attempts=0, verdict=ok, effect=applied\r\nVia: 1.1 holdfast-/);
  });

  test.each([
    ['GET', 204, []],
    ['GET', 304, ['ETag', '"x"']],
    ['HEAD', 200, ['Content-Length', '1234']],
    ['HEAD', 200, []],
    ['HEAD', 404, ['content-length', '5']],
    ['GET', 205, ['Content-Length', '0']],
  ] as const)('%s answered %i carries no body and keeps the connection in step', async (method, status, headers) => {
    const { port } = await edge({
      answer: () => answered(status, { headers: [...headers], body: { kind: 'bytes', bytes: Buffer.alloc(0) } }),
    });
    const keep = request(method).replace('Connection: close\r\n', '');
    const client = new RawClient(port).send(keep + keep.replace(' / ', ' /2 '));
    const text = await client.until((all) => all.split('HTTP/1.1 ').length === 3 && all.endsWith('\r\n\r\n'));
    const [first, second] = text.split('\r\n\r\n') as [string, string];
    expect(second.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
    expect(first).not.toMatch(/transfer-encoding/i);
    expect(first.match(/^content-length: (\d+)/im)?.[1] ?? null).toBe(
      headers[0]?.toLowerCase() === 'content-length' ? headers[1] : null,
    );
    client.destroy();
    await turn();
  });

  test('trailers of a held body go to HTTP/1.1 as chunked, and are dropped for HTTP/1.0', async () => {
    const { port } = await edge({
      answer: () => answered(200, { headers: [], trailers: ['X-Sum', '1', 'x-sum', '2'] }),
    });
    expect(await exchangeBytes(port, request())).toMatch(
      /Transfer-Encoding: chunked[^]*\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n$/,
    );
    expect(await exchangeBytes(port, request('GET', '1.0'))).toMatch(/\r\n\r\n{}$/);
  });

  test.each([
    ['a status below 100', 42, []],
    ['a status above 999', 1000, []],
    ['a control byte in a value', 200, ['X', 'a\x01b']],
    ['a line break in a value', 200, ['X', 'a\r\nSet-Cookie: evil']],
    ['a space in a name', 200, ['X Y', 'a']],
    ['a byte that is not latin1', 200, ['X', '\u2713']],
  ])('%s becomes 502 holdfast_answer_broken, and nothing of it goes out', async (_name, status, headers) => {
    const stream = new HandStream();
    const { port } = await edge({ answer: () => answered(status, { headers, body: { kind: 'stream', stream } }) });
    const text = await exchangeBytes(port, request());
    expect(text).toMatch(/^HTTP\/1.1 502 [^]*http_protocol_error[^]*holdfast_answer_broken/);
    expect(text).not.toMatch(/evil|^X/m);
    expect(stream.discarded).toBe(true);
  });
});

describe('an answer that flows', () => {
  test('flows as it comes, chunked to HTTP/1.1, with its trailers', async () => {
    const { stream, client, recorded } = await streaming(['X', '1']);
    stream.sink!.data(Buffer.from('hello '));
    expect(await client.until((text) => text.includes('hello'))).toContain('Transfer-Encoding: chunked');
    expect(recorded.named('exchange')).toEqual([]);
    stream.sink!.data(Buffer.from('world'));
    stream.end(['X-Sum', '1']);
    expect(await client.closed()).toMatch(/\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n$/);
  });

  test('its head goes out before its first byte', async () => {
    const { stream, client } = await streaming();
    expect(await client.until((text) => text.endsWith('\r\n\r\n'))).toMatch(/^HTTP\/1.1 200 /);
    stream.end();
    await client.closed();
  });

  test('trailers that cannot be written are left out', async () => {
    const { stream, client } = await streaming();
    stream.end(['X', 'a\r\nb']);
    expect(await client.closed()).toMatch(/\r\n0\r\n\r\n$/);
  });

  test('keeps its Content-Length, and is delimited by the end for HTTP/1.0 without one', async () => {
    const known = await streaming(['Content-Length', '2']);
    known.stream.sink!.data(Buffer.from('hi'));
    known.stream.end();
    expect(await known.client.closed()).toMatch(/\r\n\r\nhi$/);
    const old = await streaming([], '1.0');
    old.stream.sink!.data(Buffer.from('hi'));
    old.stream.end();
    const text = await old.client.closed();
    expect(text).toMatch(/\r\n\r\nhi$/);
    expect(text).not.toMatch(/transfer-encoding|content-length/i);
    expect(old.client.error).toBe(null);
  });

  test.each([
    ['chunked', [], '1.1'],
    ['of known length', ['Content-Length', '10'], '1.1'],
    ['delimited by the end of the connection', [], '1.0'],
  ])('§10: a truncated answer, %s, never looks like a clean end', async (kind, headers, version) => {
    const { stream, client, recorded } = await streaming(headers, version);
    stream.sink!.data(Buffer.from('half'));
    await client.until((text) => text.includes('half'));
    stream.fail('truncated');
    const text = await client.closed();
    expect(text).not.toMatch(/\r\n0\r\n/);
    expect(text).toContain('half');
    if (kind.startsWith('delimited')) expect(client.error?.code).toBe('ECONNRESET');
    while (recorded.named('exchange').length === 0) await turn();
    expect(recorded.named('exchange')).toEqual([expect.objectContaining({ status: 200, complete: false })]);
  });

  test('§10: backpressure reaches the upstream: paused while the client does not read, resumed when it does', async () => {
    const { stream, client } = await streaming(['Content-Length', String(64 * 1024 * 1024)]);
    client.socket.pause();
    const block = Buffer.alloc(1024 * 1024);
    let sent = 0;
    for (let still = 0; still < 50; still++) {
      if (stream.paused === stream.resumed) {
        expect(sent).toBeLessThan(64);
        stream.sink!.data(block);
        sent += 1;
        still = 0;
      }
      await turn();
    }
    client.socket.resume();
    while (stream.paused > stream.resumed) await turn();
    while (sent++ < 64) stream.sink!.data(block);
    stream.end();
    await client.closed();
    expect(client.body.length).toBe(64 * 1024 * 1024);
  });

  test('a client that leaves gives the stream up, and is counted once', async () => {
    const { stream, client, recorded, seen } = await streaming();
    await client.until((text) => text.endsWith('\r\n\r\n'));
    client.socket.resetAndDestroy();
    while (recorded.named('exchange').length === 0) await turn();
    expect(stream.discarded).toBe(true);
    expect(seen[0]!.exchange.cancel.signal.reason).toBe('client_gone');
    stream.sink!.data(Buffer.from('late'));
    stream.sink!.end([]);
    await turn();
    expect(recorded.named('exchange').length).toBe(1);
  });

  test('HEAD whose answer has a stream sends none of it', async () => {
    const stream = new HandStream();
    stream.onStart = (sink) => sink.end([]);
    const { port } = await edge({ answer: () => streamed(stream, ['Content-Length', '77']) });
    expect(await exchangeBytes(port, request('HEAD'))).toMatch(/Content-Length: 77\r\n[^]*\r\n\r\n$/);
  });
});

/** A client whose exchange waits for the test to answer it. */
const driven = async (version: string) => {
  const service = new HandDriven();
  const made = await startEdge({ service: service.service });
  const client = new RawClient(made.port).send(request('GET', version));
  while (service.calls.length === 0) await turn();
  return { made, client, call: service.last };
};

describe('interim answers', () => {
  test('102 and 103 go to HTTP/1.1 as they come; none after the head; one that cannot be written is left out', async () => {
    const { made, client, call } = await driven('1.1');
    const pass = call.exchange.onInformational!;
    pass(103, ['Link', '</a>; rel=preload', 'link', '</b>']);
    pass(103, ['Link', 'a\r\nb']);
    pass(102, []);
    await client.until((text) => text.includes('102 Processing'));
    call.answer(answered(200));
    const text = await client.closed();
    expect(text).toMatch(
      /^HTTP\/1.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\nlink: <\/b>\r\n\r\nHTTP\/1.1 102 Processing\r\n\r\nHTTP\/1.1 200 /,
    );
    pass(103, []);
    await made.close();
    expect(made.recorded.named('bug')).toEqual([]);
  });

  test('HTTP/1.0 gets none', async () => {
    const { made, client, call } = await driven('1.0');
    expect(call.exchange.onInformational).toBe(null);
    call.answer(answered(200));
    expect(await client.closed()).toMatch(/^HTTP\/1.1 200 /);
    await made.close();
  });
});

/** Sends bytes over TLS, and resolves with what came and how it ended. */
const overTls = (port: number, bytes: string) =>
  new Promise<string>((resolve) => {
    let text = '';
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', (error) => {
      text += ` [${(error as NodeJS.ErrnoException).code}]`;
    });
    socket.on('close', () => resolve(text));
  });

describe('TLS on the listener', () => {
  const tls = {
    certFile: new URL('../support/tls/cert.pem', import.meta.url).pathname,
    keyFile: new URL('../support/tls/key.pem', import.meta.url).pathname,
  };

  test('serves, refuses what is malformed, and survives bytes that are no TLS', async () => {
    const { port } = await edge({ settings: edgeSettings({ tls }) });
    expect(await overTls(port, request('POST').replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\nhi'))).toMatch(
      / 200 [^]*hi$/,
    );
    expect(await overTls(port, 'GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    expect(await overTls(port, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    await exchangeBytes(port, request());
    expect(await overTls(port, request())).toMatch(/^HTTP\/1.1 200 /);
  });

  test('a key that cannot be read stops the start with the code of the system', async () => {
    const settings = edgeSettings({ tls: { ...tls, keyFile: '/nowhere/key.pem' } });
    await expect(startEdge({ settings })).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
