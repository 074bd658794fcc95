import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RequestBody } from '../../src/core/exchange.ts';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';
import { RequestReader } from '../support/request-reader.ts';
import {
  answer,
  earlyAnswer,
  hang,
  interim,
  json,
  refusedOrigin,
  resetAtHead,
  ScriptedUpstream,
  untilClose,
} from '../support/scripted-upstream.ts';
import { send } from './wire-log.ts';

let server: ScriptedUpstream;
let upstream: Upstream;

const open = (origin: string, more: { caFile?: string; connections?: number } = {}): Upstream =>
  createUpstream({ origin, connections: 2, proxy: null, caFile: null, ...more });

beforeEach(async () => {
  server = await ScriptedUpstream.start();
  upstream = open(server.origin);
});

afterEach(async () => {
  await upstream.close();
  await server.settled();
  await server.close();
});

const pem = (name: string): string => readFileSync(new URL(`../support/tls/${name}.pem`, import.meta.url), 'utf8');

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

function stream(pieces: readonly (Buffer | Error)[], lengthBytes: number | null): RequestBody & { kind: 'stream' } {
  const source = async function* () {
    for (const piece of pieces) {
      await turns(2);
      if (piece instanceof Error) throw piece;
      yield piece;
    }
  };
  return { kind: 'stream', lengthBytes, opened: false, open: () => Readable.from(source(), { objectMode: false }) };
}

describe('§10: requests', () => {
  test('go out with the host of the upstream, fields in order and case, duplicates kept', async () => {
    const headers = ['X-B', '1', 'x-a', '2', 'X-B', '3', 'Accept', 'caf\u00e9'];
    await send(upstream, { target: '/contacts?a=%2f&b=%C3%A9', headers }).ended;
    const [seen] = server.requests;
    expect(seen?.target).toBe('/contacts?a=%2f&b=%C3%A9');
    expect(seen?.headers).toEqual(['host', `127.0.0.1:${server.port}`, 'connection', 'keep-alive', ...headers]);
  });

  test('HEAD does not ask for the connection to be closed, GET and DELETE with a body keep it too', async () => {
    const bytes = Buffer.from('{}');
    await send(upstream, { method: 'HEAD' }).ended;
    server.script(answer({ body: '' }), json({}), json({}));
    await send(upstream, { method: 'HEAD' }).ended;
    await send(upstream, { method: 'GET', body: { kind: 'bytes', bytes } }).ended;
    await send(upstream, { method: 'DELETE', body: { kind: 'bytes', bytes } }).ended;
    expect(server.requests.every((each) => RequestReader.field(each, 'connection') === 'keep-alive')).toBe(true);
    expect(server.requests.at(-1)?.body.toString()).toBe('{}');
  });

  test('a streamed body of known length keeps its Content-Length, one of unknown length goes in chunks', async () => {
    const pieces = [Buffer.from('hello '), Buffer.from('world')];
    const sized = send(upstream, { method: 'POST', body: stream(pieces, 11) });
    await sized.ended;
    await send(upstream, { method: 'POST', body: stream(pieces, null) }).ended;
    const [first, second] = server.requests;
    expect(RequestReader.field(first!, 'content-length')).toBe('11');
    expect(RequestReader.field(second!, 'transfer-encoding')).toBe('chunked');
    expect([first?.body.toString(), second?.body.toString()]).toEqual(['hello world', 'hello world']);
    expect(sized.events).toEqual(['start', 'uploaded', 'head', 'end']);
  });

  test('§2: a streamed body is not opened when there was no connection', async () => {
    const other = open(await refusedOrigin());
    const body = stream([Buffer.from('x')], 1);
    expect((await send(other, { method: 'POST', body }).ended).failure?.sent).toBe('no');
    expect(body.opened).toBe(false);
    await other.close();
  });

  test('a streamed body that breaks off never looks complete, and the upstream is not to blame', async () => {
    const body = stream([Buffer.from('half'), new Error('the client left')], 8);
    const log = await send(upstream, { method: 'POST', body }).ended;
    expect(log.failure).toMatchObject({ kind: 'reset', sent: 'maybe', fault: 'caller' });
    await server.settled();
    expect(server.requests.map((each) => each.whole)).toEqual([false]);
  });

  test('a streamed body is closed when the upstream resets', async () => {
    server.script(resetAtHead());
    let source: Readable | null = null;
    const body = stream([], 1_000_000);
    const endless = { ...body, open: () => (source = new Readable({ read() {} })) };
    const log = send(upstream, { method: 'POST', body: endless });
    await log.started;
    source!.push(Buffer.alloc(1000));
    await log.ended;
    expect(log.failure).toMatchObject({ kind: 'reset', sent: 'maybe', fault: 'upstream' });
    expect(source!.destroyed).toBe(true);
  });

  test.each([false, true])(
    'an early answer to a large upload is delivered (half-close after it: %s)',
    async (close) => {
      server.script(earlyAnswer({ status: 413, body: '{"too":"large"}' }, close));
      const pieces = Array.from({ length: 50 }, () => Buffer.alloc(64 * 1024));
      const log = await send(upstream, { method: 'POST', body: stream(pieces, 50 * 64 * 1024) }).ended;
      expect([log.status, log.text, log.failure]).toEqual([413, '{"too":"large"}', null]);
      expect((await send(upstream).ended).status).toBe(200);
    },
  );
});

