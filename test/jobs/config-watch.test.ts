import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/core/settings.ts';
import { createConfigWatch, fileSignature, LOOK_EVERY_MS } from '../../src/jobs/config-watch.ts';
import { Events } from '../../src/ops/events.ts';
import { createLog } from '../../src/ops/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'holdfast-watch-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function watching(file: string, onLoaded: () => Promise<void> = async () => {}) {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const metrics = createMetrics();
  const events = new Events(createLog({ level: 'info', redact: [] }, { write: (line) => lines.push(line) }), metrics);
  const load = async () => {
    const result = await loadSettings({ file, env: {}, flags: {}, readFile: (name) => readFile(name, 'utf8') });
    return { ...result, faults: result.faults.map(formatFault) };
  };
  const signature = await fileSignature(file);
  const first = await load();
  if (!first.ok) throw new Error(first.faults.join('\n'));
  await onLoaded();
  let settings: Settings = first.settings;
  let swaps = 0;
  const watch = createConfigWatch({
    events,
    file: { path: file, signature },
    load,
    running: () => settings,
    swap: async (next) => {
      settings = next;
      swaps += 1;
      events.configLoaded(next.hash, next.source);
    },
  });
  const stop = new AbortController();
  const ended = watch.run(clock, stop.signal);
  return {
    watch,
    lines,
    settings: () => settings,
    swaps: () => swaps,
    healthy: async () => (await metrics.configLastReloadSuccessful.get()).values[0]?.value,
    /** Lets the job look `n` times; reading the file takes real time, so each look is waited for. */
    look: async (n = 2) => {
      for (let i = 0; i < n; i += 1) {
        await expect.poll(() => clock.pending).toBe(1);
        await clock.advance(LOOK_EVERY_MS);
      }
      await expect.poll(() => clock.pending).toBe(1);
    },
    end: async () => {
      stop.abort();
      await ended;
      expect(clock.pending).toBe(0);
    },
  };
}

const retries = (n: number): string => `defaults: { retry: { max_retries: ${n} } }\n`;
const maxRetries = (settings: Settings): number => settings.match('GET', '/contacts/1').policy.retry.maxRetries;

test('a file that changed while the process started is seen too', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file, () => writeFile(file, retries(12)));
  await job.look(3);
  expect(maxRetries(job.settings())).toBe(12);
  await job.end();
});

test('a changed file is swapped in once it has stayed the same for one more look', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  await job.look();
  expect(job.swaps()).toBe(0);
  await writeFile(file, retries(2));
  await job.look(1);
  expect(job.swaps()).toBe(0);
  await job.look(1);
  expect(maxRetries(job.settings())).toBe(2);
  await job.look(3);
  expect(job.swaps()).toBe(1);
  await job.end();
});

test('a Kubernetes swap of ..data is seen', async () => {
  await mkdir(path.join(directory, '..v1'));
  await mkdir(path.join(directory, '..v2'));
  await writeFile(path.join(directory, '..v1', 'holdfast.yaml'), retries(1));
  await writeFile(path.join(directory, '..v2', 'holdfast.yaml'), retries(7));
  await symlink('..v1', path.join(directory, '..data'));
  await symlink(path.join('..data', 'holdfast.yaml'), path.join(directory, 'holdfast.yaml'));
  const job = await watching(path.join(directory, 'holdfast.yaml'));
  await job.look();
  await symlink('..v2', path.join(directory, '..data_tmp'));
  await rename(path.join(directory, '..data_tmp'), path.join(directory, '..data'));
  await job.look();
  expect(maxRetries(job.settings())).toBe(7);
  await job.end();
});

test('a broken file leaves the running configuration untouched and is reported once with its place', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  const before = job.settings();
  await writeFile(file, 'defaults: { retry: { max_retri');
  await job.look(4);
  expect(job.settings()).toBe(before);
  expect(await job.healthy()).toBe(0);
  const rejected = job.lines.filter((line) => line.includes('config_rejected'));
  expect(rejected).toHaveLength(1);
  expect(rejected[0]).toContain('holdfast.yaml:1:');
  await writeFile(file, retries(3));
  await job.look();
  expect(maxRetries(job.settings())).toBe(3);
  expect(await job.healthy()).toBe(1);
  await job.end();
});

test('a file that stays away is said once, also when it comes back as it was and goes again', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  const missing = () => job.lines.filter((line) => line.includes('config_missing'));
  await rename(file, `${file}.away`);
  await job.look(1);
  expect(missing()).toHaveLength(0);
  await job.look(4);
  expect(missing()).toHaveLength(1);
  expect(JSON.parse(missing()[0]!)).toMatchObject({ level: 'warn', file });
  expect(job.swaps()).toBe(0);
  await rename(`${file}.away`, file);
  await job.look();
  expect(job.swaps()).toBe(1);
  await rm(file);
  await job.look(3);
  expect(missing()).toHaveLength(2);
  await job.end();
});

test('a vanished file changes nothing, and is read again when it is back', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  await rm(file);
  await job.look(3);
  expect(maxRetries(job.settings())).toBe(1);
  await writeFile(file, retries(4));
  await job.look();
  expect(maxRetries(job.settings())).toBe(4);
  await job.end();
});

test('what needs a restart is named and keeps its running value; the rest is swapped in', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  await writeFile(
    file,
    `${retries(2)}listen: 127.0.0.1:9999\nadmin: { listen: '127.0.0.1:9998' }\nupstream: { region: eu }\nlimits: { buffered: 1MiB }\n`,
  );
  const result = await job.watch.reload();
  expect(result).toMatchObject({
    ok: true,
    faults: [],
    restart: ['listen', 'admin.listen'],
  });
  expect(job.settings().listen.port).toBe(8080);
  expect(job.settings().upstream.origin).toBe('https://api.eu.intercom.io');
  expect(job.settings().limits.bufferedBytes).toBe(2 ** 20);
  expect(maxRetries(job.settings())).toBe(2);
  expect(job.settings().shown).toMatchObject({
    listen: '127.0.0.1:8080',
    admin: { listen: '127.0.0.1:8081' },
    upstream: { url: 'https://api.eu.intercom.io' },
    limits: { buffered: '1MiB' },
  });
  await job.end();
});

test('reloads asked for at once run one after the other', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, retries(1));
  const job = await watching(file);
  const results = await Promise.all([job.watch.reload(), job.watch.reload(), job.watch.reload()]);
  expect(results.map(({ ok }) => ok)).toEqual([true, true, true]);
  expect(job.swaps()).toBe(3);
  await job.end();
});
