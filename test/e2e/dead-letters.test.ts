/** Dead letters over real sockets: what is kept, what is shown of it, and what is not. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { RuleInput, ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

const QUICK = `version: 1
defaults:
  retry: { max_retries: 1, base_delay: 5ms, max_delay: 10ms, jitter: none }
  breaker: { min_requests: 1000, last: 1000 }
`;

const UNDETECTABLE = `${QUICK}endpoints:
  - { match: POST /tags, class: create, replace: true, answer: json }
`;

let simulator: Simulator;
let holdfast: TestInstance;
const folder = (): string => dataFolder();

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function rig(scenario: ScenarioInput = {}, yaml = QUICK, data = folder()) {
  simulator = await startSimulator({ port: 0, scenario });
  holdfast = await startTestInstance(simulator.url, yaml, data);
  return { data };
}

/** What the tests look at, of whatever answer has it. */
interface Shown {
  readonly dead_letters: readonly { readonly id: string }[];
  readonly groups: readonly { readonly cause: string }[];
  readonly next: string | null;
  readonly state: string;
  readonly effect: string;
  readonly attempts: readonly unknown[];
  readonly request: { readonly headers: readonly [string, string][]; readonly body: { readonly json: unknown } };
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>;
}

interface Got {
  readonly status: number;
  readonly json: Shown;
  readonly text: string;
  readonly deadLetter: string | null;
  readonly headers: Headers;
}

async function call(base: string, line: string, body?: unknown, headers: Record<string, string> = {}): Promise<Got> {
  const [method = '', target = ''] = line.split(' ');
  const response = await fetch(base + target, {
    method,
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const member = /dead-letter="([^"]+)"/.exec(response.headers.get('holdfast') ?? '');
  let json = null as unknown as Shown;
  try {
    json = JSON.parse(text) as Shown;
  } catch {}
  return { status: response.status, json, text, deadLetter: member?.[1] ?? null, headers: response.headers };
}

const send = (line: string, body?: unknown, headers: Record<string, string> = {}) =>
  call(holdfast.url, line, body, headers);
/** The admin plane wants no token on loopback, and gets none. */
const admin = (line: string, body?: unknown) => call(holdfast.adminUrl, line, body, { Authorization: '' });

const fails = (status: number, times: number): RuleInput => ({
  match: 'POST /contacts',
  times,
  fault: { kind: 'status', status },
});

