/** The process from outside: `node src/main.ts` as operators and containers run it. */

import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hang, intercomError, json, refusedOrigin, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { folderOf, holdfast, serving } from './child.ts';

const COMMANDS = ['serve', 'check', 'explain', 'schema', 'init', 'simulate', 'demo', 'health'];

let upstream: ScriptedUpstream;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
});

afterEach(() => upstream.close());

const secret = (n: number): string => `s3cret-${n}-hush`;
const atLevel = (level: string): string => `version: 1\nlog: { level: ${level} }\n`;
const oneLine = (text: string): void => expect(text).toMatch(/^[^\n]+\n$/);

/** A metric's value without labels, as /metrics shows it. */
async function metric(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('bad input: one clear line and exit 1', () => {
  it('a port that is in use', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    for (const taken of ['--listen', '--admin']) {
      const child = holdfast([
        'serve',
        '--listen',
        '127.0.0.1:0',
        '--admin',
        '127.0.0.1:0',
        taken,
        `127.0.0.1:${port}`,
      ]);
      expect(await child.exit()).toBe(1);
      oneLine(child.stderr);
      expect(child.stderr).toContain(`127.0.0.1:${port} is in use`);
    }
    server.close();
  });

  it.each([
    ['a file that is not there', {}, 'there is no such file', null],
    ['an unknown key', { yaml: 'version: 1\nlisten: 127.0.0.1:0\nupstraem: {}\n' }, 'upstream', '3:1'],
    ['a bad duration', { yaml: 'version: 1\ndefaults:\n  timeout: { attempt: 15 parsecs }\n' }, '15 parsecs', '3:23'],
    [
      'a wrong upstream',
      { yaml: 'version: 1\nupstream: { url: ftp://api.intercom.io }\n' },
      'ftp://api.intercom.io',
      '2:18',
    ],
    ['broken YAML', { yaml: 'version: 1\nlisten: [\n' }, '', '3:1'],
  ])('%s', async (_, files: { yaml?: string }, says, place) => {
    const folder = folderOf(files.yaml === undefined ? {} : { 'holdfast.yaml': files.yaml });
    const file = path.join(folder, 'holdfast.yaml');
    for (const command of ['serve', 'check']) {
      const child = holdfast([command, '--config', file]);
      expect(await child.exit()).toBe(1);
      const [line = ''] = child.stderr.split('\n');
      expect(line).toContain(says);
      expect(line).toContain(place === null ? file : `${file}:${place}`);
      if (command === 'serve') oneLine(child.stderr);
      expect(child.stdout).toBe('');
    }
  });

  it.skipIf(process.getuid?.() === 0)('a file that may not be read', async () => {
    const folder = folderOf({ 'holdfast.yaml': 'version: 1\n' });
    chmodSync(path.join(folder, 'holdfast.yaml'), 0);
    const child = holdfast(['serve', '--config', path.join(folder, 'holdfast.yaml')]);
    expect(await child.exit()).toBe(1);
    oneLine(child.stderr);
    expect(child.stderr).toContain('permission denied');
  });

  it('a folder in the place of the file', async () => {
    const child = holdfast(['serve', '--config', folderOf({})]);
    expect(await child.exit()).toBe(1);
    oneLine(child.stderr);
    expect(child.stderr).toContain('it is a directory');
  });

  it('a wrong upstream on the command line, which is named as the place of the fault', async () => {
    const child = holdfast(['serve', '--upstream', 'api.intercom.io']);
    expect(await child.exit()).toBe(1);
    oneLine(child.stderr);
    expect(child.stderr).toContain('--upstream');
  });

  it('every fault of a file at once', async () => {
    const file = path.join(folderOf({ 'h.yaml': 'version: 1\nlisten: here\nmode: maybe\nlimts: {}\n' }), 'h.yaml');
    const child = holdfast(['serve', '--config', file]);
    expect(await child.exit()).toBe(1);
    expect(child.stderr.trim().split('\n')).toHaveLength(3);
  });
});

describe('wrong usage: one line and exit 2', () => {
  it.each([
    ['an unknown command', ['sreve'], 'sreve'],
    ['an unknown option', ['serve', '--lisen', 'x'], '--lisen'],
    ['a missing argument', ['explain', 'GET'], 'path'],
    ['an option without its value', ['serve', '--config'], '--config'],
    ['one argument too many', ['serve', 'twice'], ''],
    ['a status that is none', ['explain', 'GET', '/me', '--status', 'ok'], '--status'],
  ])('%s', async (_, args, says) => {
    const child = holdfast(args);
    expect(await child.exit()).toBe(2);
    expect(child.stderr.split('\n')[0]).toMatch(/^holdfast: /);
    expect(child.stderr).toContain(says);
    expect(child.stdout).toBe('');
  });

  it('no command at all shows the help on stderr', async () => {
    const child = holdfast([]);
    expect(await child.exit()).toBe(2);
    for (const command of COMMANDS) expect(child.stderr).toContain(command);
  });
});

