/** Who may use the proxy: `clients.token_file` and `Holdfast-Authorization`, and the start that is refused without. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { RequestReader } from '../support/request-reader.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { folderOf, holdfast, serving } from './child.ts';

let upstream: ScriptedUpstream;
let instance: TestInstance | null = null;
let folder: string;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
  folder = folderOf({ clients: 'gate-token\n', upstream: 'our-token\n' });
});

afterEach(async () => {
  await instance?.stop();
  instance = null;
  await upstream.close();
});

/** Writes a configuration that listens everywhere with a credential of ours; its path. */
function beyondLoopback(clients: string): string {
  const credentials = `url: ${upstream.origin}, credentials: { bearer_file: upstream }`;
  const text = `version: 1\nlisten: 0.0.0.0:0\nadmin: { listen: 127.0.0.1:0 }\n${clients}upstream: { ${credentials} }\n`;
  writeFileSync(inFolder('h.yaml'), text);
  return inFolder('h.yaml');
}

const inFolder = (name: string): string => path.join(folder, name);

it('lets in who brings the token, and never forwards it', async () => {
  instance = await startTestInstance(
    upstream.origin,
    `version: 1\nclients: { token_file: ${inFolder('clients')} }\nupstream: { credentials: { bearer_file: ${inFolder('upstream')} } }\n`,
  );
  const ask = (token: string | null): Promise<Response> =>
    fetch(`${instance?.url}/me`, {
      headers: { Authorization: 'Bearer whatever', ...(token === null ? {} : { 'Holdfast-Authorization': token }) },
    });
  for (const wrong of [null, 'Bearer gate-toke', 'Bearer gate-tokens', 'gate-token', 'Basic gate-token']) {
    const refused = await ask(wrong);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('holdfast')).toContain('from=proxy');
    expect(JSON.stringify(await refused.json())).toContain('holdfast_unauthorized');
  }
  expect(upstream.requests).toHaveLength(0);
  expect((await ask('Bearer gate-token')).status).toBe(200);
  const seen = await upstream.seen(1);
  expect(seen.head).not.toContain('gate-token');
  expect(RequestReader.field(seen, 'authorization')).toBe('Bearer our-token');
});

it('refuses from the head alone: the body of a stranger is not waited for', async () => {
  instance = await startTestInstance(upstream.origin, `version: 1\nclients: { token_file: ${inFolder('clients')} }\n`);
  const forever = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
  const init = { method: 'POST', body: forever, duplex: 'half' } as RequestInit;
  expect((await fetch(`${instance.url}/contacts`, init)).status).toBe(401);
  expect(upstream.requests).toHaveLength(0);
});

it('takes a new token without a restart', async () => {
  instance = await startTestInstance(upstream.origin, `version: 1\nclients: { token_file: ${inFolder('clients')} }\n`);
  const statusWith = async (token: string): Promise<number> => {
    const headers = { 'Holdfast-Authorization': `Bearer ${token}` };
    return (await fetch(`${instance?.url}/me`, { headers })).status;
  };
  expect(await statusWith('gate-token')).toBe(200);
  writeFileSync(inFolder('clients'), 'next-token');
  // The file is read at most every 100 ms, however many wrong tokens come.
  let tries = 0;
  while ((await statusWith('next-token')) !== 200 && tries < 2000) tries += 1;
  expect(await statusWith('next-token')).toBe(200);
  expect(await statusWith('gate-token')).toBe(401);
});

it('does not start where strangers could use our credentials, unless that is written out', async () => {
  const refused = holdfast(['serve', '--config', beyondLoopback('')]);
  expect(await refused.exit()).toBe(1);
  expect(refused.stderr).toMatch(/^holdfast: [^\n]*clients[^\n]*\n$/);
  const open = holdfast(['serve', '--config', beyondLoopback('clients: open\n')]);
  await open.logged('listening');
});

it('does not start an admin plane without a token beyond loopback', async () => {
  const file = inFolder('h.yaml');
  writeFileSync(file, 'version: 1\n');
  const refused = holdfast(['serve', '--config', file, '--listen', '127.0.0.1:0', '--admin', '0.0.0.0:0']);
  expect(await refused.exit()).toBe(1);
  expect(refused.stderr).toMatch(/^holdfast: [^\n]*token[^\n]*\n$/);
  const guarded = await serving(upstream.origin, ['--config', file, '--admin', '0.0.0.0:0'], {
    HOLDFAST_ADMIN_TOKEN: 'admin-token',
  });
  const admin = guarded.adminUrl.replace('0.0.0.0', '127.0.0.1');
  expect((await fetch(`${admin}/api/status`)).status).toBe(401);
  const headers = { Authorization: 'Bearer admin-token' };
  expect((await fetch(`${admin}/api/status`, { headers })).status).toBe(200);
  const shown = await (await fetch(`${admin}/api/config`, { headers })).text();
  expect(shown).not.toContain('admin-token');
});
