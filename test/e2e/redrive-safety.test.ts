import { describe, expect, test } from 'vitest';
import { DOWN, type Json, type Rig } from './redrive-rig.ts';
import { startRig } from './redrive-tests.ts';

const note = { body: 'A note that is made once' };
async function contactOf(rig: Rig): Promise<string> {
  return (await rig.send('POST /contacts', { external_id: 'u1', email: 'u1@example.com' })).json.id;
}

async function letters(rig: Rig, state: string): Promise<Json[]> {
  return (await rig.api(`GET /api/dead-letters?state=${state}`)).json.dead_letters;
}

describe('§9: redrive is safe by construction', () => {
  test('a create of unknown outcome is looked for first, and found: nothing is sent', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    await rig.send(`POST /contacts/${id}/notes`, note);
    const doubtful = exported(`POST /contacts/{contact_id}/notes`, `/contacts/${id}/notes`, note);
    await take(rig, { ...doubtful, effect: 'unknown', sent_at: new Date(Date.now() - 1000).toISOString() });
    const { plan } = (await rig.api('POST /api/redrives', { filter: { state: 'unknown' }, dry_run: true })).json;
    expect(plan).toMatchObject({ run: 1, creates: 1, unknown: 1 });
    const done = await rig.redrive({ filter: { state: 'unknown' }, credential: 'good' });
    expect(done.results).toMatchObject({ succeeded: 1 });
    expect((await rig.api(`GET /api/redrives/${done.id}/rows`)).json.rows[0].detail).toBe('200 found');
    expect(rig.simulator.effects().filter(({ operation }) => operation.endsWith('/notes'))).toHaveLength(1);
  }, 60_000);

  test('a create that customers see is not sent a day late, unless it is forced', async () => {
    const rig = await startRig();
    const message = { from: { type: 'admin', id: 1 }, to: { type: 'user', id: 'u' }, body: 'hello' };
    const old = { first_at: new Date(Date.now() - 2 * 86_400_000).toISOString() };
    await take(rig, { ...exported('POST /messages', '/messages', message), ...old });
    await take(rig, {
      ...exported('PUT /contacts/{contact_id}', '/contacts/abc', { name: 'x' }),
      ...old,
      class: 'idempotent',
    });
    const order = { filter: { state: 'open' }, credential: 'good', canary: 0 };
    const { plan } = (await rig.api('POST /api/redrives', { ...order, dry_run: true })).json;
    expect(plan).toMatchObject({ rows: 2, run: 1, expired: 1 });
    const late = (await letters(rig, 'dead')).find(({ endpoint }) => endpoint === 'POST /messages');
    expect((await rig.api(`POST /api/dead-letters/${late.id}/redrive`, {})).status).toBe(409);
    expect((await rig.redrive(order)).results.expired).toBe(1);
    expect(rig.simulator.requests().map(({ method }) => method)).toEqual(['PUT']);
    await rig.redrive({ filter: { id: late.id }, credential: 'good', force: true });
    expect(rig.simulator.requests().map(({ method }) => method)).toEqual(['PUT', 'POST']);
  });

  test('a row that a success may have made needless is passed by', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    await rig.send(`POST /contacts/${id}/notes`, note);
    rig.simulator.clearFaults();
    expect((await rig.send(`POST /contacts/${id}/notes`, note)).status).toBe(200);
    await waitFor(async () => typeof (await letters(rig, 'dead'))[0]?.maybe_superseded_by === 'string');
    const done = await rig.redrive({ filter: { state: 'open' } });
    expect(done.results).toMatchObject({ superseded: 1, succeeded: 0 });
    expect(rig.simulator.effects().filter(({ operation }) => operation.endsWith('/notes'))).toHaveLength(1);
  });

  test('an open breaker costs a row nothing: the redrive waits for it, and says so', async () => {
    const rig = await startRig({ rules: [DOWN] });
    for (let n = 0; n < 3; n += 1) await rig.send(`PUT /contacts/c${n}`, { name: 'x' });
    rig.simulator.clearFaults();
    await rig.api('POST /api/breakers/PUT%20%2Fcontacts%2F%7Bcontact_id%7D/open');
    const { redrive } = (await rig.api('POST /api/redrives', { filter: { state: 'open' } })).json;
    await waitFor(async () => (await rig.api(`GET /api/redrives/${redrive.id}`)).json.why === 'waits: breaker_open');
    expect((await rig.until(redrive.id, ['running'])).pending).toBe(3);
    expect(await letters(rig, 'dead')).toHaveLength(3);
  });

  test('a 429 costs a row nothing: it goes again when the quota is back', async () => {
    const rig = await startRig({ rules: [DOWN] });
    for (let n = 0; n < 3; n += 1)
      await rig.send('POST /contacts', { external_id: `l${n}`, email: `l${n}@example.com` });
    rig.simulator.clearFaults();
    rig.simulator.fault({ times: 1, fault: { kind: 'status', status: 429, retry_after: '1s', effect: 'none' } });
    const done = await rig.redrive({ filter: { state: 'open' } });
    expect(done.results).toMatchObject({ succeeded: 3, dead: 0 });
    expect(rig.simulator.requests().map(({ status }) => status)).toEqual([503, 503, 503, 429, 200, 200, 200]);
  });
});