describe('help', () => {
  it('prints the version', async () => {
    const child = holdfast(['--version']);
    expect(await child.exit()).toBe(0);
    expect(child.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('helps with every command', async () => {
    const all = holdfast(['--help']);
    expect(await all.exit()).toBe(0);
    for (const command of COMMANDS) {
      expect(all.stdout).toContain(`  ${command}`);
      const child = holdfast([command, '--help']);
      expect(await child.exit(), command).toBe(0);
      expect(child.stdout).toContain(`Usage: holdfast ${command}`);
      expect(child.stderr).toBe('');
    }
  });
});

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s: running calls get their answers, then exit 0', async (signal) => {
    const late: (() => void)[] = [];
    upstream.otherwise = {
      at: 'request',
      act: (peer) =>
        void late.push(() =>
          peer.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'),
        ),
    };
    const { child, url, adminUrl } = await serving(upstream.origin);
    const calls = [fetch(`${url}/contacts/1`), fetch(`${url}/contacts`, { method: 'POST', body: '{"role":"lead"}' })];
    await upstream.seen(2);
    child.signal(signal);
    await readiness(adminUrl, 503);
    for (const answer of late) answer();
    for (const call of calls) expect((await call).status).toBe(200);
    expect(await child.exit()).toBe(0);
    await child.logged('stopped', ({ unfinished }) => unfinished === 0);
    expect(child.log.filter(({ event }) => event === 'exchange')).toHaveLength(2);
  });

  it('ends waits at once: what was not sent gets 503 with Retry-After, what was answered its last answer', async () => {
    upstream.otherwise = intercomError(503, 'service_unavailable', 'later', ['Retry-After', '20']);
    const { child, url } = await serving(upstream.origin);
    const call = fetch(`${url}/contacts/1`);
    await upstream.seen(1);
    child.signal('SIGTERM');
    const { status, headers } = await call;
    expect(status).toBe(503);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(headers.get('holdfast')).toContain('effect=none');
    expect(await child.exit()).toBe(0);
    expect(upstream.requests).toHaveLength(1);
  });

  it('ends the backoff of a call that was never sent, and says that nothing was applied', async () => {
    const waits = 'version: 1\nlog: { level: debug }\ndefaults: { retry: { base_delay: 20s, jitter: none } }\n';
    const file = path.join(folderOf({ 'h.yaml': waits }), 'h.yaml');
    const { child, url } = await serving(await refusedOrigin(), ['--config', file]);
    const call = fetch(`${url}/contacts`, { method: 'POST', body: '{}' });
    await child.logged('retry');
    child.signal('SIGTERM');
    const { status, headers } = await call;
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('1');
    expect(headers.get('holdfast')).toMatch(/effect=none.*withheld=interrupted/);
    expect(await child.exit()).toBe(0);
  });

  it('a second one ends the process although a call hangs', async () => {
    upstream.otherwise = hang();
    const { child, url, adminUrl } = await serving(upstream.origin);
    const call = fetch(`${url}/contacts`, { method: 'POST', body: '{}' }).catch(() => 'broken');
    await upstream.seen(1);
    child.signal('SIGTERM');
    await readiness(adminUrl, 503);
    child.signal('SIGTERM');
    expect(await child.exit()).toBe('SIGTERM');
    expect(await call).toBe('broken');
  });
});

/** Asks until /readyz says so: the change follows a signal, and nothing else tells when it has arrived. */
async function readiness(adminUrl: string, wanted: number): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await fetch(`${adminUrl}/readyz`)).status === wanted) return;
  }
  throw new Error(`/readyz never said ${wanted}`);
}

