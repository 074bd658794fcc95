/** What a redrive passes by, because something later stands for it, and what it cannot look for. */

import { describe, expect, test } from 'vitest';
import { dlq } from '../commands/dlq-io.ts';
import { DOWN, IMPATIENT, type Json, type Rig } from './redrive-rig.ts';
import { startRig } from './redrive-tests.ts';

const refuse = (status: number, times: number) => ({
  times,
  fault: { kind: 'status', status, effect: 'none' } as const,
});
const OPEN = { filter: { state: 'open' }, canary: 0 };

describe('§9: a redrive and what stands for its rows', () => {
  test('leads that a second token has made are not made again with it, keyed or not, unless it is forced', async () => {
    const rig = await startRig({ rules: [refuse(401, 3)] });
    const leads = [
      [{ role: 'lead', name: 'a' }, 'r1'],
      [{ role: 'lead', name: 'b' }, 'r2'],
      [{ role: 'lead', name: 'c' }, null],
    ] as const;
    for (const token of ['old', 'new'])
      for (const [lead, key] of leads)
        expect(await send(rig, 'POST /contacts', lead, { token, key })).toBe(token === 'old' ? 401 : 200);
    await until(async () => (await letters(rig)).every((row) => row.maybe_superseded_by !== null));
    expect((await letters(rig)).map(({ state }) => state)).toEqual(['dead', 'dead', 'dead']);
    const order = { ...OPEN, credential: 'new' };
    expect((await rig.api('POST /api/redrives', { ...order, dry_run: true })).json.plan).toMatchObject({
      superseded: 3,
    });
    expect((await rig.redrive(order)).results).toMatchObject({ superseded: 3 });
    expect(created(rig)).toHaveLength(3);
    expect((await rig.redrive({ ...order, force: true })).results).toMatchObject({ succeeded: 3 });
  });

  test('another body, or another failure, is nobody else’s to mark', async () => {
    const rig = await startRig({ rules: [refuse(401, 1), refuse(422, 1)] });
    for (const name of ['a', 'b']) await send(rig, 'POST /contacts', { role: 'lead', name }, { token: 'old' });
    for (const name of ['b', 'c']) await send(rig, 'POST /contacts', { role: 'lead', name }, { token: 'new' });
    await rig.redrive({ ...OPEN, credential: 'new' });
    expect(created(rig)).toHaveLength(4);
  });

  test('two workspaces number their contacts alike: one of them stands for none of the other', async () => {
    const rig = await startRig({ rules: [refuse(401, 1)] });
    await send(rig, 'POST /contacts', { external_id: '42', email: 'ann@example.com' }, { token: 'one' });
    await send(rig, 'POST /contacts', { external_id: '42', email: 'bob@example.com' }, { token: 'two' });
    expect((await rig.redrive({ ...OPEN, credential: 'one' })).results).toMatchObject({ superseded: 0 });
  });

  test('an update that was refused for its token does not undo the newer one of the next token', async () => {
    const rig = await startRig();
    const { json } = await rig.send('POST /contacts', { external_id: 'u1', email: 'u1@example.com' });
    rig.simulator.fault(refuse(401, 1));
    await send(rig, `PUT /contacts/${json.id}`, { name: 'older' }, { token: 'old' });
    await send(rig, `PUT /contacts/${json.id}`, { name: 'newer' });
    await until(async () => (await letters(rig))[0]?.maybe_superseded_by !== null);
    expect((await rig.redrive({ ...OPEN, credential: 'good' })).results).toMatchObject({ superseded: 1 });
    expect((await rig.send(`GET /contacts/${json.id}`)).json.name).toBe('newer');
  });

  test('an edited form stands for its original: one lead, and the original says by what', async () => {
    const rig = await startRig({ rules: [refuse(422, 1)] });
    await send(rig, 'POST /contacts', { role: 'lead', name: '' });
    const [original] = await letters(rig);
    const edit = { body: { role: 'lead', name: 'Good' } };
    const { json: edited } = await rig.api(`PATCH /api/dead-letters/${original.id}`, edit);
    expect(await letter(rig, original.id)).toMatchObject({ state: 'dead', maybe_superseded_by: edited.id });
    const second = await rig.api(`PATCH /api/dead-letters/${original.id}`, edit);
    expect([second.status, second.json.errors[0].message]).toEqual([409, expect.stringContaining(edited.id)]);
    expect((await rig.redrive({ filter: { match: 'lead' } })).results).toMatchObject({ succeeded: 1, superseded: 1 });
    expect(created(rig)).toHaveLength(1);
    await until(async () => (await letter(rig, original.id)).state === 'superseded');
    expect((await letter(rig, original.id)).superseded_by).toBe(edited.id);
  });

  test('an edited form that is discarded gives its original back', async () => {
    const rig = await startRig({ rules: [refuse(422, 1)] });
    await send(rig, 'POST /contacts', { role: 'lead', name: 'Good' });
    const [original] = await letters(rig);
    const { json: edited } = await rig.api(`PATCH /api/dead-letters/${original.id}`, { body: { role: 'lead' } });
    await rig.api(`POST /api/dead-letters/${edited.id}/discard`);
    expect((await letter(rig, original.id)).maybe_superseded_by).toBeNull();
    expect((await rig.redrive(OPEN)).results).toMatchObject({ succeeded: 1 });
  });

  test('of four lost updates, the first and the last of them equal, the last stands in the end', async () => {
    const rig = await startRig();
    const { json } = await rig.send('POST /contacts', { external_id: 'u1', email: 'u1@example.com' });
    rig.simulator.fault(DOWN);
    for (const name of ['a', 'b', 'c', 'a']) await rig.send(`PUT /contacts/${json.id}`, { name });
    rig.simulator.clearFaults();
    await rig.redrive(OPEN);
    expect((await rig.send(`GET /contacts/${json.id}`)).json.name).toBe('a');
  });

  test('of two calls that died under one key the corrected one is sent, and only that', async () => {
    const rig = await startRig({ rules: [refuse(422, 1), { ...DOWN, times: 1 }] });
    for (const name of ['wrong', 'right']) await send(rig, 'POST /contacts', { role: 'lead', name }, { key: 'r1' });
    expect((await rig.redrive(OPEN)).results).toMatchObject({ succeeded: 1, superseded: 1 });
    expect((await rig.api('GET /api/dead-letters?state=superseded')).json.dead_letters).toHaveLength(1);
    expect(created(rig)).toHaveLength(1);
    const { json } = await rig.api(`GET /api/dead-letters?state=succeeded`);
    expect((await letter(rig, json.dead_letters[0].id)).request.body.json).toMatchObject({ name: 'right' });
  });
});

