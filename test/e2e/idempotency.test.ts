import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function start(yaml = 'version: 1\n', data = dataFolder()): Promise<void> {
  simulator = await startSimulator({ port: 0 });
  holdfast = await startTestInstance(simulator.url, yaml, data);
}

interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function post(
  path: string,
  body: unknown,
  fields: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Got> {
  const response = await fetch(holdfast.url + path, {
    method: 'POST',
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json', ...fields },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const lead = { role: 'lead', email: 'a@example.com' };
const codeOf = ({ text }: Got): string => (JSON.parse(text) as { errors: { code: string }[] }).errors[0]?.code ?? '';

test('§6: 100 concurrent equal calls with one key are one upstream call and 100 equal answers', async () => {
  await start();
  const all = await Promise.all(Array.from({ length: 100 }, () => post('/contacts', lead, { 'Idempotency-Key': 'k' })));
  expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  expect(all[0]?.status).toBe(200);
  expect(simulator.requests()).toHaveLength(1);
  expect(simulator.effects()).toHaveLength(1);
});

test('§6: a replay is verbatim, says so, and carries no rate-limit fields; the key never reaches the upstream', async () => {
  await start();
  const first = await post('/contacts', lead, { 'Idempotency-Key': '"k"' });
  const again = await post('/contacts', lead, { 'Idempotency-Key': 'k' });
  expect([again.status, again.text]).toEqual([first.status, first.text]);
  expect(first.headers.get('idempotent-replayed')).toBeNull();
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect(again.headers.get('holdfast')).toMatch(
    /^from=replay, attempts=0, verdict=ok, effect=applied, operation="[^"]+"$/,
  );
  expect(first.headers.get('x-ratelimit-limit')).not.toBeNull();
  expect([...again.headers.keys()].filter((name) => name.includes('ratelimit'))).toEqual([]);
  expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
});

test('§6: two credentials with one key are two calls; another body under the key is 422 and nothing is sent', async () => {
  await start();
  await post('/contacts', lead, { 'Idempotency-Key': 'k' });
  await post('/contacts', lead, { 'Idempotency-Key': 'k', Authorization: 'Bearer other' });
  expect(simulator.effects()).toHaveLength(2);
  const reused = await post('/contacts', { ...lead, name: 'B' }, { 'Idempotency-Key': 'k' });
  expect([reused.status, codeOf(reused)]).toEqual([422, 'holdfast_key_reused']);
  expect(simulator.requests()).toHaveLength(2);
});

describe('§6: keys', () => {
  test.each([
    ['of 1 character', ['a'], true],
    ['of 255 characters', ['a'.repeat(255)], true],
    ['quoted, with spaces and escapes', ['"a \\" b"'], true],
    ['of 0 characters', [''], false],
    ['of 0 characters, quoted', ['""'], false],
    ['of 256 characters', ['a'.repeat(256)], false],
    ['with a tab', ['a\tb'], false],
    ['with a byte above ASCII', ['a\u00e9'], false],
    ['twice', ['a', 'b'], false],
    ['as a list', ['"a", "b"'], false],
    ['with a parameter', ['"a";v=1'], false],
    ['that does not end', ['"a'], false],
  ])('%s', async (_, keys, accepted) => {
    await start();
    const status = await new Promise<number>((resolve, reject) => {
      const call = request(
        `${holdfast.url}/contacts`,
        {
          method: 'POST',
          headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json', 'Idempotency-Key': keys },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        },
      );
      call.on('error', reject);
      call.end(JSON.stringify(lead));
    });
    expect(status).toBe(accepted ? 200 : 400);
    expect(simulator.requests()).toHaveLength(accepted ? 1 : 0);
  });
});

const admin = (path: string): Promise<Response> => fetch(holdfast.adminUrl + path);

test('§6: without a ledger keyed calls get 503 before anything is sent, everything else is served', async () => {
  const data = dataFolder();
  writeFileSync(join(data, 'holdfast.db'), 'this is no database');
  await start('version: 1\n', data);
  const refused = await post('/contacts', lead, { 'Idempotency-Key': 'k' });
  expect([refused.status, codeOf(refused), refused.headers.get('retry-after')]).toEqual([
    503,
    'holdfast_store_unavailable',
    '1',
  ]);
  const handedOver = await post('/contacts', lead, { Prefer: 'respond-async' });
  expect([handedOver.status, codeOf(handedOver)]).toEqual([503, 'holdfast_store_unavailable']);
  expect(simulator.requests()).toHaveLength(0);
  expect((await post('/contacts', lead)).status).toBe(200);

  const ready = await admin('/readyz');
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ ready: false, reasons: [expect.stringContaining('holdfast.db') as string] });
  expect((await admin('/healthz')).status).toBe(200);
  expect(await (await admin('/metrics')).text()).toMatch(/^holdfast_store_healthy 0$/m);
  expect(await (await admin('/api/status')).json()).toMatchObject({ ready: false, queue: null, dead_letters: null });
});

test('§6: a client that gave up and sends again gets the answer of its first call: one effect', async () => {
  await start();
  simulator.fault({ match: 'POST /contacts/{id}/notes', times: 1, fault: { kind: 'delay', by: '1s' } });
  const { id } = JSON.parse((await post('/contacts', lead)).text) as { id: string };
  const note = { body: 'called back' };
  await expect(post(`/contacts/${id}/notes`, note, {}, AbortSignal.timeout(300))).rejects.toThrow();
  const again = await post(`/contacts/${id}/notes`, note);
  expect(again.status).toBe(200);
  expect(JSON.parse(again.text)).toMatchObject({ type: 'note' });
  expect(simulator.effects().filter(({ operation }) => operation.endsWith('/notes'))).toHaveLength(1);
});

test('§6: with derive, a pipeline that is killed at 40 % and run again from the top repeats nothing', async () => {
  await start('version: 1\nendpoints: [{ match: POST /contacts, idempotency: { derive: [email] } }]\n');
  const leads = Array.from({ length: 100 }, (_, i) => ({ role: 'lead', email: `lead${i}@example.com` }));
  const killed = new AbortController();
  let done = 0;
  const pipeline = (signal?: AbortSignal): Promise<Got | null>[] =>
    leads.map(async (each) => {
      const got = await post('/contacts', each, {}, signal).catch(() => null);
      if (++done === 40) killed.abort();
      return got;
    });
  await Promise.all(pipeline(killed.signal));
  const second = await Promise.all(pipeline());
  expect(second.filter((got) => got?.status === 200)).toHaveLength(leads.length);
  expect(simulator.effects()).toHaveLength(leads.length);
});
