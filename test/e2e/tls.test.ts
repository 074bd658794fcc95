/** TLS on both sides: the listener of a shared gateway, and an upstream behind a private authority. */

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import path from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { folderOf, holdfast } from './child.ts';

const fileOf = (name: string): string => path.resolve(import.meta.dirname, `../support/tls/${name}.pem`);
const pem = (name: string): Buffer => readFileSync(fileOf(name));
const LISTENER = `tls: { cert_file: ${fileOf('cert')}, key_file: ${fileOf('key')} }\n`;

let upstream: ScriptedUpstream;
let instance: TestInstance | null = null;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
});

afterEach(async () => {
  await instance?.stop();
  instance = null;
  await upstream.close();
});

function get(url: string, agent: Agent): Promise<{ status: number; body: string; local: number }> {
  return new Promise((resolve, reject) => {
    request(url, { agent, method: 'PUT' }, (incoming) => {
      let body = '';
      const local = incoming.socket.localPort as number;
      incoming.on('data', (chunk: Buffer) => void (body += chunk.toString()));
      incoming.on('end', () => resolve({ status: incoming.statusCode as number, body, local }));
    })
      .on('error', reject)
      .end('{"name":"Ada"}');
  });
}

describe('the listener', () => {
  it('serves a client that trusts it, on one connection, and shows an https address', async () => {
    instance = await startTestInstance(upstream.origin, `version: 1\n${LISTENER}`);
    expect(instance.url).toMatch(/^https:/);
    const agent = new Agent({ ca: pem('cert'), keepAlive: true, maxSockets: 1 });
    const first = await get(`${instance.url}/contacts/7`, agent);
    const second = await get(`${instance.url}/contacts/7`, agent);
    expect([first.status, first.body, second.local]).toEqual([200, '{"ok":true}', first.local]);
    expect((await upstream.seen(2)).body.toString()).toBe('{"name":"Ada"}');
    agent.destroy();
  });

  it('closes on whoever speaks plain HTTP to it, and goes on', async () => {
    instance = await startTestInstance(upstream.origin, `version: 1\n${LISTENER}`);
    await expect(fetch(instance.url.replace('https:', 'http:'))).rejects.toThrow();
    const agent = new Agent({ ca: pem('cert') });
    expect((await get(`${instance.url}/me`, agent)).status).toBe(200);
    expect(upstream.requests).toHaveLength(1);
  });

  it('offers HTTP/1.1 and nothing older than TLS 1.2', async () => {
    instance = await startTestInstance(upstream.origin, `version: 1\n${LISTENER}`);
    const { port } = new URL(instance.url);
    const old = connect({ port: Number(port), ca: pem('cert'), minVersion: 'TLSv1', maxVersion: 'TLSv1.1' });
    const error = await new Promise((resolve) => old.once('error', resolve).once('secureConnect', () => resolve(null)));
    expect(error).toBeInstanceOf(Error);
    const client = connect({ port: Number(port), ca: pem('cert'), ALPNProtocols: ['h2', 'http/1.1'] });
    await new Promise((resolve) => client.once('secureConnect', resolve));
    expect(client.alpnProtocol).toBe('http/1.1');
    client.destroy();
  });

  it.each([
    ['a certificate that is not there', 'nowhere.pem', fileOf('key'), 'there is no such file'],
    ['a certificate that is none', 'hello.pem', fileOf('key'), 'no PEM certificate'],
    ['a key that is none', fileOf('cert'), 'hello.pem', 'no PEM key'],
    ['the key of another certificate', fileOf('cert'), 'other.pem', 'another certificate'],
  ])('%s stops the start with one line', async (_, cert, key, says) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const folder = folderOf({
      'hello.pem': 'hello',
      'other.pem': other,
      'h.yaml': `version: 1\ntls: { cert_file: ${cert}, key_file: ${key} }\n`,
    });
    const args = ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
    const child = holdfast([...args, '--config', path.join(folder, 'h.yaml')]);
    expect(await child.exit()).toBe(1);
    expect(child.stderr).toMatch(/^holdfast: [^\n]*h\.yaml:2:\d+[^\n]*\n$/);
    expect(child.stderr).toContain(says);
  });
});

describe('the upstream', () => {
  it('§2: is trusted by ca_file only; without it nothing is sent, and the answer says why', async () => {
    const secure = await ScriptedUpstream.start({ tls: { key: pem('key').toString(), cert: pem('cert').toString() } });
    const retry = 'defaults: { retry: { max_retries: 0 } }';
    instance = await startTestInstance(secure.origin, `version: 1\nupstream: { ca_file: ${fileOf('cert')} }\n`);
    expect((await fetch(`${instance.url}/me`)).status).toBe(200);
    await instance.stop();
    instance = await startTestInstance(secure.origin, `version: 1\n${retry}\n`);
    const refused = await fetch(`${instance.url}/contacts`, { method: 'POST', body: '{}' });
    expect(refused.status).toBe(502);
    expect(refused.headers.get('holdfast')).toContain('effect=none, reason=tls');
    expect(secure.requests).toHaveLength(1);
    await secure.close();
  });
});