describe('dead letters', () => {
  it('§9: a write that is refused for good is kept with its history, and the answer names it', async () => {
    await rig();
    const got = await send('POST /tags', { bad: 1 }, { 'Holdfast-Context': 'workflow="enrich"' });
    expect(got.status).toBeGreaterThanOrEqual(400);
    expect(got.deadLetter).not.toBeNull();
    const list = await admin('GET /api/dead-letters');
    expect(list.json.dead_letters).toHaveLength(1);
    expect(list.json.dead_letters[0]).toMatchObject({
      id: got.deadLetter,
      state: 'dead',
      reason: 'permanent',
      endpoint: 'POST /tags',
      context: { workflow: 'enrich' },
      attempts: 1,
    });
    const one = await admin(`GET /api/dead-letters/${got.deadLetter}`);
    expect(one.json.request.body).toMatchObject({ kind: 'json', json: { bad: 1 } });
    expect(one.json.attempts).toHaveLength(1);
    expect(one.text).not.toContain('Bearer');
    const metrics = await admin('GET /metrics');
    expect(metrics.text).toContain('holdfast_dead_letters{state="dead"} 1');
    expect(metrics.text).toContain('holdfast_dead_letters_total{endpoint="POST /tags",cause="permanent"} 1');
  });

  it('outlives the process', async () => {
    const { data } = await rig();
    const got = await send('POST /tags', { bad: 1 });
    await holdfast.stop();
    holdfast = await startTestInstance(simulator.url, QUICK, data);
    expect((await admin(`GET /api/dead-letters/${got.deadLetter}`)).json).toMatchObject({ state: 'dead' });
  });

  it('says 404 for what is not there, 400 for what is no filter, and lists nothing where nothing fits', async () => {
    await rig();
    await send('POST /tags', { bad: 1 });
    expect((await admin('GET /api/dead-letters/nowhere')).status).toBe(404);
    expect((await admin('POST /api/dead-letters/nowhere/discard')).status).toBe(404);
    expect((await admin('PATCH /api/dead-letters/nowhere', { body: {} })).status).toBe(404);
    expect((await admin('GET /api/operations/nowhere')).status).toBe(404);
    for (const query of ['cursor=x', 'limit=0', 'since=soon', 'state=odd', 'context=x', 'other=1']) {
      expect((await admin(`GET /api/dead-letters?${query}`)).status, query).toBe(400);
    }
    expect((await admin('GET /api/dead-letters?cause=refused')).json).toEqual({ dead_letters: [], next: null });
    expect((await admin('GET /api/dead-letters/groups?since=0s')).json).toEqual({ groups: [] });
    expect((await admin('PATCH /api/dead-letters/x', '{"body":')).status).toBe(400);
  });

  it('§9: equal causes are one group with a count', async () => {
    await rig();
    for (let i = 0; i < 3; i++) await send('POST /tags', { bad: i });
    const { groups } = (await admin('GET /api/dead-letters/groups')).json;
    expect(groups).toHaveLength(1);
    expect(groups[0]).toMatchObject({ endpoint: 'POST /tags', reason: 'permanent', rows: 3, calls: 3 });
    const listed = await admin(`GET /api/dead-letters?cause=${groups[0]?.cause}&limit=2`);
    expect(listed.json.dead_letters).toHaveLength(2);
    const rest = await admin(`GET /api/dead-letters?cause=${groups[0]?.cause}&limit=2&cursor=${listed.json.next}`);
    expect(rest.json.dead_letters).toHaveLength(1);
    await admin('GET /metrics');
    expect((await admin('GET /api/status')).json).toMatchObject({
      dead_letters: { dead: expect.any(Number) as number },
    });
  });

  it('§9: an edit makes a child and leaves the original; what breaks JSON changes nothing', async () => {
    await rig();
    const { deadLetter } = await send('POST /tags', { bad: 1 });
    const broken = await admin(`PATCH /api/dead-letters/${deadLetter}`, { body: '{"name":' });
    expect(broken.status).toBe(422);
    expect((await admin(`PATCH /api/dead-letters/${deadLetter}`, { headers: { authorization: 'x' } })).status).toBe(
      422,
    );
    const child = await admin(`PATCH /api/dead-letters/${deadLetter}`, { body: { name: 'good' } });
    expect(child.status).toBe(201);
    expect(child.json).toMatchObject({
      parent: deadLetter,
      state: 'dead',
      request: { body: { json: { name: 'good' } } },
    });
    expect(child.json.request.headers).toContainEqual(['Content-Length', '15']);
    expect((await admin(`GET /api/dead-letters/${deadLetter}`)).json.request.body.json).toEqual({ bad: 1 });
    expect((await admin('GET /api/dead-letters')).json.dead_letters).toHaveLength(2);
  });

  it('§9: discard is a state; purge takes a person away', async () => {
    await rig();
    const first = await send('POST /tags', { bad: 'jane@example.com' });
    await send('POST /tags', { bad: 'other' });
    expect((await admin(`POST /api/dead-letters/${first.deadLetter}/discard`)).json).toMatchObject({
      state: 'discarded',
    });
    expect((await admin(`POST /api/dead-letters/${first.deadLetter}/discard`)).status).toBe(200);
    expect((await admin('GET /api/dead-letters')).json.dead_letters).toHaveLength(1);
    expect((await admin('GET /api/dead-letters?state=all')).json.dead_letters).toHaveLength(2);
    expect((await admin('POST /api/dead-letters/purge', { filter: {} })).status).toBe(400);
    const filter = { match: 'JANE@example' };
    expect((await admin('POST /api/dead-letters/purge', { filter, dry_run: true })).json).toMatchObject({ purged: 1 });
    expect((await admin('POST /api/dead-letters/purge', { filter })).json).toEqual({ purged: 1, dry_run: false });
    expect((await admin(`GET /api/dead-letters/${first.deadLetter}`)).status).toBe(404);
  });

  it('§9: a success with the natural key supersedes the dead letter', async () => {
    await rig({ rules: [fails(503, 2)] });
    const lead = { external_id: 'e1', email: 'a@example.com' };
    const dead = await send('POST /contacts', lead);
    expect(dead.status).toBe(503);
    const again = await send('POST /contacts', { ...lead, name: 'Jane' });
    expect(again.status).toBe(200);
    await expect
      .poll(async () => (await admin(`GET /api/dead-letters/${dead.deadLetter}`)).json.state, { timeout: 10_000 })
      .toBe('superseded');
  });

  it('§9: the same key that succeeds later supersedes its dead letter', async () => {
    await rig({ rules: [fails(503, 2)] });
    const lead = { email: 'lead@example.com', role: 'lead' };
    const dead = await send('POST /contacts', lead, { 'Idempotency-Key': 'k1' });
    expect(dead).toMatchObject({ status: 503, deadLetter: expect.any(String) as string });
    const again = await send('POST /contacts', { ...lead, name: 'Jane' }, { 'Idempotency-Key': 'k1' });
    expect(again.status).toBe(200);
    await expect
      .poll(async () => (await admin(`GET /api/dead-letters/${dead.deadLetter}`)).json.state, { timeout: 10_000 })
      .toBe('superseded');
  });

  it('§5, §9: what an open breaker refuses is kept, equal ones in one row with a count', async () => {
    await rig();
    await admin('POST /api/breakers/POST%20%2Ftags/open');
    const ids = new Set<string | null>();
    for (let i = 0; i < 3; i++) ids.add((await send('POST /tags', { name: 'x' })).deadLetter);
    await send('POST /tags', { name: 'y' });
    expect(ids.size).toBe(1);
    const { groups } = (await admin('GET /api/dead-letters/groups?cause=refused')).json;
    expect(groups).toMatchObject([{ rows: 2, calls: 4, endpoint: 'POST /tags' }]);
    const [id] = ids;
    expect((await admin(`GET /api/dead-letters/${id}`)).json).toMatchObject({ count: 3, effect: 'none', attempts: [] });
    expect(simulator.requests()).toHaveLength(0);
  });

  it('§9: a create that nobody can look for is a dead letter in doubt, in state unknown', async () => {
    await rig({ rules: [{ match: 'POST /tags', fault: { kind: 'reset', effect: 'applied' } }] }, UNDETECTABLE);
    const got = await send('POST /tags', { name: 'x' });
    expect(got.status).toBe(504);
    expect(got.deadLetter).not.toBeNull();
    const shown = (await admin(`GET /api/dead-letters/${got.deadLetter}`)).json;
    expect(shown).toMatchObject({ state: 'unknown', reason: 'unknown', class: 'create' });
    expect(shown.effect).not.toBe('none');
  });

  it('describes every call of its API', async () => {
    await rig();
    const { json } = await admin('GET /api/openapi.json');
    expect(json.openapi).toBe('3.1.0');
    expect(Object.keys(json.paths)).toEqual(
      expect.arrayContaining(['/api/status', '/api/dead-letters', '/api/dead-letters/{id}', '/api/openapi.json']),
    );
    expect(Object.keys(json.paths['/api/redrives']?.['post']?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '202']),
    );
    for (const [name, methods] of Object.entries(json.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        expect(operation.responses, `${method} ${name}`).toHaveProperty('401');
      }
    }
  });

  it('keeps no token, key or cookie in clear: not on the disk, in the log, or in the API', async () => {
    const { data } = await rig({ rules: [fails(500, 4)] });
    const secrets = {
      Authorization: 'Bearer planted-token-1f9c',
      'Idempotency-Key': 'planted-key-77aa',
      Cookie: 'sid=planted-cookie-3d21',
      'X-Api-Key': 'planted-api-key-9e4b',
      'Proxy-Authorization': 'Basic planted-proxy-5c0d',
      'Holdfast-Authorization': 'Bearer planted-client-8b13',
    };
    const lines: [string, unknown][] = [
      ['POST /contacts', { external_id: 'p', email: 'planted-body@example.com' }],
      ['POST /contacts', { email: 'planted-body@example.com', role: 'lead' }],
      ['POST /tags', { bad: 'planted-body@example.com' }],
      ['PUT /contacts/none', { name: 'planted-body@example.com' }],
      ['DELETE /contacts/none', undefined],
      ['GET /contacts/none', undefined],
    ];
    const ids: string[] = [];
    for (const [n, [line, body]] of lines.entries()) {
      const headers = { ...secrets, 'Idempotency-Key': `${secrets['Idempotency-Key']}-${n}` };
      for (const given of [headers, { ...headers, 'Idempotency-Key': '' }]) {
        const fields = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
        const { deadLetter } = await send(line, body, fields);
        if (deadLetter !== null) ids.push(deadLetter);
      }
    }
    expect(ids.length).toBeGreaterThan(0);
    const shown = [
      await admin('GET /api/dead-letters?state=all'),
      await admin('GET /api/dead-letters/groups'),
      await admin('GET /api/status'),
      await admin('GET /api/config'),
      await admin('GET /metrics'),
    ];
    for (const id of ids)
      shown.push(await admin(`GET /api/dead-letters/${id}`), await admin(`GET /api/operations/${id}`));
    await holdfast.stop();
    const texts = {
      api: shown.map(({ text }) => text).join('\n'),
      log: JSON.stringify(holdfast.log),
      disk: readdirSync(data)
        .map((file) => readFileSync(path.join(data, file)).toString('latin1'))
        .join('\n'),
    };
    for (const [place, text] of Object.entries(texts)) {
      expect(text, place).not.toMatch(/planted-(?:token|key|cookie|api|proxy|client)/);
    }
    expect(texts.log).not.toContain('planted-body');
    expect(texts.disk).not.toContain('planted-body');
    expect(texts.api).toContain('planted-body');
  }, 60_000);
});
