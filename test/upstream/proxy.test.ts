import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts';
import { hangOnAccept, refusedOrigin, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { type ConnectProxy, startConnectProxy } from './connect-proxy.ts';
import { send } from './wire-log.ts';

const tlsFile = (name: string): URL => new URL(`../support/tls/${name}.pem`, import.meta.url);
const pem = (name: string): string => readFileSync(tlsFile(name), 'utf8');

let server: ScriptedUpstream;
let proxy: ConnectProxy;
let upstream: Upstream;

const open = (origin: string, through: string): Upstream =>
  createUpstream({ origin, connections: 2, proxy: through, caFile: tlsFile('cert').pathname });

beforeEach(async () => {
  server = await ScriptedUpstream.start({ tls: { key: pem('key'), cert: pem('cert') } });
  proxy = await startConnectProxy();
  upstream = open(server.origin, proxy.origin);
});

afterEach(async () => {
  await upstream.close();
  await server.settled();
  await server.close();
  await proxy.close();
});

test('calls to a TLS upstream go through the tunnel, fields untouched, and the tunnel is kept', async () => {
  const headers = ['X-A', '1', 'X-A', '2'];
  expect((await send(upstream, { headers }).ended).text).toBe('{"ok":true}');
  expect((await send(upstream).ended).text).toBe('{"ok":true}');
  expect(server.requests[0]?.headers.slice(4)).toEqual(headers);
  expect(proxy.seen).toHaveLength(1);
  expect(proxy.seen[0]).toMatch(`CONNECT 127.0.0.1:${server.port} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n`);
});

test('a plain upstream is reached through the tunnel too, with the credentials of the proxy', async () => {
  const plain = await ScriptedUpstream.start();
  const other = open(plain.origin, proxy.origin.replace('//', '//us%20er:pa%3Ass@'));
  expect((await send(other).ended).text).toBe('{"ok":true}');
  expect(proxy.seen[0]).toContain(`Proxy-Authorization: Basic ${Buffer.from('us er:pa:ss').toString('base64')}\r\n`);
  expect(plain.requests[0]?.head).not.toContain('roxy');
  await other.close();
  await plain.settled();
  await plain.close();
});

test('§2: a proxy that refuses is failure connect, nothing sent, and is asked once', async () => {
  const refusing = await startConnectProxy(407);
  const other = open(server.origin, refusing.origin);
  const log = await send(other).ended;
  expect(log.failure).toMatchObject({ kind: 'connect', sent: 'no' });
  expect(log.failure?.detail).toContain('407');
  expect(refusing.seen).toHaveLength(1);
  await other.close();
  await refusing.close();
});

test('§2: a proxy that is not there is failure connect, nothing sent', async () => {
  const other = open(server.origin, await refusedOrigin());
  expect((await send(other).ended).failure).toMatchObject({ kind: 'connect', sent: 'no' });
  await other.close();
});

test('giving up ends a tunnel that is being dug, before and behind the proxy', async () => {
  const silent = await ScriptedUpstream.start();
  silent.script(hangOnAccept(), hangOnAccept());
  const behind = open(silent.origin.replace('http:', 'https:'), proxy.origin);
  const first = send(behind);
  while (silent.open === 0) await new Promise((resolve) => setImmediate(resolve));
  first.call.abort();
  await silent.settled();
  const before = open(server.origin, silent.origin);
  const second = send(before);
  while (silent.open === 0) await new Promise((resolve) => setImmediate(resolve));
  second.call.abort();
  await silent.settled();
  expect([first.events, second.events]).toEqual([[], []]);
  await Promise.all([behind.close(), before.close(), silent.close()]);
});