describe('reload', () => {
  it.each(['SIGHUP', 'POST /api/config/reload'] as const)(
    '%s: a broken file changes nothing, a good one swaps',
    async (how) => {
      const file = path.join(folderOf({ 'h.yaml': atLevel('info') }), 'h.yaml');
      const { child, url, adminUrl } = await serving(upstream.origin, ['--config', file]);
      const reload = async (): Promise<number | null> => {
        if (how === 'SIGHUP') {
          child.signal('SIGHUP');
          return null;
        }
        return (await fetch(`${adminUrl}/api/config/reload`, { method: 'POST' })).status;
      };
      const hashOf = async (): Promise<unknown> =>
        ((await (await fetch(`${adminUrl}/api/config`)).json()) as { hash: string }).hash;
      const before = await hashOf();
      expect(await metric(adminUrl, 'holdfast_config_last_reload_successful')).toBe(1);

      writeFileSync(file, 'version: 1\nlog: { level: loud }\n');
      const refused = await reload();
      const { faults } = await child.logged('config_rejected');
      expect(String(faults)).toContain(`${file}:2:15`);
      expect(refused).toBe(how === 'SIGHUP' ? null : 422);
      expect(await metric(adminUrl, 'holdfast_config_last_reload_successful')).toBe(0);
      expect(await hashOf()).toBe(before);
      expect((await fetch(`${url}/me`)).status).toBe(200);

      writeFileSync(file, atLevel('debug'));
      const accepted = await reload();
      expect(accepted).toBe(how === 'SIGHUP' ? null : 200);
      await child.logged('config_loaded', ({ hash }) => hash !== before);
      expect(await metric(adminUrl, 'holdfast_config_last_reload_successful')).toBe(1);
      expect((await fetch(`${url}/me`)).status).toBe(200);
      await child.logged('attempt');
    },
  );
});

describe('the file', () => {
  it('is read again when it changes, without being asked', async () => {
    const file = path.join(folderOf({ 'h.yaml': atLevel('info') }), 'h.yaml');
    const { child, url } = await serving(upstream.origin, ['--config', file]);
    const { hash } = await child.logged('config_loaded');
    writeFileSync(file, atLevel('debug'));
    await child.logged('config_loaded', (line) => line['hash'] !== hash);
    expect((await fetch(`${url}/me`)).status).toBe(200);
    await child.logged('attempt');
  });
});

describe('health', () => {
  it('exits 0 when the instance is ready, and 1 with a line when none is there', async () => {
    const { child, adminUrl } = await serving(upstream.origin);
    const admin = new URL(adminUrl).host;
    const ready = holdfast(['health'], { HOLDFAST_ADMIN_LISTEN: admin });
    expect([await ready.exit(), ready.stdout]).toEqual([0, 'ready\n']);
    child.signal('SIGTERM');
    await child.exit();
    const gone = holdfast(['health', '--admin', admin]);
    expect(await gone.exit()).toBe(1);
    oneLine(gone.stderr);
    expect(gone.stderr).toContain(admin);
  });
});

describe('the log', () => {
  it('may lose its reader: calls go on', async () => {
    const { child, url } = await serving(upstream.origin);
    child.process.stdout?.destroy();
    for (let n = 0; n < 200; n += 1) expect((await fetch(`${url}/me`)).status).toBe(200);
    child.signal('SIGTERM');
    expect(await child.exit()).toBe(0);
  });

  it('§12: is JSON, one line per exchange, and never shows a credential or a body, on failures neither', async () => {
    const [bearer, query, body, cookie, apiKey] = [secret(1), secret(2), secret(3), secret(4), secret(5)];
    const [answerBody, setCookie, holdfastToken, timeout] = [secret(6), secret(7), secret(8), secret(9)];
    upstream.script(
      json({ ok: answerBody }, 200, ['Set-Cookie', `id=${setCookie}`]),
      intercomError(422, 'parameter_invalid', 'no'),
      intercomError(401, 'unauthorized', 'Access Token Invalid'),
    ).otherwise = { at: 'request', act: (peer) => peer.reset() };
    const file = path.join(
      folderOf({ 'h.yaml': 'version: 1\nlog: { level: trace }\ndefaults: { retry: { base_delay: 1ms } }\n' }),
      'h.yaml',
    );
    const { child, url } = await serving(upstream.origin, ['--config', file]);
    const headers = {
      Authorization: `Bearer ${bearer}`,
      Cookie: `session=${cookie}`,
      'X-Api-Key': apiKey,
      'Holdfast-Authorization': `Bearer ${holdfastToken}`,
    };
    const statuses: number[] = [];
    const send = async (init: RequestInit = {}): Promise<void> => {
      const response = await fetch(`${url}/contacts?token=${query}`, { method: 'POST', headers, body, ...init });
      statuses.push(response.status);
      await response.text();
    };
    for (let n = 0; n < 4; n += 1) await send();
    await send({ method: 'GET', body: null });
    await send({ headers: { ...headers, 'Holdfast-Timeout': timeout } });
    child.signal('SIGTERM');
    expect(await child.exit()).toBe(0);
    expect(statuses).toEqual([200, 422, 401, 504, 502, 400]);
    // `log` parses every line.
    expect(child.log.filter(({ event }) => event === 'exchange')).toHaveLength(5);
    expect(child.stdout + child.stderr).not.toMatch(/s3cret-\d-hush/);
  });
});
