import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { startInstance } from '../../src/assemble.ts';
import { loadSettings } from '../../src/config/load.ts';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts';
import { eventually, lines } from '../faults/live.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function start(scenario: SimulatorOptions['scenario'], yaml: string): Promise<void> {
  simulator = await startSimulator({ port: 0, ...(scenario === undefined ? {} : { scenario }) });
  holdfast = await startTestInstance(simulator.url, `version: 1\n${yaml}`);
}

async function get(path: string): Promise<{ status: number; code: string | null; retryAfter: string | null }> {
  const response = await fetch(holdfast.url + path, { headers: { Authorization: 'Bearer t' } });
  const body = (await response.json().catch(() => null)) as { errors?: { code: string }[] } | null;
  return {
    status: response.status,
    code: body?.errors?.[0]?.code ?? null,
    retryAfter: response.headers.get('retry-after'),
  };
}

async function breakers(): Promise<Record<string, { state: string }>> {
  const status = (await (await fetch(`${holdfast.adminUrl}/api/status`)).json()) as Record<string, unknown>;
  return status['breakers'] as Record<string, { state: string }>;
}

function hold(endpoint: string, order: string): Promise<Response> {
  return fetch(`${holdfast.adminUrl}/api/breakers/${encodeURIComponent(endpoint)}/${order}`, { method: 'POST' });
}

const QUICK = 'defaults: { retry: { max_retries: 0 }, breaker: { open_for: 300ms, half_open_probes: 1 } }\n';

test('§5 fail: ten failures open one endpoint, calls are refused in no time, others go on, a probe closes it', async () => {
  await start({ rules: [{ match: 'GET /contacts', fault: { kind: 'status', status: 500 } }] }, QUICK);
  for (let i = 0; i < 10; i++) expect((await get('/contacts')).status).toBe(500);
  const sent = simulator.requests().length;
  expect(await get('/contacts')).toEqual({ status: 503, code: 'holdfast_breaker_open', retryAfter: '1' });
  expect((await get('/tags')).status).toBe(200);
  expect(simulator.requests()).toHaveLength(sent + 1);
  expect(await breakers()).toMatchObject({
    'GET /contacts': { state: 'open' },
    'GET /tags': { state: 'closed' },
    host: { state: 'closed' },
  });
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toContain('holdfast_breaker_state{endpoint="GET /contacts"} 2');
  expect(metrics).toContain('holdfast_breaker_transitions_total{endpoint="GET /contacts",to="open"} 1');
  simulator.clearFaults();
  await eventually('it closes again', async () => (await get('/contacts')).status === 200);
  expect((await breakers())['GET /contacts']?.state).toBe('closed');
  expect(lines(holdfast, 'breaker').map(({ to }) => to)).toEqual(['open', 'half_open', 'closed']);
});

test('§5 fail: a retry that meets the open breaker ends with the last answer, and says when to come back', async () => {
  await start(
    { rules: [{ match: 'GET /contacts', fault: { kind: 'status', status: 500 } }] },
    'defaults: { retry: { base_delay: 1ms }, breaker: { min_requests: 2, last: 2 } }\n',
  );
  const response = await fetch(`${holdfast.url}/contacts`, { headers: { Authorization: 'Bearer t' } });
  expect(response.status).toBe(500);
  expect(response.headers.get('holdfast')).toContain('withheld=breaker');
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(30);
  expect(simulator.requests()).toHaveLength(2);
});

test('§5 wait: nobody loses a call in an outage of three seconds, and few calls reach the dead upstream', async () => {
  await start({}, 'profile: patient\n');
  await get('/contacts');
  await simulator.refuse();
  const startedAt = performance.now();
  const paths = ['/contacts', '/tags', '/admins', '/companies'];
  const calls = Array.from({ length: 40 }, async (_, i) => {
    await new Promise((resolve) => setTimeout(resolve, i * 50));
    const answer = await get(paths[i % paths.length] as string);
    return { status: answer.status, endedAt: performance.now() - startedAt };
  });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await simulator.accept();
  const answers = await Promise.all(calls);
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => 200));
  expect(Math.min(...answers.map(({ endedAt }) => endedAt))).toBeLessThan(4000);
  expect(Math.max(...answers.map(({ endedAt }) => endedAt))).toBeLessThan(5000);
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toContain('holdfast_breaker_state{endpoint="host"} 0');
});

test('§5: an open breaker and a pause outlive a reload of the configuration', async () => {
  simulator = await startSimulator({ port: 0 });
  const data = dataFolder();
  const settingsOf = async (yaml: string) => {
    const flags = { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream: simulator.url, data };
    const readFile = (file: string) => (file === 'x.yaml' ? yaml : readFileSync(file, 'utf8'));
    const loaded = await loadSettings({ file: 'x.yaml', env: {}, flags, readFile });
    if (!loaded.ok) throw new Error('not loaded');
    return loaded.settings;
  };
  const instance = await startInstance({
    settings: await settingsOf('version: 1\n'),
    version: 'test',
    nodeVersion: 'test',
    env: {},
    logTo: { write: () => {} },
    file: null,
    load: async () => ({ ok: true, settings: await settingsOf('version: 1\nprofile: crm\n'), faults: [] }),
  });
  holdfast = { instance, url: instance.url, adminUrl: instance.adminUrl, log: [], stop: () => instance.stop(5000) };
  await get('/tags');
  simulator.fault({ match: 'GET /tags', fault: { kind: 'throttle', hint: 'seconds', wait: '30s' } });
  const waits = get('/tags');
  await hold('GET /contacts', 'open');
  const paused = async () =>
    Object.values(
      (
        (await (await fetch(`${holdfast.adminUrl}/api/status`)).json()) as {
          quotas: Record<string, { paused_seconds: number }>;
        }
      ).quotas,
    )[0]?.paused_seconds ?? 0;
  await eventually('the pause', async () => (await paused()) > 20);

  const reloaded = await fetch(`${holdfast.adminUrl}/api/config/reload`, { method: 'POST' });
  expect(await reloaded.json()).toMatchObject({ ok: true });
  expect(instance.settings().policies[0]?.profile).toBe('crm');
  expect((await get('/contacts')).code).toBe('holdfast_breaker_open');
  expect(await paused()).toBeGreaterThan(20);
  await holdfast.stop();
  expect((await waits).status).toBeGreaterThanOrEqual(429);
});

test('§5: a hand opens, closes and lets go; what no rule is called is 404', async () => {
  await start({}, QUICK);
  expect(await (await hold('GET /contacts', 'open')).json()).toMatchObject({ state: 'held_open' });
  expect((await get('/contacts')).code).toBe('holdfast_breaker_open');
  expect((await hold('GET /contacts', 'auto')).status).toBe(200);
  expect((await get('/contacts')).status).toBe(200);
  expect((await hold('GET /nowhere', 'open')).status).toBe(404);
});
