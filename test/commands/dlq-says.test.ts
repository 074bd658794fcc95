import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DOWN, IMPATIENT, type Rig } from '../e2e/redrive-rig.ts';
import { startRig } from '../e2e/redrive-tests.ts';
import { startTestInstance } from '../support/instance.ts';
import { dlq } from './dlq-io.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-dlq-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function rigWithDead(count: number): Promise<{ rig: Rig; at: string[] }> {
  const rig = await startRig({ rules: [DOWN] });
  for (let n = 0; n < count; n += 1) {
    await rig.send('POST /contacts', { external_id: `lead-${n}`, email: `lead-${n}@example.com`, list: ['a'] });
  }
  return { rig, at: ['--admin', rig.holdfast.adminUrl] };
}

async function idsAt(at: readonly string[], ...more: string[]): Promise<string[]> {
  const { out } = await dlq(['list', '--json', ...more, ...at]);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).id as string);
}

describe('what dlq says, and what it ends with', () => {
  test('a filter that means nothing is no success', async () => {
    const { rig, at } = await rigWithDead(1);
    for (const args of [['redrive'], ['redrive', '--dry-run'], ['discard', '--yes'], ['purge', '--yes']]) {
      const ran = await dlq([...args, '--endpoint', 'POST /tgas', ...at]);
      expect(ran.code, args.join(' ')).toBe(1);
    }
    const nothing = await dlq(['redrive', '--endpoint', 'POST /tgas', ...at]);
    expect(nothing.err).toContain('no dead letters like that');
    const cause = await dlq(['redrive', '--cause', 'refusd', ...at]);
    expect(cause).toMatchObject({ code: 2, err: expect.stringContaining('exhausted, permanent, unknown') });
    const state = await dlq(['list', '--state', 'ded', ...at]);
    expect(state).toMatchObject({ code: 2, err: expect.stringContaining('allowed is open, all, dead, unknown') });
    const velocity = await dlq(['redrive', '--state', 'open', '--velocity', '2', ...at]);
    expect(velocity).toMatchObject({ code: 2, err: expect.stringContaining('a share of the quota') });
    for (const bare of [['redrive'], ['redrive', '--dry-run'], ['purge', '--yes'], ['discard', '--yes']]) {
      expect(await dlq([...bare, ...at])).toMatchObject({ code: 2, err: expect.stringContaining('--cause exhausted') });
    }
    expect(rig.simulator.requests()).toHaveLength(1);
  });

  test('named ids that are not meant are told with their state, and are no success', async () => {
    const { rig, at } = await rigWithDead(2);
    const [second = '', first = ''] = await idsAt(at);
    expect((await dlq(['discard', first, ...at])).code).toBe(0);
    const discarded = await dlq(['redrive', first, ...at]);
    expect(discarded).toMatchObject({ code: 1, err: `holdfast: Nothing is sent again: ${first} is discarded.\n` });
    rig.simulator.clearFaults();
    const both = await dlq(['redrive', first, second, 'nobody', ...at]);
    expect(both).toMatchObject({ code: 1, out: expect.stringContaining('1 row: 1 succeeded') });
    expect(both.err).toContain(`${first} is discarded: it is not sent again`);
    expect(both.err).toContain('nobody is no dead letter');
    const purged = await dlq(['purge', first, 'nobody', '--yes', ...at]);
    expect(purged).toMatchObject({ code: 1, out: 'purged 1 dead letter\n' });
    expect(purged.err).toContain('nobody: there is no such dead letter');
    expect((await dlq(['purge', 'nobody', '--yes', ...at])).code).toBe(1);
    expect((await dlq(['discard', 'nobody', ...at])).code).toBe(1);
  });

  test('purge means all states, and names those that it takes before it asks', async () => {
    const { at } = await rigWithDead(3);
    const [id = ''] = await idsAt(at);
    await dlq(['discard', id, ...at]);
    const asked: string[] = [];
    const ask = (question: string): Promise<string> => Promise.resolve((asked.push(question), 'n'));
    await dlq(['purge', '--match', 'lead-', ...at], { ask });
    await dlq(['purge', id, ...at], { ask });
    expect(asked[0]).toMatch(/^Delete 3 dead letters \((?:2 dead, 1 discarded|1 discarded, 2 dead)\) at /);
    expect(asked[1]).toMatch(/^Delete 1 dead letter \(1 discarded\) at /);
    expect((await dlq(['purge', '--help'])).out).toContain('all when left out');
    expect((await dlq(['list', '--help'])).out).toContain('open when left out');
  });

  test('rows whose body was left out of an export say so at the export, the import, in show and in a redrive', async () => {
    const { rig, at } = await rigWithDead(2);
    const file = path.join(folder, 'dead.ndjson');
    const exported = await dlq(['export', file, ...at]);
    expect(exported.err).toContain('2 without bodies: cannot be redriven from here');
    const [id = ''] = await idsAt(at);
    await dlq(['purge', '--state', 'all', '--yes', ...at]);
    const imported = await dlq(['import', file, ...at]);
    expect(imported).toMatchObject({ code: 0, out: expect.stringContaining('imported 2') });
    expect(imported.err).toContain('2 of them without bodies: cannot be redriven');
    const shown = await dlq(['show', id, ...at]);
    expect(shown.out).toContain('imported without its body');
    expect(shown.out).not.toContain('streamed');
    const done = await dlq(['redrive', '--state', 'open', ...at]);
    expect(done.code).toBe(1);
    expect(done.out).toContain('2 rows: 2 skipped');
    expect(done.out).toMatch(/2 skipped and left as they are, .*body.*: /);
    expect((await dlq(['redrive', '--status', ...at])).out).toContain('2 skipped');
    expect(rig.simulator.requests()).toHaveLength(2);
  });

  test('show tells an operation of the queue from what is not there', async () => {
    const rig = await startRig({ rules: [DOWN] });
    const at = ['--admin', rig.holdfast.adminUrl];
    const handed = await fetch(`${rig.holdfast.url}/contacts`, {
      method: 'POST',
      headers: { authorization: 'Bearer good', 'content-type': 'application/json', prefer: 'respond-async' },
      body: '{"external_id":"q","email":"q@example.com"}',
    });
    expect(handed.status).toBe(202);
    await handed.body?.cancel();
    const id = handed.headers.get('location')?.split('/').at(-1) ?? '';
    const shown = await dlq(['show', id, ...at]);
    expect(shown.code).toBe(1);
    expect(shown.err).toContain('is no dead letter but an operation of the queue');
    expect(shown.err).toContain(`GET /api/operations/${id}`);
    expect((await dlq(['show', 'nobody', ...at])).err).toContain('There is no dead letter with this id');
  });

  test('a second order of the same redrive says what of it was not taken, and where it goes', async () => {
    const { rig, at } = await rigWithDead(4);
    await rig.redrive({ filter: { state: 'open' } }, ['paused']);
    const file = path.join(folder, 'token');
    writeFileSync(file, 'fresh\n');
    const order = ['redrive', '--state', 'open', '--velocity', '0.5', '--credential-file', file, ...at];
    const second = await dlq(order);
    expect(second.code).toBe(1);
    expect(second.err).toContain('is paused already');
    expect(second.err).toContain('not taken: --velocity, --credential-file');
    const id = /--resume (\S+) --credential-file FILE/.exec(second.err)?.[1] ?? '';
    rig.simulator.clearFaults();
    const resumed = await dlq(['redrive', '--resume', id, '--credential-file', file, ...at]);
    expect(resumed.out).toContain('is done');
  });

  test('a redrive that waits for its credential after a restart says how it is given', async () => {
    const { rig } = await rigWithDead(3);
    const file = path.join(folder, 'token');
    writeFileSync(file, 'fresh\n');
    const begun = await dlq([
      'redrive',
      '--state',
      'open',
      '--credential-file',
      file,
      '--admin',
      rig.holdfast.adminUrl,
    ]);
    const id = /redrive (\S+) is paused/.exec(begun.out)?.[1] ?? '';
    await rig.holdfast.stop();
    rig.holdfast = await startTestInstance(rig.simulator.url, IMPATIENT, rig.data);
    for (const steer of ['--status', '--resume']) {
      const { out } = await dlq(['redrive', steer, id, '--admin', rig.holdfast.adminUrl]);
      expect(out, steer).toContain('resume it with its credential');
      expect(out, steer).toContain(`holdfast dlq redrive --resume ${id} --credential-file FILE`);
    }
  });

  test('an edit says what it made, makes nothing where nothing can be sent, and knows places in lists', async () => {
    const { rig, at } = await rigWithDead(1);
    const [id = ''] = await idsAt(at);
    const made = await dlq(['edit', id, '--set', 'list.1=b', '--redrive', ...at]);
    expect(made.code).toBe(1);
    expect(made.err).toContain(`is the edited form of ${id}`);
    const child = made.err.split(' ')[0] ?? '';
    expect((await dlq(['show', child, ...at])).out.replaceAll(/\s/g, '')).toContain('"list":["a","b"]');
    for (const set of ['list[0]=1', 'list.x=1', 'list.7=1']) {
      expect(await dlq(['edit', id, '--set', set, ...at]), set).toMatchObject({
        code: 2,
        err: expect.stringContaining('list'),
      });
    }
    await rig.holdfast.stop();
    const here = ['--data', rig.data];
    const before = await idsAt(here, '--state', 'all');
    const refused = await dlq(['edit', id, '--set', 'name=z', '--redrive', ...here]);
    expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('start holdfast serve') });
    expect(await idsAt(here, '--state', 'all')).toEqual(before);
  });

  test('where nobody runs a redrive can be paused and cancelled, and the next start does not go on', async () => {
    const slow = IMPATIENT.replace('velocity: 1', 'velocity: 0.001');
    const rig = await startRig({ rules: [DOWN], quota: { limit: 167 } }, slow);
    for (let n = 0; n < 4; n += 1) await rig.send('POST /tags', { name: `t-${n}` });
    const { json } = await rig.api('POST /api/redrives', { filter: { state: 'open' }, canary: 0 });
    const { id } = json.redrive;
    await rig.holdfast.stop();
    const here = ['--data', rig.data];
    expect((await dlq(['redrive', '--status', id, ...here])).out).toContain('is running');
    const paused = await dlq(['redrive', '--pause', id, ...here]);
    expect(paused).toMatchObject({ code: 0, out: expect.stringContaining('is paused: paused by a person') });
    expect((await dlq(['redrive', '--resume', id, ...here])).err).toContain('start holdfast serve');

    rig.holdfast = await startTestInstance(rig.simulator.url, slow, rig.data);
    const started = await rig.until(id, ['paused']);
    expect(started.why).toBe('paused by a person');
    await rig.holdfast.stop();
    expect((await dlq(['redrive', '--cancel', id, ...here])).code).toBe(0);
    expect((await dlq(['redrive', '--pause', id, ...here])).err).toContain('is cancelled');
  });

  test('a reader that has seen enough is no fault', async () => {
    const rig = await startRig({ rules: [DOWN] });
    const text = 'x'.repeat(400_000);
    await rig.send('POST /contacts', { external_id: 'long', name: text });
    const args = ['src/main.ts', 'dlq', 'export', '--with-bodies', '--admin', rig.holdfast.adminUrl];
    const script = '{ "$@"; echo "ended with $?" >&2; } | head -c 1';
    const ran = await promisify(execFile)('sh', ['-c', script, 'sh', process.execPath, ...args]);
    expect(ran).toEqual({ stdout: '{', stderr: 'ended with 0\n' });
  });

  test('a directory without ledger and an address of something else are told as what they are', async () => {
    writeFileSync(path.join(folder, 'none.ndjson'), '');
    const empty = await dlq(['import', path.join(folder, 'none.ndjson'), '--data', folder]);
    expect(empty).toMatchObject({ code: 1, err: expect.stringContaining('holdfast serve makes it') });
    expect(empty.err).not.toContain('give --admin');
    const other = createServer((_, response) => void response.end('<html>'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const ran = await dlq(['list', '--admin', `127.0.0.1:${port}`]);
    other.close();
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('is no admin plane') });
  });
});
