import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Instance, startInstance } from '../../src/assemble.ts';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import { RawClient } from '../edge/harness.ts';
import { eventually } from '../faults/live.ts';
import { dataFolder } from '../support/data-folder.ts';

/** Takes every request and never answers. */
let silent: Server;
let origin: string;
let requests = 0;
let open = 0;
let folder: string;
let instance: Instance;
let yaml: string;
let log: Record<string, unknown>[];

async function load() {
  const loaded = await loadSettings({
    file: 'test.yaml',
    env: {},
    flags: { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream: origin, data: dataFolder() },
    readFile: (file) => (file === 'test.yaml' ? yaml : readFileSync(file, 'utf8')),
  });
  return { ...loaded, faults: loaded.faults.map(formatFault) };
}

async function start(): Promise<void> {
  const loaded = await load();
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  instance = await startInstance({
    settings: loaded.settings,
    version: 'test',
    nodeVersion: process.versions.node,
    env: {},
    logTo: { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    file: null,
    load,
  });
}

const call = (method: string, path: string): Promise<unknown> =>
  fetch(instance.url + path, { method, ...(method === 'POST' && { body: '{}' }) }).catch(() => 'cut off');

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-'));
  yaml = 'version: 1\n';
  log = [];
  requests = 0;
  silent = createServer(() => void (requests += 1));
  silent.on('connection', (socket) => {
    open += 1;
    socket.on('close', () => void (open -= 1));
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  origin = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
});

afterEach(async () => {
  await instance.stop(0);
  silent.closeAllConnections();
  await new Promise((resolve) => silent.close(resolve));
  rmSync(folder, { recursive: true });
});

test('stop: no upstream call outlives it, nor one of an upstream that a reload replaced', async () => {
  await start();
  const calls = [call('GET', '/contacts'), call('POST', '/contacts')];
  await eventually('both are on the wire', () => requests === 2);
  yaml = 'version: 1\nupstream: { connections: 7 }\n';
  expect((await instance.config.reload()).ok).toBe(true);
  calls.push(call('GET', '/contacts'));
  await eventually('the third is on the wire', () => requests === 3);
  await instance.stop(0);
  await eventually('the upstream sees all sockets closed', () => open === 0);
  await Promise.all(calls);
  expect(requests).toBe(3);
  expect(log.filter(({ event }) => event === 'bug')).toEqual([]);
});

test('a reload whose credential or CA cannot be used says which, is no bug, and leaves the running one in force', async () => {
  const token = join(folder, 'token');
  writeFileSync(token, 'good');
  yaml = `version: 1\nupstream: { credentials: { bearer_file: ${token} } }\n`;
  await start();
  const before = instance.settings().hash;
  const wrong = join(folder, 'wrong');
  writeFileSync(wrong, 'no certificate');
  for (const upstream of [`credentials: { bearer_file: ${wrong} }`, `ca_file: ${wrong}`]) {
    yaml = `version: 1\nupstream: { ${upstream} }\n`;
    const reloaded = await instance.config.reload();
    expect(reloaded).toMatchObject({ ok: false, hash: before });
    expect(reloaded.faults.join()).toContain(wrong);
    expect(instance.settings().hash).toBe(before);
  }
  expect(log.filter(({ event }) => event === 'bug')).toEqual([]);
  expect(log.filter(({ event }) => event === 'config_rejected')).toHaveLength(2);
  yaml = `version: 1\nupstream: { connections: 7, credentials: { bearer_file: ${token} } }\n`;
  expect((await instance.config.reload()).ok).toBe(true);
  expect(instance.settings().upstream.connections).toBe(7);
});

test('§3: a client that leaves while the process stops ends its read, and the drain goes on without it', async () => {
  await start();
  const port = Number(new URL(instance.url).port);
  const client = new RawClient(port).send('GET /contacts HTTP/1.1\r\nHost: h\r\n\r\n');
  await eventually('it is on the wire', () => requests === 1);
  const stopped = instance.stop(600_000);
  client.socket.resetAndDestroy();
  await stopped;
  expect(log.find(({ event }) => event === 'exchange')).toMatchObject({
    status: 499,
    reason: 'client_gone',
    effect: 'none',
  });
  expect(log.at(-1)).toMatchObject({ event: 'stopped', unfinished: 0 });
  await eventually('the upstream sees its socket closed', () => open === 0);
});
