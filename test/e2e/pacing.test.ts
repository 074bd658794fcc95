import { afterEach, expect, test } from 'vitest';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts';
import { eventually, lines } from '../faults/live.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function start(scenario: SimulatorOptions['scenario'], yaml = 'version: 1\n'): Promise<void> {
  simulator = await startSimulator({ port: 0, ...(scenario === undefined ? {} : { scenario }) });
  holdfast = await startTestInstance(simulator.url, yaml);
}

function get(token = 't', headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${holdfast.url}/contacts`, { headers: { Authorization: `Bearer ${token}`, ...headers } });
}

async function admin(path: string): Promise<Record<string, unknown>> {
  return (await fetch(`${holdfast.adminUrl}${path}`)).json() as Promise<Record<string, unknown>>;
}

const windowStart = async (): Promise<void> => {
  // A token's first answer names its window; begin right after the next reset.
  const reset = Number((await get()).headers.get('x-ratelimit-reset')) * 1000;
  await new Promise((resolve) => setTimeout(resolve, reset - Date.now() + 20));
};

test('§4: 60 calls over a quota of 20 per window: all succeed, no 429 reaches anybody, and waits are on record', async () => {
  await start({ quota: { limit: 20, window: '2s' } });
  await windowStart();
  const answers = await Promise.all(Array.from({ length: 60 }, () => get()));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 60 }, () => 200));
  expect(simulator.requests().filter(({ status }) => status === 429)).toHaveLength(0);
  expect(answers.filter(({ headers }) => headers.get('holdfast')?.includes('waited=')).length).toBeGreaterThan(30);
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toMatch(/^holdfast_pacing_wait_seconds_count\{priority="3"\} [34]\d$/m);
  expect(metrics).toMatch(/^holdfast_quota_limit\{token="\w+"\} 20$/m);
  expect(metrics).toMatch(/^holdfast_waiting 0$/m);
});

test('§4: a 429 pauses its token and no other, and status says for how long', async () => {
  await start({ rules: [{ nth: 2, fault: { kind: 'throttle', hint: 'seconds', wait: '2s' } }] });
  await get('a');
  const first = get('a');
  await eventually('the pause', () => lines(holdfast, 'paused').length === 1);
  const second = get('a');
  expect((await get('b')).status).toBe(200);
  expect(simulator.requests()).toHaveLength(3);
  const quotas = Object.values((await admin('/api/status'))['quotas'] as Record<string, Record<string, number>>);
  expect(quotas[0]).toMatchObject({ waiting: 1 });
  expect(quotas[0]?.['paused_seconds']).toBeGreaterThan(1);
  expect((await Promise.all([first, second])).map(({ status }) => status)).toEqual([200, 200]);
  expect(lines(holdfast, 'paused')).toHaveLength(1);
});

test('§4: refuses at once what would wait beyond max_wait, with an honest Retry-After, and sends nothing', async () => {
  await start({ quota: { limit: 5, window: '5s' } }, 'version: 1\ndefaults: { pacing: { max_wait: 0s } }\n');
  await windowStart();
  await Promise.all(Array.from({ length: 5 }, () => get()));
  const sent = simulator.requests().length;
  const refused = await get();
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ errors: [{ code: 'holdfast_quota_wait' }] });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(6);
  expect(simulator.requests()).toHaveLength(sent);
});

test('limits.waiting: a call that waits is not in flight; beyond the limit 503 with Retry-After', async () => {
  await start(
    { rules: [{ nth: 2, fault: { kind: 'throttle', hint: 'seconds', wait: '2s' } }] },
    'version: 1\nlimits: { waiting: 3, in_flight: 2 }\ndefaults: { retry: { max_retries: 0 } }\n',
  );
  expect([(await get()).status, (await get()).status]).toEqual([200, 429]);
  const waiting = Array.from({ length: 3 }, () => get());
  await eventually('three wait', async () => (await admin('/api/status'))['waiting'] === 3);
  expect((await admin('/api/status'))['in_flight']).toBe(0);
  const refused = await get();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200]);
});

test('limits.per_endpoint: two calls of one endpoint at once, in order, and other endpoints unhindered', async () => {
  await start(
    { rules: [{ match: 'GET /contacts', fault: { kind: 'delay', by: '150ms' } }] },
    'version: 1\nlimits: { per_endpoint: 2 }\n',
  );
  const startedAt = performance.now();
  const calls = Array.from({ length: 6 }, () => get());
  const other = await fetch(`${holdfast.url}/tags`, { headers: { Authorization: 'Bearer t' } });
  expect(other.status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(140);
  expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(440);
});
