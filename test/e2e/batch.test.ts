import { afterEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { batch } from '../edge/batch-client.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function open(): Promise<number> {
  simulator = await startSimulator({ port: 0, scenario: { quota: { limit: 100_000 } } });
  holdfast = await startTestInstance(simulator.url, 'version: 1\ndefaults: { retry: { base_delay: 1ms } }\n');
  return Number(new URL(holdfast.url).port);
}

const lead = (i: number): unknown => ({
  id: `lead-${i}`,
  method: 'POST',
  path: '/contacts',
  body: { role: 'user', external_id: `u${i}` },
  key: `key-${i}`,
  context: { workflow: 'enrich' },
});

it('4,000 leads with bad lines, a conflict, a turned-away call and a lost answer: each has its own ending', async () => {
  const port = await open();
  simulator.fault({ match: 'POST /contacts', times: 2, fault: { kind: 'status', status: 503, retry_after: '1s' } });
  simulator.fault({ match: 'POST /contacts', times: 2, fault: { kind: 'reset', effect: 'applied' } });
  const records = Array.from({ length: 4000 }, (_, i) => lead(i));
  records[10] = 'no json';
  records[20] = { ...(lead(20) as object), path: 'https://elsewhere.example/contacts' };
  // Another record with the same natural key: the upstream refuses it.
  records[3999] = { ...(lead(3999) as object), body: { role: 'user', external_id: 'u0' } };
  const { lines, trailers } = await batch(port, records);
  expect(lines).toHaveLength(4000);
  expect(new Set(lines.map(({ line }) => line)).size).toBe(4000);
  const failed = lines.filter(({ status }) => status >= 400);
  expect(failed.map(({ line, status }) => [line, status]).toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
    [11, 400],
    [21, 400],
    [4000, 409],
  ]);
  expect(trailers['holdfast-batch']).toBe('records=4000, ok=3997, failed=3, complete');
  // No lead twice, whatever was lost or sent again.
  expect(simulator.effects()).toHaveLength(3997);
  expect(lines.filter(({ holdfast: facts }) => Number(facts['attempts']) > 1).length).toBeGreaterThanOrEqual(3);
}, 120_000);

it('the same batch once more repeats nothing: each record is replayed under its key', async () => {
  const port = await open();
  const records = Array.from({ length: 50 }, (_, i) => lead(i));
  const first = await batch(port, records);
  const again = await batch(port, records);
  expect(simulator.effects()).toHaveLength(50);
  expect(again.lines.map(({ holdfast: facts }) => facts['from'])).toEqual(Array(50).fill('replay'));
  const bodies = (answer: typeof first) => new Map(answer.lines.map(({ id, body }) => [id, JSON.stringify(body)]));
  expect(bodies(again)).toEqual(bodies(first));
});

it('§8, §9: records are handed over, kept as dead letters, or done, each for itself', async () => {
  const port = await open();
  const handed = { ...(lead(1) as object), headers: { Prefer: 'respond-async' } };
  simulator.fault({ match: 'POST /companies', fault: { kind: 'status', status: 422, code: 'parameter_invalid' } });
  const bad = { id: 'bad', method: 'POST', path: '/companies', body: { company_id: 'c', name: 7 } };
  const { lines } = await batch(port, [lead(0), handed, bad]);
  const by = new Map(lines.map((line) => [line.id, line]));
  expect(by.get('lead-0')?.status).toBe(200);
  const { status, headers, holdfast: accepted } = by.get('lead-1') as (typeof lines)[number];
  expect([status, headers['preference-applied']]).toEqual([202, 'respond-async']);
  const operation = new URL(headers['location'] as string, holdfast.url);
  const caller = { Authorization: 'Bearer t', Prefer: 'wait=20' };
  expect(await (await fetch(operation, { headers: caller })).json()).toMatchObject({ state: 'succeeded' });
  expect(operation.pathname).toContain(accepted['operation'] as string);
  const { holdfast: kept } = by.get('bad') as (typeof lines)[number];
  const row = await fetch(`${holdfast.adminUrl}/api/dead-letters/${String(kept['dead_letter'])}`);
  expect(await row.json()).toMatchObject({ endpoint: 'POST /companies', reason: 'permanent' });
  expect(simulator.effects()).toHaveLength(2);
});