describe('§9: an unknown row that nothing can show', () => {
  const UNDETECTABLE = `${IMPATIENT}endpoints:\n  - { match: POST /tags, class: create, replace: true, answer: json }\n`;

  test('is sent when it is named and forced, and never by a filter; plan and result say so', async () => {
    const rig = await startRig(
      { rules: [{ times: 1, fault: { kind: 'status', status: 500, effect: 'none' } }] },
      UNDETECTABLE,
    );
    await rig.send('POST /tags', { name: 'a' });
    const [row] = await letters(rig, 'unknown');
    const { plan } = (await rig.api('POST /api/redrives', { ...OPEN, dry_run: true })).json;
    expect(plan).toMatchObject({ unknown: 1, undetectable: 1 });
    for (const order of [OPEN, { ...OPEN, force: true }, { filter: { id: row.id } }]) {
      const { id, results } = await rig.redrive(order);
      expect(results).toMatchObject({ unknown: 1 });
      const [{ detail }] = (await rig.api(`GET /api/redrives/${id}/rows`)).json.rows;
      expect(detail).toMatch(/nothing can show whether it landed.*--force/);
    }
    expect(rig.simulator.requests()).toHaveLength(1);
    expect((await rig.redrive({ filter: { id: row.id }, force: true })).results).toMatchObject({ succeeded: 1 });
    expect(rig.simulator.requests()).toHaveLength(2);
  });

  test('the command line says how many there are, and what stands for a row', async () => {
    const rig = await startRig(
      { rules: [{ times: 1, fault: { kind: 'status', status: 500, effect: 'none' } }] },
      UNDETECTABLE,
    );
    const at = ['--admin', rig.holdfast.adminUrl];
    await rig.send('POST /tags', { name: 'a' });
    const [{ id }] = await letters(rig, 'unknown');
    expect((await dlq(['redrive', '--state', 'open', '--dry-run', ...at])).out).toContain(
      'nothing can show whether 1 of the unknown landed',
    );
    await dlq(['edit', id, '--set', 'name=b', ...at]);
    const { maybe_superseded_by: edited } = await letter(rig, id);
    expect((await dlq(['show', id, ...at])).out).toContain(`maybe by ${edited}`);
    expect((await dlq(['list', ...at], { columns: 200 })).out).toContain('unknown, maybe superseded');
    expect((await dlq(['redrive', edited, '--force', ...at])).code).toBe(0);
    await until(async () => (await dlq(['show', id, ...at])).out.includes('state      superseded'));
  });

  test('an edited form of one is sent in the same way', async () => {
    const rig = await startRig(
      { rules: [{ times: 1, fault: { kind: 'status', status: 500, effect: 'none' } }] },
      UNDETECTABLE,
    );
    await rig.send('POST /tags', { name: 'a' });
    const [row] = await letters(rig, 'unknown');
    const { json: edited } = await rig.api(`PATCH /api/dead-letters/${row.id}`, { body: { name: 'b' } });
    expect((await rig.redrive({ filter: { id: edited.id } })).results).toMatchObject({ unknown: 1 });
    expect((await rig.redrive({ filter: { id: edited.id }, force: true })).results).toMatchObject({ succeeded: 1 });
    await until(async () => (await letter(rig, row.id)).state === 'superseded');
  });

  test('one that is forced and lost again is in doubt as before', async () => {
    const rig = await startRig(
      { rules: [{ times: 2, fault: { kind: 'status', status: 500, effect: 'none' } }] },
      UNDETECTABLE,
    );
    await rig.send('POST /tags', { name: 'a' });
    const [row] = await letters(rig, 'unknown');
    expect((await rig.redrive({ filter: { id: row.id }, force: true })).results).toMatchObject({ unknown: 1 });
    expect(await letter(rig, row.id)).toMatchObject({ state: 'unknown', effect: 'unknown' });
    expect(rig.simulator.requests()).toHaveLength(2);
  });

  test('so is a lead that no entry of the map speaks of', async () => {
    const rig = await startRig({ rules: [{ times: 1, fault: { kind: 'status', status: 500, effect: 'none' } }] });
    await rig.send('POST /contacts', { role: 'lead', name: 'a' });
    const [row] = await letters(rig, 'unknown');
    expect((await rig.redrive({ ...OPEN, force: true })).results).toMatchObject({ unknown: 1 });
    expect((await rig.redrive({ filter: { id: row.id }, force: true })).results).toMatchObject({ succeeded: 1 });
    expect(created(rig)).toHaveLength(1);
  });
});

async function send(
  rig: Rig,
  line: string,
  body: unknown,
  { token = 'good', key = null as string | null } = {},
): Promise<number> {
  const [method = '', target = ''] = line.split(' ');
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await fetch(rig.holdfast.url + target, {
    method,
    headers: key === null ? headers : { ...headers, 'idempotency-key': key },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

async function letters(rig: Rig, state = 'dead'): Promise<Json[]> {
  return (await rig.api(`GET /api/dead-letters?state=${state}`)).json.dead_letters;
}

async function letter(rig: Rig, id: string): Promise<Json> {
  return (await rig.api(`GET /api/dead-letters/${id}`)).json;
}

function created(rig: Rig): unknown[] {
  return rig.simulator.effects().filter(({ operation }) => operation === 'POST /contacts');
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 2000; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('never');
}
