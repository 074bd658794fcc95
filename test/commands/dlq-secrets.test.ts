import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { IMPATIENT } from '../e2e/redrive-rig.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { dlq, type Ran } from './dlq-io.ts';

const SECRETS: Readonly<Record<string, string>> = {
  Authorization: 'Bearer planted-token-1f9c',
  Cookie: 'sid=planted-cookie-3d21',
  'X-Api-Key': 'planted-api-key-9e4b',
  'Proxy-Authorization': 'Basic planted-proxy-5c0d',
  'Holdfast-Authorization': 'Bearer planted-client-8b13',
  'Idempotency-Key': 'planted-key-77aa',
};
const PLANTED = /planted-(?:token|key|cookie|api|proxy|client|admin|fresh|set)/;
/** `planted` in base64, at each of its three places. */
const ENCODED = /cGxhbnRlZC|BsYW50ZWQt|wbGFudGVkL/;

let upstream: Server;
let folder: string;
let holdfast: TestInstance;
let data: string;
/** Whether the upstream is well. */
let isWell: boolean;

beforeEach(async () => {
  isWell = false;
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-dlq-'));
  upstream = createServer((request, response) => {
    const status = isWell ? 200 : request.url?.startsWith('/tags') ? 401 : request.method === 'PUT' ? 422 : 503;
    // As careless servers do: says what it was sent.
    const { authorization, cookie, ...others } = request.headers;
    const said = `denied to ${authorization} with ${cookie} (${String(others['x-api-key'])})`;
    const body = isWell
      ? { id: '7' }
      : { type: 'error.list', errors: [{ code: 'service_unavailable', message: said }] };
    request.resume().on('end', () => {
      response.writeHead(status, { 'Content-Type': 'application/json', 'Set-Cookie': 'sid=planted-set-cookie' });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  data = dataFolder();
  const token = fileOf('admin', 'planted-admin-token');
  const yaml = `${IMPATIENT}admin: { token_file: ${token} }\n`;
  holdfast = await startTestInstance(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, yaml, data);
});

afterEach(async () => {
  await holdfast.stop();
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

function fileOf(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

test('§9: no dlq command shows a token, a key or a cookie: tables, JSON, exports, errors; running and offline', async () => {
  const lines = ['POST /contacts', 'POST /tags', 'PUT /contacts/7', 'DELETE /contacts/7', 'POST /contacts/7/notes'];
  for (const [n, line] of lines.entries()) {
    const [method = '', target = ''] = line.split(' ');
    const headers = { ...SECRETS, 'Idempotency-Key': `planted-key-${n}`, 'Content-Type': 'application/json' };
    const body = method === 'DELETE' ? null : JSON.stringify({ email: 'lead@example.com', n });
    const { status } = await fetch(holdfast.url + target, { method, headers, body });
    expect(status).toBeGreaterThanOrEqual(400);
  }

  const seen: [string, string][] = [];
  const run = async (at: readonly string[], ...args: string[]): Promise<Ran> => {
    const ran = await dlq([...args, ...at], { columns: 200 });
    seen.push([args.join(' '), ran.out + ran.err]);
    return ran;
  };
  const here = ['--admin', holdfast.adminUrl, '--token-file', path.join(folder, 'admin')];
  const ids = (await run(here, 'list', '--json')).out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: string }).id);
  expect(ids).toHaveLength(lines.length);
  const [first = '', second = '', third = ''] = ids;
  const exported = path.join(folder, 'dead.ndjson');
  const reading = async (at: readonly string[]): Promise<void> => {
    for (const json of [[], ['--json']]) {
      for (const command of ['list', 'groups']) await run(at, command, '--state', 'all', ...json);
      for (const id of json.length === 0 ? [first, 'nobody'] : ids) await run(at, 'show', id, ...json);
      await run(at, 'redrive', '--state', 'open', '--dry-run', ...json);
      await run(at, 'redrive', '--status', ...json);
    }
    await run(at, 'export', '--with-bodies', '--state', 'all');
    await run(at, 'list', '--match', 'planted-nothing');
    await run(at, 'list', '--since', 'never');
  };
  await reading(here);
  expect((await run(here, 'export', exported, '--with-bodies')).code).toBe(0);

  // Errors, with secrets where they do not belong.
  const fresh = fileOf('fresh', 'planted-fresh-token');
  const broken = fileOf('broken', 'planted-fresh-token \u00e9 planted-fresh');
  expect((await run(['--admin', holdfast.adminUrl, '--token-file', fresh], 'list')).err).toContain('admin token');
  for (const file of [broken, fileOf('lines', 'planted-fresh-1\nplanted-fresh-2'), fileOf('none', ''), '/nowhere'])
    expect((await run(here, 'redrive', first, '--credential-file', file)).code).not.toBe(0);
  await run(here, 'redrive', 'nobody', '--credential-file', fresh);
  await run(['--data', data], 'list');

  // What changes something.
  await run(here, 'redrive', first, '--canary', '0', '--credential-file', fresh);
  await run(here, 'redrive', second, '--canary', '0', '--json');
  isWell = true;
  await run(here, 'edit', third, '--set', 'n=8', '--redrive', '--json');
  await run(here, 'redrive', first, '--credential-file', fresh, '--json');
  await run(here, 'redrive', '--state', 'open', '--credential-file', fresh, '--detach');
  await run(here, 'redrive', '--resume', 'nobody', '--credential-file', fresh);
  await run(here, 'discard', ...ids);
  await run(here, 'discard', ...ids, '--yes');
  await run(here, 'import', exported);
  await reading(here);

  await holdfast.stop();
  for (const file of readdirSync(data))
    seen.push([`on the disk: ${file}`, readFileSync(path.join(data, file)).toString('latin1')]);
  const offline = ['--data', data];
  await reading(offline);
  await run(offline, 'redrive', '--state', 'all', '--credential-file', fresh);
  await run(offline, 'purge', '--state', 'all', '--yes');
  expect((await run(offline, 'import', exported)).out).toContain(`imported ${lines.length} dead letters`);
  await reading(offline);

  seen.push(['the exported file', readFileSync(exported, 'utf8')], ['the log', JSON.stringify(holdfast.log)]);
  for (const [command, text] of seen) {
    expect(text, command).not.toMatch(PLANTED);
    expect(text, command).not.toMatch(ENCODED);
  }
  expect(seen.map(([, text]) => text).join('')).toContain('lead@example.com');
}, 60_000);
