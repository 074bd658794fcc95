/** What survives a `kill -9`: the gates that were shut, and the knowledge of what was on the wire. */

import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import type { RuleInput, ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { eventually } from '../faults/live.ts';
import { ask } from '../simulator/support.ts';
import { folderOf, type Served, serving } from './child.ts';

let simulator: Simulator;

afterEach(() => simulator.close());

interface Got {
  readonly status: number;
  readonly code: string | null;
  readonly id: string | null;
  readonly headers: Headers;
}

/** A simulator, and one data folder for every process that is started on it. */
async function rig(scenario: ScenarioInput = {}, yaml = 'version: 1\n') {
  simulator = await startSimulator({ port: 0, scenario });
  const folder = folderOf({ 'holdfast.yaml': yaml });
  const start = (by: readonly string[] = []): Promise<Served> =>
    serving(simulator.url, ['--config', `${folder}/holdfast.yaml`], { HOLDFAST_DATA: `${folder}/data` }, by);
  return { start };
}

async function send(served: Served, line: string, body?: unknown, headers: Record<string, string> = {}): Promise<Got> {
  const [method = '', target = ''] = line.split(' ');
  const response = await fetch(served.url + target, {
    method,
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const json = (await response.json().catch(() => null)) as { id?: string; errors?: { code: string }[] } | null;
  return {
    status: response.status,
    code: json?.errors?.[0]?.code ?? null,
    id: json?.id ?? null,
    headers: response.headers,
  };
}

async function kill({ child }: Served): Promise<void> {
  child.signal('SIGKILL');
  await child.exit();
}

/** Another token's write: what was kept before it is durable when it is answered. */
async function commit(served: Served): Promise<void> {
  const got = await send(served, 'POST /contacts', { external_id: 'commit' }, { Authorization: 'Bearer other' });
  expect(got.status).toBe(200);
}

const asked = (line: string): number =>
  simulator.requests().filter(({ method, target }) => `${method} ${target}` === line).length;

interface Status {
  readonly waiting: number;
  readonly breakers: Record<string, { state: string }>;
}

async function statusOf({ adminUrl }: Served): Promise<Status> {
  return (await (await fetch(`${adminUrl}/api/status`)).json()) as Status;
}

describe('a restart does not open a gate', () => {
  const impatient = { 'Holdfast-Timeout': '3s' };

  it('§4: a token that was paused stays paused', async () => {
    const fault = { kind: 'status', status: 429, retry_after: '60s' } as const;
    const r = await rig({ rules: [{ match: 'GET /contacts', times: 1, fault }] });
    const first = await r.start();
    expect((await send(first, 'GET /contacts', undefined, impatient)).status).toBe(429);
    await commit(first);
    await kill(first);
    const again = await r.start();
    const got = await send(again, 'GET /tags', undefined, impatient);
    expect(got).toMatchObject({ status: 429, code: 'holdfast_quota_wait' });
    expect(Number(got.headers.get('retry-after'))).toBeGreaterThan(3);
    expect(Number(got.headers.get('retry-after'))).toBeLessThanOrEqual(61);
    expect(asked('GET /tags')).toBe(0);
    expect((await send(again, 'GET /tags', undefined, { Authorization: 'Bearer other' })).status).toBe(200);
  });

  it('§5: an open breaker stays open, and what a hand has ordered stands', async () => {
    const r = await rig(
      { rules: [{ match: 'GET /contacts', fault: { kind: 'status', status: 500 } }] },
      'version: 1\ndefaults: { retry: { max_retries: 0 }, breaker: { open_for: 10m, max_open_for: 10m } }\n',
    );
    const first = await r.start();
    for (let i = 0; i < 10; i++) expect((await send(first, 'GET /contacts')).status).toBe(500);
    const held = await fetch(`${first.adminUrl}/api/breakers/${encodeURIComponent('GET /tags')}/open`, {
      method: 'POST',
    });
    expect(held.status).toBe(200);
    await commit(first);
    await kill(first);
    const again = await r.start();
    expect((await statusOf(again)).breakers).toMatchObject({
      'GET /contacts': { state: 'open' },
      'GET /tags': { state: 'held_open' },
    });
    expect(await send(again, 'GET /contacts')).toMatchObject({ status: 503, code: 'holdfast_breaker_open' });
    expect(await send(again, 'GET /tags')).toMatchObject({ status: 503, code: 'holdfast_breaker_open' });
    expect(asked('GET /contacts')).toBe(10);
    expect(asked('GET /tags')).toBe(0);
  });
});

const note = { body: 'Called, no answer', admin_id: '814860' };

/** A note that hung upstream when its process was killed, and the process after that. */
async function crashed(fault: RuleInput['fault'], headers: Record<string, string> = {}, by: readonly string[] = []) {
  const r = await rig();
  const { id } = (await ask(simulator.url, 'POST /contacts', { external_id: 'lead' })).json;
  const line = `POST /contacts/${id}/notes`;
  simulator.fault({ match: 'POST /contacts/{contact_id}/notes', times: 1, fault });
  const first = await r.start();
  const lost = send(first, line, note, headers).catch(() => null);
  await eventually('it is on the wire', () => asked(line) === 1);
  await kill(first);
  expect(await lost).toBeNull();
  const notes = (): number => simulator.effects().filter(({ operation }) => operation.endsWith('/notes')).length;
  return { again: await r.start(by), line, notes, start: r.start };
}

describe('a note that is on the wire when the process is killed', () => {
  it('and took effect: it is found, never sent twice, and the caller that comes again gets it', async () => {
    const { again, line, notes } = await crashed({ kind: 'hang', effect: 'applied' });
    expect(await again.child.logged('recovered')).toMatchObject({ unknown: 1, dead: 0, released: 0 });
    expect(await again.child.logged('reconciled')).toMatchObject({ result: 'landed' });
    const got = await send(again, line, note);
    expect(got).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
    // Once for the caller that the crash left; the next one means another note.
    expect((await send(again, line, note)).id).not.toBe(got.id);
    expect(notes()).toBe(2);
  });

  it('and took effect: a caller that comes again at once joins the search', async () => {
    const { again, line, notes } = await crashed({ kind: 'hang', effect: 'applied' });
    expect(await send(again, line, note)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
  });

  it('and took effect, and the disk fails at the restart: it is found as soon as the disk works', async () => {
    // A soft limit on the size of files is what every user can make and take away: SQLite sees a write that fails.
    const full = ['prlimit', '--fsize=1000:unlimited'];
    const { again, line, notes } = await crashed({ kind: 'hang', effect: 'applied' }, {}, full);
    expect(await again.child.logged('recovery_failed')).toMatchObject({
      fault: expect.stringMatching('disk .+ fails'),
    });
    execFileSync('prlimit', [`--pid=${again.child.process.pid}`, '--fsize=unlimited:unlimited']);
    expect(await again.child.logged('recovered')).toMatchObject({ unknown: 1, dead: 0, released: 0 });
    expect(await again.child.logged('reconciled')).toMatchObject({ result: 'landed' });
    expect(await send(again, line, note)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
  });

  it('under a key: the same key gives the note', async () => {
    const key = { 'Idempotency-Key': 'note-1' };
    const { again, line, notes } = await crashed({ kind: 'hang', effect: 'applied' }, key);
    expect(await send(again, line, note, key)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(await send(again, line, note, key)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
  });
});

describe('other creates that are cut short by a crash', () => {
  const KEY = { 'Idempotency-Key': 'k' };

  it('an effect that lands after the restart is found: looks are timed from there', { timeout: 60_000 }, async () => {
    const { again, line, notes } = await crashed({ kind: 'hang', effect: 'late', late_by: '6s' });
    expect(await again.child.logged('reconciled')).toMatchObject({ result: 'landed' });
    expect(await send(again, line, note)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
  });

  it('and came to nothing: looks show that, across one more crash, and it is sent once more', {
    timeout: 60_000,
  }, async () => {
    const { again, line, notes, start } = await crashed({ kind: 'hang', effect: 'none' });
    await again.child.logged('recovered');
    await kill(again);
    const third = await start();
    expect(await third.child.logged('recovered')).toMatchObject({ unknown: 1 });
    expect(await third.child.logged('reconciled')).toMatchObject({ result: 'absent' });
    await eventually('it is sent again', () => notes() === 1);
    expect(await send(third, line, note)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(2);
    expect(notes()).toBe(1);
  });

  it('guarded by the upstream: it is sent again, and its own 409 is its success', async () => {
    const r = await rig();
    simulator.fault({ match: 'POST /contacts', times: 1, fault: { kind: 'hang', effect: 'applied' } });
    const first = await r.start();
    const contact = { external_id: 'lead-1', role: 'user' };
    const lost = send(first, 'POST /contacts', contact).catch(() => null);
    await eventually('it is on the wire', () => asked('POST /contacts') === 1);
    await kill(first);
    await lost;
    const again = await r.start();
    expect(await again.child.logged('reconciled')).toMatchObject({ result: 'landed' });
    const got = await send(again, 'POST /contacts', contact);
    expect(got).toMatchObject({ status: 200, id: simulator.effects()[0]?.id });
    expect(simulator.effects()).toHaveLength(1);
  });

  it('one that waited for its turn when the process died was not sent: its key is free', async () => {
    const fault = { kind: 'status', status: 429, retry_after: '30s' } as const;
    const r = await rig({ rules: [{ match: 'GET /contacts', times: 1, fault }] });
    const first = await r.start();
    await send(first, 'GET /contacts', undefined, { 'Holdfast-Timeout': '2s' });
    const lost = send(first, 'POST /contacts', { external_id: 'x' }, KEY).catch(() => null);
    await eventually('it waits', async () => (await statusOf(first)).waiting === 1);
    await commit(first);
    await kill(first);
    await lost;
    const again = await r.start();
    expect(await again.child.logged('recovered')).toMatchObject({ released: 1, dead: 0, unknown: 0 });
    expect(asked('POST /contacts')).toBe(1);
  });

  it('a process that is told to stop while it looks stops, and the next one goes on', { timeout: 60_000 }, async () => {
    const { again, line, notes, start } = await crashed({ kind: 'hang', effect: 'late', late_by: '3s' });
    await eventually('it looks', () => simulator.requests().some(({ method }) => method === 'GET'));
    again.child.signal('SIGTERM');
    expect(await again.child.exit()).toBe(0);
    const third = await start();
    expect(await send(third, line, note)).toMatchObject({ status: 200, id: simulator.effects().at(-1)?.id });
    expect(asked(line)).toBe(1);
    expect(notes()).toBe(1);
  });
});

describe('an update that is on the wire when the process is killed', () => {
  it('is not repeated by itself; its key is free, and the caller that comes again runs it', async () => {
    const r = await rig();
    const { id } = (await ask(simulator.url, 'POST /contacts', { external_id: 'lead' })).json;
    simulator.fault({ match: 'PUT /contacts/{contact_id}', times: 1, fault: { kind: 'hang', effect: 'none' } });
    const first = await r.start();
    const key = { 'Idempotency-Key': 'update-1' };
    const line = `PUT /contacts/${id}`;
    const lost = send(first, line, { name: 'A' }, key).catch(() => null);
    await eventually('it is on the wire', () => asked(line) === 1);
    await kill(first);
    await lost;
    const again = await r.start();
    expect(await again.child.logged('recovered')).toMatchObject({ unknown: 0, dead: 1, released: 0 });
    expect(asked(line)).toBe(1);
    expect((await send(again, line, { name: 'A' }, key)).status).toBe(200);
    expect(asked(line)).toBe(2);
  });
});
