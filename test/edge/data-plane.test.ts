import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/core/outcome.ts';
import { createDataPlane } from '../../src/edge/data-plane.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { answered, HandDriven, verdict } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
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
    expect(made.buffered.freeBytes).toBe(edgeSettings().limits.bufferedBytes);
    expect(made.recorded.named('bug')).toEqual([]);
  }
});

const GET = 'GET /contacts?x=%2F HTTP/1.1\r\nHost: h\r\n\r\n';
const GET_CLOSE = 'GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
const turn = () => new Promise((resolve) => setImmediate(resolve));
const bodyIs = (text: string) => (all: string) => all.includes(text);

describe('what goes in', () => {
  test('§10: fields keep order, case and duplicates; hop-by-hop and our own do not go on; Via is added', async () => {
    const { port, seen } = await edge();
    await exchangeBytes(
      port,
      'POST /contacts/../x?q=1&q=%20 HTTP/1.1\r\nhOsT: h\r\nX-B: 1\r\nx-a: \xe9\r\nX-B: 2\r\nConnection: close, x-hop, authorization, Cache-Control\r\n' +
        'X-Hop: gone\r\nKeep-Alive: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: p\r\nAuthorization: Bearer t\r\nCache-Control: no-store\r\n' +
        'Idempotency-Key: k\r\nPrefer: wait=1\r\nHoldfast-Timeout: 5s\r\nHoldfast-Context: workflow="enrich", n=7, t=tok;p=1\r\nPriority: u=1, i\r\nVia: 1.0 fred\r\nContent-Length: 2\r\n\r\nhi',
    );
    const { exchange, body } = seen[0]!;
    const via = exchange.headers.at(-1) as string;
    expect(via).toMatch(/^1\.1 holdfast-[0-9a-f]{8}$/);
    expect(exchange.headers.join('|')).toBe(
      `X-B|1|x-a|\xe9|X-B|2|Authorization|Bearer t|Cache-Control|no-store|Via|1.0 fred|Content-Length|2|Via|${via}`,
    );
    expect(exchange.target).toBe('/contacts/../x?q=1&q=%20');
    expect(body?.toString()).toBe('hi');
    expect(exchange.context).toEqual({ workflow: 'enrich', n: '7', t: 'tok' });
    expect(exchange.priority).toBe(1);
    expect(exchange.deadlineAtMs - exchange.receivedAtMs).toBeLessThan(5100);
  });

  test('Holdfast-Timeout only ever shortens', async () => {
    const { port, seen } = await edge();
    await exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', '\r\nHoldfast-Timeout: 9h\r\n\r\n'));
    const { exchange } = seen[0]!;
    expect(exchange.deadlineAtMs - exchange.receivedAtMs).toBeLessThan(120_100);
  });

  test.each([
    ['Holdfast-Timeout', 'soon'],
    ['Holdfast-Timeout', '0s'],
    ['Holdfast-Timeout', '-5s'],
    ['Holdfast-Context', 'a=(1 2)'],
    ['Holdfast-Context', '"'],
  ])('a malformed %s (%s) is 400', async (name, value) => {
    const { port, seen } = await edge();
    expect(await exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', `\r\n${name}: ${value}\r\n\r\n`))).toMatch(
      /^HTTP\/1.1 400 /,
    );
    expect(seen).toEqual([]);
  });

  test.each(['u=9', 'u=-1', 'u="1"', 'u=2.5', '??', 'i'])('RFC 9218: Priority %s counts as absent', async (value) => {
    const { port, seen } = await edge();
    await exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', `\r\nPriority: ${value}\r\n\r\n`));
    expect(seen[0]!.exchange.priority).toBe(3);
  });

  test('mode observe: nothing limits the call', async () => {
    const { port, seen } = await edge({ settings: edgeSettings({}, { mode: 'observe' }) });
    await exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', '\r\nHoldfast-Timeout: 1s\r\n\r\n'));
    expect(seen[0]!.exchange.deadlineAtMs).toBe(Infinity);
  });

  test('§4: the credential is named by a keyed hash, the same for the same credential', async () => {
    const { port, seen } = await edge();
    for (const token of ['a', 'b', 'a', '']) {
      const field = token === '' ? '' : `Authorization: Bearer ${token}\r\n`;
      await exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', `\r\n${field}\r\n`));
    }
    const refs = seen.map(({ exchange }) => exchange.credentialRef);
    expect(refs[0]).toMatch(/^[0-9a-f]{12}$/);
    expect(refs[2]).toBe(refs[0]);
    expect(refs[1]).not.toBe(refs[0]);
    expect(refs[3]).toBe('none');
  });

  test('a request that was here before is 508', async () => {
    const { port, seen } = await edge();
    await exchangeBytes(port, GET_CLOSE);
    const via = seen[0]!.exchange.headers.at(-1)!.slice(4);
    const loop = (value: string) => exchangeBytes(port, GET_CLOSE.replace('\r\n\r\n', `\r\nVia: ${value}\r\n\r\n`));
    expect(await loop(`1.0 fred, HTTP/1.1 ${via} (x)`)).toContain('holdfast_loop');
    expect(await loop(`1.1 x${via}`)).toMatch(/^HTTP\/1.1 200 /);
    expect(await loop('1.1 holdfast-00000000')).toMatch(/^HTTP\/1.1 200 /);
    expect(seen.length).toBe(3);
  });

  test('§10: paths under /.holdfast/ never reach the upstream; what only looks like them does', async () => {
    const { port, seen } = await edge();
    const at = (target: string) =>
      exchangeBytes(port, `GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    for (const target of ['/.holdfast/', '/.holdfast/operations/1?x', '/.holdfast/../contacts']) {
      const text = await at(target);
      expect(text).toMatch(/^HTTP\/1.1 404 /);
      expect(text).toContain('"code":"holdfast_not_found"');
      expect(text).toMatch(/\r\nholdfast: from=proxy/i);
    }
    expect(seen).toEqual([]);
    for (const target of ['/%2eholdfast/x', '/x/../.holdfast/', '/.holdfast', '/.Holdfast/', '//.holdfast/']) {
      expect(await at(target)).toMatch(/^HTTP\/1.1 200 /);
    }
    expect(seen.map(({ exchange }) => exchange.target)).toEqual([
      '/%2eholdfast/x',
      '/x/../.holdfast/',
      '/.holdfast',
      '/.Holdfast/',
      '//.holdfast/',
    ]);
    const posted = 'POST /.holdfast/nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello';
    expect(await exchangeBytes(port, posted + GET)).toMatch(/^HTTP\/1.1 404 [^]*onnection: close/);
    expect(seen.length).toBe(5);
  });
});

describe('connections', () => {
  test('keep-alive serves many requests on one socket, and says for how long it is kept', async () => {
    const { port, seen } = await edge({
      answer: (x) => answered(200, { body: { kind: 'bytes', bytes: Buffer.from(x.id) } }),
    });
    const client = new RawClient(port);
    for (let n = 0; n < 20; n++) {
      client.send(GET);
      await client.until((text) => text.split('HTTP/1.1 200 ').length === n + 2 && seen.length === n + 1);
    }
    expect(client.text).toContain('Keep-Alive: timeout=75\r\n');
    client.destroy();
  });

  test('RFC 9112 §9.3.2: pipelined requests are served one after the other, in order', async () => {
    const held: ((outcome: Outcome) => void)[] = [];
    const { port, seen } = await edge({ answer: () => new Promise((resolve) => held.push(resolve)) });
    const client = new RawClient(port).send(GET.replace('/contacts', '/1') + GET.replace('/contacts', '/2'));
    const wait = async (count: number) => {
      while (held.length < count) await turn();
    };
    await wait(1);
    for (let i = 0; i < 20; i++) await turn();
    expect(seen.length).toBe(1);
    held[0]!(answered(200, { body: { kind: 'bytes', bytes: Buffer.from('first') } }));
    await wait(2);
    held[1]!(answered(201, { body: { kind: 'bytes', bytes: Buffer.from('second') } }));
    expect(await client.until(bodyIs('second'))).toMatch(/200 OK[^]*first[^]*201 Created[^]*second/);
    client.destroy();
  });

  test('a hundred pipelined requests are all served, and ten thousand cut the client off', async () => {
    const { port, seen } = await edge();
    const client = new RawClient(port).send(GET.repeat(100));
    await client.until((text) => text.split('HTTP/1.1 200 ').length === 101);
    client.destroy();
    const held = await edge({
      answer: ({ cancel }) =>
        new Promise((resolve) => cancel.signal.addEventListener('abort', () => resolve(answered(200)))),
    });
    const greedy = new RawClient(held.port).send(GET.repeat(10_000));
    expect(await greedy.closed()).toBe('');
    expect(seen.length).toBe(100);
    expect(held.seen.length).toBe(1);
  });

  test('HTTP/1.0 is answered and closed, and kept when it asks for that', async () => {
    const { port, seen } = await edge();
    expect(await exchangeBytes(port, 'GET / HTTP/1.0\r\n\r\n')).toMatch(
      /^HTTP\/1.1 200 OK\r\n[^]*Connection: close\r\n/,
    );
    const client = new RawClient(port).send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    await client.until(bodyIs('\r\n\r\n'));
    client.send('GET / HTTP/1.0\r\n\r\n');
    await client.closed();
    expect(seen.length).toBe(3);
    expect(seen[0]!.exchange.headers.at(-1)).toMatch(/^1\.0 holdfast/);
  });

  test('§10: a half-closed client still gets its answer', async () => {
    const driven = new HandDriven();
    const { port } = await edge({ service: driven.service });
    const client = new RawClient(port).send(GET);
    client.socket.end();
    while (driven.calls.length === 0) await turn();
    const { exchange } = driven.last;
    const ended = Promise.withResolvers<void>();
    exchange.onInputEnded = ended.resolve;
    if (!exchange.inputEnded) await ended.promise;
    expect(exchange.cancel.signal.aborted).toBe(false);
    const delivered = Promise.withResolvers<boolean>();
    exchange.onDelivered = delivered.resolve;
    driven.last.answer(answered(200, { body: { kind: 'bytes', bytes: Buffer.from('late') } }));
    expect(await client.closed()).toContain('late');
    // It may as well have been gone.
    expect(await delivered.promise).toBe(false);
  });

  test('a client that resets is gone: the exchange hears of it and is counted once', async () => {
    const driven = new HandDriven();
    const { port, recorded, plane } = await edge({ service: driven.service });
    const client = new RawClient(port).send(GET);
    while (driven.calls.length === 0) await turn();
    client.socket.resetAndDestroy();
    const { signal } = driven.last.exchange.cancel;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    expect(signal.reason).toBe('client_gone');
    expect(plane.active()).toBe(1);
    driven.last.answer(answered(200));
    while (plane.active() > 0) await turn();
    expect(recorded.named('exchange')).toEqual([expect.objectContaining({ status: 499, complete: false })]);
  });

  test('a port in use rejects with the code of the system', async () => {
    const { port, plane } = await edge();
    const second = createDataPlane({
      full: () => false,
      settings: () => edgeSettings({ listen: { host: '127.0.0.1', port } }),
      service: () => Promise.reject(new Error('not called')),
      clock: systemClock,
      events: edges[0]!.recorded.events,
      buffered: edges[0]!.buffered,
      store: new MemoryStore(),
      newId: () => 'x',
      namesKey: NAMES_KEY,
    });
    await expect(second.listen()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect((plane.server.address() as AddressInfo).port).toBe(port);
  });
});

describe('bugs', () => {
  test.each([
    ['read', 502, 'holdfast_upstream_unreachable', 'effect=none'],
    ['create', 504, 'holdfast_outcome_unknown', 'effect=unknown'],
  ] as const)(
    'a service that throws on a %s is answered %i and logged, and the process lives',
    async (operationClass, status, code, effect) => {
      const made = await startEdge({
        settings: edgeSettings({}, { operationClass }),
        service: () => Promise.reject(new Error('a bug')),
      });
      const text = await exchangeBytes(made.port, GET_CLOSE);
      expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(text).toContain(code);
      expect(text).toContain(effect);
      expect(made.recorded.named('bug').length).toBe(1);
      expect(made.recorded.named('exchange').length).toBe(1);
      await made.close();
    },
  );
});

describe('drain', () => {
  test('stops accepting, ends waits with shutdown, says Connection: close, and waits for what is settled later', async () => {
    const driven = new HandDriven();
    const { port, plane } = await edge({ service: driven.service });
    const idle = new RawClient(port).send(GET);
    while (driven.calls.length < 1) await turn();
    driven.last.answer(answered(200));
    await idle.until(bodyIs('{}'));
    const busy = new RawClient(port).send(GET);
    while (driven.calls.length < 2) await turn();
    let drained = false;
    const draining = plane.drain(60_000).then(() => (drained = true));
    await idle.closed();
    expect(driven.last.exchange.cancel.signal.reason).toBe('shutdown');
    await new Promise<void>((resolve) => connect(port, '127.0.0.1').on('error', () => resolve()));
    const { promise: settled, resolve: settle } = Promise.withResolvers<Outcome>();
    driven.last.answer({ ...answered(200), settled });
    expect(await busy.closed()).toMatch(/Connection: close/);
    expect(drained).toBe(false);
    expect(plane.active()).toBe(1);
    settle(answered(200));
    await draining;
  });

  test('gives up after its grace and closes everything', async () => {
    const clock = new VirtualClock();
    const stream = new HandStream();
    const { port, seen, plane } = await edge({
      clock,
      answer: () => answered(200, { headers: [], body: { kind: 'stream', stream }, verdict: verdict() }),
    });
    const client = new RawClient(port).send(GET);
    while (seen.length < 1) await turn();
    await client.until(bodyIs('\r\n\r\n'));
    const draining = plane.drain(5000);
    await clock.advance(4999);
    expect(plane.active()).toBe(1);
    await clock.advance(1);
    await draining;
    await client.closed();
    await clock.settle();
    expect(stream.discarded).toBe(true);
  });
});