describe('§9: a redrive and what came after the row', () => {
  test('of two lost writes to one object the newer one stands in the end', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    for (const name of ['first', 'second', 'third']) await rig.send(`PUT /contacts/${id}`, { name });
    rig.simulator.clearFaults();
    const done = await rig.redrive({ filter: { state: 'open' } });
    expect(done).toMatchObject({ pending: 0, results: { dead: 0, unknown: 0 } });
    expect((await rig.send(`GET /contacts/${id}`)).json.name).toBe('third');
  });

  test('a live write that goes before the row, while there is no slot for both, stands in the end', async () => {
    const rig = await startRig({ quota: { limit: 6 } });
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    await rig.send(`PUT /contacts/${id}`, { name: 'old' });
    rig.simulator.clearFaults();
    for (let n = 0; n < 4; n += 1) await rig.send('GET /me');
    const { redrive } = (await rig.api('POST /api/redrives', { filter: { state: 'open' }, canary: 0 })).json;
    await waitFor(async () => (await rig.api(`GET /api/redrives/${redrive.id}`)).json.why === 'waits: quota');
    expect((await rig.send(`PUT /contacts/${id}`, { name: 'new' })).status).toBe(200);
    expect((await rig.until(redrive.id, ['done'])).results).toMatchObject({ superseded: 1 });
    expect((await rig.send(`GET /contacts/${id}`)).json.name).toBe('new');
  }, 60_000);

  test('the newer of two refused writes stands in the end, an equal one counted in', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    const breaker = 'POST /api/breakers/PUT%20%2Fcontacts%2F%7Bcontact_id%7D';
    await rig.api(`${breaker}/open`);
    for (const name of ['on', 'off', 'on']) await rig.send(`PUT /contacts/${id}`, { name });
    expect((await letters(rig, 'dead')).map(({ count }) => count)).toEqual([1, 2]);
    await rig.api(`${breaker}/auto`);
    await rig.redrive({ filter: { state: 'open' }, canary: 0 });
    expect((await rig.send(`GET /contacts/${id}`)).json.name).toBe('on');
  });

  test('the key of a row that came home answers its caller with what the redrive made', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    expect((await keyed(rig, `/contacts/${id}/notes`, note)).status).toBe(503);
    rig.simulator.clearFaults();
    expect((await rig.redrive({ filter: { state: 'open' } })).results).toMatchObject({ succeeded: 1 });
    const again = await keyed(rig, `/contacts/${id}/notes`, note);
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    expect(notesIn(rig)).toHaveLength(1);
  });

  test('a row that is on the wire is nobody else’s: its caller is told that it runs', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    await keyed(rig, `/contacts/${id}/notes`, note);
    rig.simulator.clearFaults();
    rig.simulator.fault({ fault: { kind: 'delay', by: '1s' } });
    const { json } = await rig.api('POST /api/redrives', { filter: { state: 'open' } });
    await waitFor(async () => rig.simulator.requests().length === 3);
    expect((await letters(rig, 'all'))[0]).toMatchObject({ state: 'redriving' });
    expect((await keyed(rig, `/contacts/${id}/notes`, note)).status).toBe(409);
    await rig.until(json.redrive.id, ['done']);
    expect((await keyed(rig, `/contacts/${id}/notes`, note)).headers.get('idempotent-replayed')).toBe('true');
    expect(notesIn(rig)).toHaveLength(1);
  });

  test('a row that fails again lets its key go', async () => {
    const rig = await startRig();
    const id = await contactOf(rig);
    rig.simulator.fault(DOWN);
    await keyed(rig, `/contacts/${id}/notes`, note);
    await rig.redrive({ filter: { state: 'open' }, canary: 0 });
    rig.simulator.clearFaults();
    expect((await keyed(rig, `/contacts/${id}/notes`, { body: 'another one' })).status).toBe(200);
    expect((await letters(rig, 'all'))[0]).toMatchObject({ state: 'superseded' });
  });
});

async function keyed(rig: Rig, target: string, body: unknown): Promise<Response> {
  const response = await fetch(rig.holdfast.url + target, {
    method: 'POST',
    headers: { authorization: 'Bearer good', 'content-type': 'application/json', 'idempotency-key': 'k1' },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response;
}

function notesIn(rig: Rig): unknown[] {
  return rig.simulator.effects().filter(({ operation }) => operation.endsWith('/notes'));
}

let imported = 0;

/** A line of an export. */
function exported(endpoint: string, target: string, body: unknown): Json {
  const nowIso = new Date().toISOString();
  return {
    id: `imported-${++imported}`,
    state: 'dead',
    reason: 'exhausted',
    cause: null,
    cause_label: null,
    count: 1,
    endpoint,
    class: 'create',
    verdict: 'status_503',
    effect: 'none',
    context: null,
    first_at: nowIso,
    sent_at: null,
    dead_at: nowIso,
    parent: null,
    maybe_superseded_by: null,
    request: {
      method: endpoint.split(' ')[0],
      target,
      headers: [['Content-Type', 'application/json']],
      body: { kind: 'json', text: JSON.stringify(body) },
    },
    attempts: [],
  };
}

async function take(rig: Rig, letter: Json): Promise<void> {
  const { json } = await rig.api('POST /api/dead-letters/import', { dead_letters: [letter] });
  expect(json.results).toEqual([{ result: 'imported' }]);
}

async function waitFor(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 2000; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('never');
}