describe('§10: answers', () => {
  test('come with fields in order and case, hop-by-hop ones and those that Connection names left out', async () => {
    const kept = [
      'X-B',
      '1',
      'Set-Cookie',
      'a=1',
      'set-cookie',
      'b=2',
      'X-B',
      'caf\u00e9',
      'Cache-Control',
      'no-store',
    ];
    const hop = ['Connection', 'X-Hop, cache-control', 'X-Hop', '1', 'Keep-Alive', 'timeout=9', 'Upgrade', 'h2c'];
    server.script(answer({ headers: [...kept, ...hop], body: 'x' }));
    const log = await send(upstream).ended;
    expect(log.headers).toEqual([...kept, 'Content-Length', '1']);
  });

  test('a head that comes in pieces reads like one in a single piece', async () => {
    const bytes = 'HTTP/1.1 200 OK\r\nX-First: one\r\nX-Second: two\r\nContent-Length: 2\r\n\r\nok';
    server.script({
      at: 'request',
      act: (peer) => {
        let at = 0;
        const next = (): void => {
          peer.write(bytes.slice(at, at + 1));
          at += 1;
          if (at < bytes.length) setImmediate(next);
        };
        next();
      },
    });
    const log = await send(upstream).ended;
    expect(log.headers).toEqual(['X-First', 'one', 'X-Second', 'two', 'Content-Length', '2']);
    expect(log.text).toBe('ok');
  });

  test('may have a head of 60 KiB', async () => {
    const headers = Array.from({ length: 60 }, (_, i) => [`X-${i}`, 'x'.repeat(1000)]).flat();
    server.script(answer({ headers }));
    expect((await send(upstream).ended).headers.slice(0, -2)).toEqual(headers);
  });

  test('102 and 103 are passed on, other interim answers are not', async () => {
    const heads = [
      { status: 102 },
      { status: 103, headers: ['Link', '</a>', 'Connection', 'X-Hop', 'X-Hop', '1'] },
      { status: 199 },
    ];
    server.script(interim(heads, { headers: ['X-Real', '1'], body: 'x' }));
    const log = await send(upstream).ended;
    expect(log.interim).toEqual([
      { status: 102, headers: [] },
      { status: 103, headers: ['Link', '</a>'] },
    ]);
    expect(log.headers).toEqual(['X-Real', '1', 'Content-Length', '1']);
  });

  test('trailers come with the end', async () => {
    server.script(answer({ body: 'x', chunked: true, trailers: ['X-Sum', '1', 'Connection', 'x'] }));
    expect((await send(upstream).ended).trailers).toEqual(['X-Sum', '1']);
  });

  test('an answer that ends with its connection is whole', async () => {
    server.script(untilClose('{"a":1}'));
    const log = await send(upstream).ended;
    expect([log.text, log.failure]).toEqual(['{"a":1}', null]);
  });

  test('backpressure reaches the upstream: 200 MiB pass a slow reader in flat memory', async () => {
    const total = 200 * 1024 * 1024;
    const piece = Buffer.alloc(1024 * 1024, 'x');
    let written = 0;
    let ahead = 0;
    let log: ReturnType<typeof send> | null = null;
    server.script({
      at: 'request',
      act: ({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
        const more = (): void => {
          while (written < total) {
            written += piece.length;
            ahead = Math.max(ahead, written - (log?.bytes ?? 0));
            if (!socket.write(piece)) return void socket.once('drain', more);
          }
        };
        more();
      },
    });
    log = send(upstream);
    let sinceResume = 0;
    const rss: number[] = [];
    log.onChunk = (self) => {
      sinceResume += 1;
      if (sinceResume % 16 !== 0) return;
      self.call.pause();
      rss.push(process.memoryUsage().rss);
      setImmediate(() => self.call.resume());
    };
    await log.ended;
    expect(log.bytes).toBe(total);
    // Kernel buffers of both sides and one piece; without backpressure this would be everything.
    expect(ahead).toBeLessThan(24 * 1024 * 1024);
    expect(Math.max(...rss) - Math.min(...rss)).toBeLessThan(96 * 1024 * 1024);
  });
});

describe('connections', () => {
  test('serve one call after the other', async () => {
    for (let i = 0; i < 20; i += 1) {
      await send(upstream).ended;
      await turns(1);
    }
    expect(server.accepted).toBe(1);
  });

  test('a connection whose upstream wants it closed is opened anew', async () => {
    server.script(answer({ headers: ['Connection', 'close'], body: 'x' }));
    await send(upstream).ended;
    expect((await send(upstream).ended).text).toBe('{"ok":true}');
    expect(server.accepted).toBe(2);
  });

  test('an idle one is dropped before the upstream says that it will drop it', async () => {
    // undici takes 2 s off the hint; 2 s leave nothing, so the socket goes at once.
    server.script(answer({ headers: ['Keep-Alive', 'timeout=2'], body: 'x' }));
    await send(upstream).ended;
    await server.settled();
  });

  test('§10: places are given out in order, and come back on every path', async () => {
    const never = new AbortController();
    const first = upstream.connection(never);
    const second = upstream.connection(never);
    if (first instanceof Promise || second instanceof Promise) throw new Error('a free place came late');
    const order: string[] = [];
    const gone = new AbortController();
    const waiting = ['a', 'b', 'c'].map(async (name) => {
      const release = await upstream.connection(name === 'b' ? gone : never);
      order.push(release === null ? `${name} left` : name);
      return release;
    });
    expect(upstream.stats().waiting).toBe(3);
    gone.abort('client_gone');
    await turns(1);
    first();
    first();
    await turns(1);
    expect(order).toEqual(['b left', 'a']);
    second();
    expect(await Promise.all(waiting)).toHaveLength(3);
    expect(order).toEqual(['b left', 'a', 'c']);
    expect(upstream.connection({ signal: AbortSignal.abort('client_gone') })).toBeInstanceOf(Promise);
    expect(await upstream.connection({ signal: AbortSignal.abort('client_gone') })).toBeNull();
  });

  test('closing lets the running call finish and keeps no connection', async () => {
    server.script(hang());
    const log = send(upstream);
    await server.seen(1);
    const closed = upstream.close();
    await turns(5);
    expect(upstream.stats().running).toBe(1);
    log.call.abort();
    await closed;
    await server.settled();
  });
});

describe('TLS', () => {
  const caFile = new URL('../support/tls/cert.pem', import.meta.url).pathname;
  let secure: ScriptedUpstream;

  beforeEach(async () => {
    secure = await ScriptedUpstream.start({ tls: { key: pem('key'), cert: pem('cert') } });
  });

  afterEach(async () => {
    await secure.settled();
    await secure.close();
  });

  test('an authority from ca_file is trusted, and the host goes out as SNI', async () => {
    const other = open(secure.origin.replace('127.0.0.1', 'localhost'), { caFile });
    let name: unknown = null;
    secure.script({
      at: 'request',
      act: (peer) => {
        name = 'servername' in peer.socket ? peer.socket.servername : null;
        peer.write('HTTP/1.1 204 No Content\r\n\r\n');
      },
    });
    expect((await send(other).ended).status).toBe(204);
    expect(name).toBe('localhost');
    await other.close();
  });

  test('§2: an unknown authority is failure tls, nothing sent', async () => {
    const other = open(secure.origin);
    expect((await send(other).ended).failure).toMatchObject({ kind: 'tls', sent: 'no' });
    expect(secure.requests).toEqual([]);
    await other.close();
  });

  test.each(['/does/not/exist.pem', new URL('../support/tls/key.pem', import.meta.url).pathname])(
    'a ca_file that is none stops the start: %s',
    (file) => {
      expect(() => open(secure.origin, { caFile: file })).toThrow(/^upstream\.ca_file .*: /);
    },
  );
});

test('destroy ends running calls as failures, and a call that comes later fails unsent', async () => {
  server.script(hang());
  const running = send(upstream);
  await expect.poll(() => server.requests.length).toBe(1);
  await upstream.destroy();
  expect((await running.ended).failure).toMatchObject({ kind: 'reset', sent: 'maybe' });
  expect((await send(upstream).ended).failure).toMatchObject({ sent: 'no' });
  expect(server.requests).toHaveLength(1);
  expect(upstream.stats()).toMatchObject({ running: 0, idle: 0 });
});
