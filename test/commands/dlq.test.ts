import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Io } from '../../src/commands/io.ts';
import type { Rig } from '../e2e/redrive-rig.ts';
import { DOWN } from '../e2e/redrive-rig.ts';
import { startRig } from '../e2e/redrive-tests.ts';
import { dlq } from './dlq-io.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-dlq-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lead = (n: number) => ({
  external_id: `lead-${n}`,
  email: `lead-${n}@example.com`,
  name: `\u001B[31mLead\u202E ${n}`,
});

async function rigWithDead(count: number): Promise<{ rig: Rig; at: string[] }> {
  const rig = await startRig({ rules: [DOWN] });
  for (let n = 0; n < count; n += 1) await rig.send('POST /contacts', lead(n), 'planted-token');
  return { rig, at: ['--admin', rig.holdfast.adminUrl] };
}

describe('dlq', () => {
  test('lists, groups and shows; JSON for programs; nothing that a terminal would obey', async () => {
    const { at } = await rigWithDead(3);
    const listed = await dlq(['list', ...at]);
    expect(listed.code).toBe(0);
    expect(listed.out.split('\n')[0]).toMatch(/^ID +STATE +REASON +AGE +CALLS +TRIES +CAUSE/);
    expect(listed.out.split('\n')).toHaveLength(5);
    const ids = (await dlq(['list', '--json', ...at])).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id as string);
    expect(ids).toHaveLength(3);
    expect((await dlq(['groups', ...at])).out).toContain('POST /contacts 503');
    const shown = await dlq(['show', ids[0] ?? '', ...at]);
    expect(shown.out).toContain('lead-2@example.com');
    for (const control of ['\u001B', '\u202E']) expect(shown.out).not.toContain(control);
    expect(listed.out + shown.out).not.toContain('planted-token');
  });

  test('folds and cuts a table to the terminal’s width, and colours it unless NO_COLOR is set', async () => {
    const { rig, at } = await rigWithDead(1);
    await rig.redrive({ filter: { state: 'open' } }, ['paused', 'done']);
    const id = JSON.parse((await dlq(['list', '--json', ...at])).out).id as string;
    for (const args of [['list'], ['groups'], ['redrive', '--status']])
      for (const columns of [60, 80, 200]) {
        const { out } = await dlq([...args, ...at], { columns, env: { NO_COLOR: '1' } });
        for (const line of out.split('\n')) expect(line.length, `${args[0]} ${columns}`).toBeLessThanOrEqual(columns);
        if (args[0] !== 'redrive')
          expect(out, `${args[0]} ${columns}`).toContain('POST /contacts 503 service_unavailable');
        expect(out.trimEnd(), `${args[0]} ${columns}`).not.toContain('\n\n');
      }
    const { out } = await dlq(['list', ...at], { columns: 60, env: { NO_COLOR: '1' } });
    expect(out).toContain(id);
    expect(out).toContain('…');
    const shown = await dlq(['show', id, ...at], { columns: 60, env: { NO_COLOR: '1' } });
    const tries = shown.out.slice(shown.out.indexOf('TRY')).split('\n');
    for (const line of tries) expect(line.length).toBeLessThanOrEqual(60);
    expect((await dlq(['list', ...at], { columns: 90 })).out).toContain('\u001B[31mdead');
  });

  test('redrives, tells what came of it, and ends with 0 only when all is home', async () => {
    const { rig, at } = await rigWithDead(4);
    const dry = await dlq(['redrive', '--state', 'open', '--dry-run', ...at]);
    expect(dry.out).toContain('4 rows meant, 4 to run: 4 creates');
    const failed = await dlq(['redrive', '--state', 'open', ...at]);
    expect(failed.code).toBe(1);
    expect(failed.out).toMatch(/is paused: 2 of the first 2 rows failed/);
    rig.simulator.clearFaults();
    const id = /redrive (\S+) is/.exec(failed.out)?.[1] ?? '';
    expect((await dlq(['redrive', '--status', id, ...at])).code).toBe(0);
    expect((await dlq(['redrive', '--pause', id, ...at])).code).toBe(0);
    const cancelled = await dlq(['redrive', '--cancel', id, ...at]);
    expect(cancelled).toMatchObject({ code: 0, out: expect.stringContaining('is cancelled') });
    expect((await dlq(['redrive', '--resume', id, ...at])).code).toBe(1);
    expect(await dlq(['redrive', ...at])).toMatchObject({ code: 2, err: expect.stringContaining('--state open') });
    const done = await dlq(['redrive', '--state', 'open', ...at]);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toContain('4 rows: 4 succeeded');
    expect((await dlq(['redrive', 'nobody', ...at])).code).toBe(1);
    expect((await dlq(['redrive', '--endpoint', 'POST /nowhere', ...at])).out).toContain('0 rows meant');
    expect((await dlq(['redrive', '--state', 'opn', ...at])).code).toBe(2);
  });

  test('rows that were not sent are not home: they expired, and it says what can be done', async () => {
    const { rig, at } = await rigWithDead(1);
    const [line = ''] = (await dlq(['export', '--with-bodies', ...at])).out.split('\n');
    const letter = JSON.parse(line);
    const old = {
      ...letter,
      id: 'old',
      endpoint: 'POST /messages',
      first_at: '2026-01-01T00:00:00Z',
      parent: '\u009b31m',
    };
    old.request = { ...letter.request, target: '/messages' };
    const file = path.join(folder, 'old.ndjson');
    writeFileSync(file, JSON.stringify({ ...old, cause: '\u001b[31m', cause_label: '\u009b31m' }));
    expect((await dlq(['import', file, ...at])).code).toBe(0);
    for (const args of [['show', 'old'], ['show', 'old', '--json'], ['list'], ['list', '--json'], ['groups', '--json']])
      expect((await dlq([...args, ...at])).out, args.join(' ')).not.toMatch(/[^\P{C}\n]/u);
    const done = await dlq(['redrive', 'old', ...at]);
    expect(done).toMatchObject({ code: 1, out: expect.stringContaining('1 expired') });
    expect(done.out).toContain('--force sends it');
    expect(rig.simulator.requests()).toHaveLength(1);
  });

  test('an instance that goes away in the middle of an answer is told of in one line', async () => {
    const half = createServer((request, response) => {
      if (request.url === '/healthz') return void response.end('{"alive":true}');
      response.writeHead(200, { 'content-length': '100' });
      response.write('{');
      setImmediate(() => response.destroy());
    });
    await new Promise<void>((resolve) => half.listen(0, '127.0.0.1', resolve));
    const { port } = half.address() as AddressInfo;
    const ran = await dlq(['list', '--admin', `127.0.0.1:${port}`]);
    half.close();
    expect(ran).toEqual({ code: 1, out: '', err: `holdfast: the instance at 127.0.0.1:${port} went away\n` });
  });

  test('edits by --set, by file and in the editor; an edit that breaks JSON loses nothing', async () => {
    const { rig, at } = await rigWithDead(1);
    rig.simulator.clearFaults();
    const [id = ''] = (await dlq(['list', '--json', ...at])).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id as string);
    const kept = path.join(folder, 'kept.json');
    const edit: NonNullable<Io['edit']> = (text) => Promise.resolve({ text: `${text},`, file: kept, drop: () => {} });
    const broken = await dlq(['edit', id, ...at], { edit });
    expect(broken.code).not.toBe(0);
    expect(broken.err).toContain(`Your text is in ${kept}`);
    const unchanged = await dlq(['edit', id, ...at], {
      edit: (text) => Promise.resolve({ text, file: kept, drop: () => {} }),
    });
    expect(unchanged).toMatchObject({ code: 1, err: 'holdfast: nothing was changed\n' });
    const set = await dlq([
      'edit',
      id,
      '--set',
      'name=Ada',
      '--set',
      'custom_attributes.plan="pro"',
      '--redrive',
      ...at,
    ]);
    expect(set).toMatchObject({ code: 0 });
    expect(rig.simulator.stats().effects).toBe(1);
    expect((await dlq(['show', id, ...at])).code).toBe(0);
    expect((await dlq(['edit', id, '--set', 'name', ...at])).code).toBe(2);
    expect((await dlq(['edit', 'nobody', '--set', 'a=1', ...at])).code).toBe(1);
  });

  test('asks before it discards many or purges; without a terminal it wants --yes', async () => {
    const { at } = await rigWithDead(3);
    expect((await dlq(['discard', '--state', 'open', ...at])).code).toBe(2);
    expect((await dlq(['discard', ...at])).code).toBe(2);
    const asked: string[] = [];
    const ask = (question: string): Promise<string> => Promise.resolve((asked.push(question), 'n'));
    expect((await dlq(['purge', '--state', 'all', ...at], { ask })).out).toBe('nothing purged\n');
    expect(asked[0]).toMatch(/^Delete 3 dead letters .* for good/);
    expect((await dlq(['discard', '--state', 'open', '--yes', ...at])).out).toBe('discarded 3 dead letters\n');
    expect((await dlq(['purge', '--match', 'lead-1@', '--yes', ...at])).out).toBe('purged 1 dead letter\n');
    expect((await dlq(['purge', '--match', 'lead-1@', '--yes', ...at])).out).toBe('nothing to purge\n');
  });

  test('works on the data directory when nobody runs, moves rows to another ledger, and sends nothing there', async () => {
    const { rig, at } = await rigWithDead(3);
    const file = path.join(folder, 'dead.ndjson');
    const here = ['--data', rig.data];
    expect((await dlq(['list', ...here])).err).toContain('Another process uses the ledger');
    expect((await dlq(['export', ...at])).out).not.toContain('lead-1@example.com');
    expect((await dlq(['export', file, '--with-bodies', ...at])).err).toContain('3 dead letters in');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).not.toContain('planted-token');
    expect((await dlq(['export', file, ...at])).code).toBe(1);
    expect((await dlq(['purge', '--state', 'all', '--yes', ...at])).code).toBe(0);

    await rig.holdfast.stop();
    expect((await dlq(['list', ...here])).err).toContain('no dead letters');
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"id": 1}\nno json\n`);
    const imported = await dlq(['import', file, ...here]);
    expect(imported).toMatchObject({ code: 1, out: 'imported 3 dead letters, 0 known already, 2 refused\n' });
    expect((await dlq(['import', file, ...here])).out).toContain('3 known already');
    expect((await dlq(['redrive', '--state', 'open', '--dry-run', ...here])).out).toContain('3 to run');
    expect((await dlq(['redrive', '--state', 'open', ...here])).err).toContain('start holdfast serve');
    const nowhere = path.join(folder, 'nothing');
    expect((await dlq(['list', '--data', nowhere])).err).toContain('there is no ledger');
    expect(existsSync(nowhere)).toBe(false);
  });

  test('says in one line what is wrong', async () => {
    const away = await dlq(['list', '--admin', '127.0.0.1:1']);
    expect(away).toMatchObject({ code: 1, out: '' });
    expect(away.err).toBe('holdfast: no instance answers at http://127.0.0.1:1; start one, or give --data\n');
    expect((await dlq(['lst'])).code).toBe(2);
    expect((await dlq(['list', '--limit', '0', '--admin', '127.0.0.1:1'])).code).not.toBe(0);
  });
});
