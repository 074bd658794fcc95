import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WireFailure } from '../../src/core/wire.ts';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';
import {
  type Behaviour,
  closeAfterRequest,
  cutAnswer,
  garbage,
  hang,
  hangOnAccept,
  interim,
  json,
  raw,
  refusedOrigin,
  resetAfterRequest,
  resetAtHead,
  resetOnAccept,
  ScriptedUpstream,
  truncatedChunked,
  truncatedLength,
} from '../support/scripted-upstream.ts';
import { send } from './wire-log.ts';

let server: ScriptedUpstream;
let upstream: Upstream;

const open = (origin: string): Upstream => createUpstream({ origin, connections: 4, proxy: null, caFile: null });

beforeEach(async () => {
  server = await ScriptedUpstream.start();
  upstream = open(server.origin);
});

afterEach(async () => {
  await upstream.close();
  await server.settled();
  await server.close();
});

const body = { kind: 'bytes', bytes: Buffer.from('{"email":"a@example.com"}') } as const;

describe('§2: what a failure is called, and whether anything was sent, follows from the phase', () => {
  const cases: readonly [string, Behaviour, Pick<WireFailure, 'kind' | 'sent'>][] = [
    ['a reset before the body is read', resetAtHead(), { kind: 'reset', sent: 'maybe' }],
    ['a reset after the request was read', resetAfterRequest(), { kind: 'reset', sent: 'maybe' }],
    ['a close after the request was read', closeAfterRequest(), { kind: 'reset', sent: 'maybe' }],
    ['bytes that are no HTTP', garbage(), { kind: 'reset', sent: 'maybe' }],
    ['half a head', cutAnswer({}, 20), { kind: 'reset', sent: 'maybe' }],
    ['a 100 that nobody asked for', interim([{ status: 100 }], { body: '{}' }), { kind: 'reset', sent: 'maybe' }],
    ['a 101 that nobody asked for', interim([{ status: 101 }], { body: '{}' }), { kind: 'reset', sent: 'yes' }],
    ['a body short of its Content-Length', truncatedLength('{"id":"1234567890"}'), { kind: 'truncated', sent: 'yes' }],
    ['a reset in the body', truncatedLength('{"id":"1234567890"}', 'reset'), { kind: 'truncated', sent: 'yes' }],
    ['chunks without the last one', truncatedChunked('{"id":"1234567890"}'), { kind: 'truncated', sent: 'yes' }],
  ];

  test.each(cases)('%s', async (_name, behaviour, expected) => {
    server.script(behaviour);
    const log = await send(upstream, { method: 'POST', body }).ended;
    expect(log.failure).toMatchObject({ ...expected, fault: 'upstream' });
    expect(log.events[0]).toBe('start');
    expect(server.requests).toHaveLength(1);
    expect(upstream.stats()).toEqual({ running: 0, waiting: 0, idle: 0 });
  });

  test('a connection that is reset as it opens: the same ECONNRESET before and after the request is written', async () => {
    for (let i = 0; i < 50; i += 1) {
      server.script(resetOnAccept());
      const log = await send(upstream, { method: 'POST', body }).ended;
      const written = log.events.includes('start');
      expect(log.failure).toMatchObject(written ? { kind: 'reset', sent: 'maybe' } : { kind: 'connect', sent: 'no' });
    }
    expect(server.requests).toEqual([]);
  });

  test('a port on which nobody listens', async () => {
    const other = open(await refusedOrigin());
    const log = await send(other).ended;
    expect(log.failure).toMatchObject({ kind: 'connect', sent: 'no' });
    expect(log.events).toEqual(['failure']);
    await other.close();
  });

  test('a name that does not resolve', async () => {
    const other = open('http://does-not-exist.invalid');
    expect((await send(other).ended).failure).toMatchObject({ kind: 'dns', sent: 'no' });
    await other.close();
  });

  test('a server that speaks no TLS', async () => {
    server.script({ at: 'accept', act: (peer) => peer.write('HTTP/1.1 400 Bad Request\r\n\r\n') });
    const other = open(server.origin.replace('http:', 'https:'));
    expect((await send(other).ended).failure).toMatchObject({ kind: 'tls', sent: 'no' });
    await other.close();
  });

  test('an interim answer proves that the request arrived', async () => {
    server.script(raw('HTTP/1.1 102 Processing\r\n\r\n'));
    const log = send(upstream, { method: 'POST', body });
    while (log.interim.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await server.close();
    expect((await log.ended).failure).toMatchObject({ kind: 'reset', sent: 'yes' });
  });

  test('a request that undici refuses to write', async () => {
    const log = await send(upstream, { headers: ['Expect', '100-continue'] }).ended;
    expect(log.failure).toMatchObject({ kind: 'connect', sent: 'no' });
    expect(server.requests).toEqual([]);
  });
});

describe('giving up', () => {
  test('§2: before the connection stands nothing is ever written, and the connection is dropped', async () => {
    server.script(hangOnAccept());
    const tls = open(server.origin.replace('http:', 'https:'));
    const log = send(tls);
    while (server.open === 0) await new Promise((resolve) => setImmediate(resolve));
    log.call.abort();
    await server.settled();
    expect(log.events).toEqual([]);
    expect(tls.stats().running).toBe(0);
    await tls.close();
  });

  test('§2: in the turn between dispatch and writing nothing is written', async () => {
    await send(upstream).ended;
    const log = send(upstream, { target: '/second' });
    log.call.abort();
    await server.settled();
    expect(server.requests.map((each) => each.target)).toEqual(['/x']);
    expect(log.events).toEqual([]);
  });

  test('after the request went out the socket is destroyed and nothing more is reported', async () => {
    server.script(hang());
    const log = send(upstream);
    await server.seen(1);
    log.call.abort();
    log.call.abort();
    await server.settled();
    expect(log.events).toEqual(['start']);
  });

  test('in the middle of a body the socket is destroyed', async () => {
    server.script(truncatedLength('x'.repeat(1000), 'hang'));
    const log = send(upstream);
    await log.headed;
    log.call.abort();
    await server.settled();
    expect(log.events).toEqual(['start', 'head']);
  });
});

test('§2: an idle socket that the upstream closed is noticed before a request is written to it', async () => {
  await send(upstream).ended;
  await server.close();
  for (let turns = 0; turns < 10; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  const log = await send(upstream, { method: 'POST', body }).ended;
  expect(log.failure).toMatchObject({ kind: 'connect', sent: 'no' });
});

test('a failed call leaves no trace on the next', async () => {
  server.script(resetAfterRequest(), truncatedLength('{"a":1}'), json({ a: 2 }));
  await send(upstream).ended;
  await send(upstream).ended;
  expect((await send(upstream).ended).text).toBe('{"a":2}');
});
