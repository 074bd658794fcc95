import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RawClient } from '../edge/harness.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { type Behaviour, hang, intercomError, json, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { eventually, idle, lines, standing } from './live.ts';

type Peer = Parameters<Behaviour['act']>[0];

const YAML = `
version: 1
log: { level: debug }
upstream: { connections: 1 }
profiles:
  patientless:
    timeout: { attempt: 10s }
    retry: { base_delay: 30s, max_delay: 30s, jitter: none }
profile: patientless
`;

const READ = 'GET /contacts/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n';
const UPDATE = request('PUT /contacts/1', '{"name":"Ada"}');
const CREATE = request('POST /contacts/1/notes', '{"body":"called back"}');

function request(line: string, body: string): string {
  return `${line} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

let upstream: ScriptedUpstream;
let holdfast: TestInstance;
let freeBytes: number;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
  holdfast = await startTestInstance(upstream.origin, YAML);
  freeBytes = (await standing(holdfast)).buffered_bytes_free;
});

afterEach(async () => {
  const { buffered_bytes_free, upstream: wire } = await idle(holdfast);
  expect(buffered_bytes_free).toBe(freeBytes);
  expect(wire.waiting).toBe(0);
  await holdfast.stop();
  expect(lines(holdfast, 'draining')).toMatchObject([{ active: 0 }]);
  expect(lines(holdfast, 'bug')).toEqual([]);
  await upstream.close();
});

function client(bytes: string): RawClient {
  return new RawClient(Number(new URL(holdfast.url).port)).send(bytes);
}

async function logged(event: string, count = 1): Promise<Record<string, unknown>> {
  await eventually(`${count} × ${event}`, () => lines(holdfast, event).length >= count);
  return lines(holdfast, event)[count - 1] as Record<string, unknown>;
}

/** Holds a whole request until the test answers it. */
function held(): { behaviour: Behaviour; peer: Promise<Peer> } {
  const { promise, resolve } = Promise.withResolvers<Peer>();
  return { behaviour: { at: 'request', act: (peer) => resolve(peer) }, peer: promise };
}

// A FIN alone is half-close (below), so what goes away here resets its connection.
describe('§3: the client goes away', () => {
  test('while a read runs: the upstream call is aborted at once', async () => {
    upstream.script(hang());
    const leaving = client(READ);
    await upstream.seen(1);
    leaving.socket.resetAndDestroy();
    await upstream.settled(0);
    expect(await logged('exchange')).toMatchObject({ status: 499, attempts: 1, effect: 'none', complete: false });
    expect(await logged('attempt')).toMatchObject({ reason: 'interrupted', verdict: 'transient', effect: 'none' });
  });

  test.each([
    ['idempotent', UPDATE],
    ['create', CREATE],
  ])('while a write runs: it finishes and is recorded (%s)', async (_class, bytes) => {
    const { behaviour, peer } = held();
    upstream.script(behaviour);
    const leaving = client(bytes);
    const answering = await peer;
    leaving.socket.resetAndDestroy();
    expect(await logged('exchange')).toMatchObject({ status: 499, effect: 'unknown', reason: 'client_gone' });
    expect(await standing(holdfast)).toMatchObject({ in_flight: 1, upstream: { running: 1 } });
    expect(upstream.open).toBe(1);
    json({ id: '1' }).act(answering, null);
    expect(await logged('attempt')).toMatchObject({ n: 1, status: 200, verdict: 'ok', effect: 'applied' });
    await idle(holdfast);
    expect(upstream.requests).toHaveLength(1);
  });

  test.each([
    ['without effect', intercomError(503, 'service_unavailable'), 'none'],
    ['with an unknown effect', intercomError(500, 'server_error'), 'unknown'],
  ])('a write that then fails %s is not sent again', async (_name, failing, effect) => {
    const { behaviour, peer } = held();
    upstream.script(behaviour);
    const leaving = client(UPDATE);
    const answering = await peer;
    leaving.socket.resetAndDestroy();
    await logged('exchange');
    failing.act(answering, null);
    expect(await logged('attempt')).toMatchObject({ effect, verdict: 'transient' });
    expect(await logged('retry_withheld')).toMatchObject({ reason: 'interrupted' });
    await idle(holdfast);
    expect(upstream.requests).toHaveLength(1);
  });

  test.each([
    ['read', READ],
    ['idempotent', UPDATE],
    ['create', CREATE],
  ])('during the backoff: the wait ends at once and nothing more is sent (%s)', async (_class, bytes) => {
    upstream.script(intercomError(503, 'service_unavailable'));
    const leaving = client(bytes);
    expect(await logged('retry')).toMatchObject({ waitMs: 30_000 });
    leaving.socket.resetAndDestroy();
    expect(await logged('exchange')).toMatchObject({
      status: 499,
      attempts: 1,
      effect: 'none',
      withheld: 'interrupted',
    });
    await idle(holdfast);
    expect(upstream.requests).toHaveLength(1);
  });

  test('while it waits for a connection: it is never sent', async () => {
    const { behaviour, peer } = held();
    upstream.script(behaviour);
    const first = client(UPDATE);
    const answering = await peer;
    const leaving = client(CREATE);
    await eventually('one in line', async () => (await standing(holdfast)).upstream.waiting === 1);
    leaving.socket.resetAndDestroy();
    expect(await logged('exchange')).toMatchObject({ status: 499, attempts: 0, effect: 'none' });
    json({ id: '1' }).act(answering, null);
    expect(await first.until((text) => text.endsWith('}'))).toMatch(/^HTTP\/1\.1 200 /);
    first.destroy();
    expect(upstream.requests).toHaveLength(1);
  });

  test('in the middle of an answer that streams: the rest is not read from the upstream', async () => {
    const { behaviour, peer } = held();
    upstream.script(behaviour);
    const leaving = client('GET /export HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n');
    const answering = await peer;
    answering.write('HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 100000000\r\n\r\na,b,c\r\n');
    await leaving.until((text) => text.endsWith('a,b,c\r\n'));
    leaving.socket.resetAndDestroy();
    // The rest is drained for a second at most, in case it is short.
    await upstream.settled(0);
    expect(await logged('exchange')).toMatchObject({ status: 200, complete: false });
  });

  test('in the middle of an upload: the upstream never sees a whole request', async () => {
    const head = 'POST /contacts/1/notes HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n';
    const leaving = client(`${head}Content-Length: 5000000\r\n\r\n${'x'.repeat(2_000_000)}`);
    const seen = await upstream.seen(1);
    leaving.socket.resetAndDestroy();
    await upstream.settled(0);
    expect(seen.whole).toBe(false);
    expect(await logged('exchange')).toMatchObject({ status: 499, attempts: 1 });
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('§10: half-close is not going away', () => {
  test.each([
    ['read', READ],
    ['idempotent', UPDATE],
    ['create', CREATE],
  ])('a client that has closed its side still gets its answer (%s)', async (_class, bytes) => {
    const { behaviour, peer } = held();
    upstream.script(behaviour);
    const half = client(bytes);
    half.socket.end();
    const answering = await peer;
    // A round trip through the instance: the FIN, which came before, has been seen.
    await standing(holdfast);
    json({ id: '1' }).act(answering, null);
    expect(await half.closed()).toMatch(/^HTTP\/1\.1 200 [^]*\{"id":"1"\}$/);
    expect(await logged('exchange')).toMatchObject({ status: 200, verdict: 'ok' });
  });

  test('nor does it stop a retry', async () => {
    upstream.script(intercomError(503, 'service_unavailable', 'busy', ['Retry-After', '0']), json({ id: '1' }));
    const quick = await startTestInstance(
      upstream.origin,
      'version: 1\ndefaults: { retry: { base_delay: 1ms, jitter: none } }\n',
    );
    const half = new RawClient(Number(new URL(quick.url).port)).send(CREATE);
    half.socket.end();
    expect(await half.closed()).toMatch(/^HTTP\/1\.1 200 [^]*attempts=2[^]*\{"id":"1"\}$/);
    await quick.stop();
  });
});
