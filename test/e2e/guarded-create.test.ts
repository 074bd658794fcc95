import { afterEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

const FAST = 'version: 1\ndefaults: { retry: { base_delay: 1ms } }\n';

async function post(path: string, body: unknown): Promise<Response> {
  return fetch(`${holdfast.url}${path}`, {
    method: 'POST',
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
}

async function open(): Promise<void> {
  simulator = await startSimulator({ port: 0 });
  holdfast = await startTestInstance(simulator.url, FAST, dataFolder());
}

it('§7 guarded: a contact whose answer was lost is answered with the contact, and made once', async () => {
  await open();
  simulator.fault({ match: 'POST /contacts', times: 1, fault: { kind: 'reset', effect: 'applied' } });
  const response = await post('/contacts', { external_id: 'u1', role: 'user' });
  expect(response.status).toBe(200);
  expect(response.headers.get('holdfast')).toMatch(/^from=reconcile, attempts=2, verdict=ok, effect=applied/);
  expect(await response.json()).toMatchObject({ type: 'contact', external_id: 'u1' });
  expect(simulator.effects()).toHaveLength(1);
});

it('§7 search: a lead whose answer was lost is found, and made once', async () => {
  await open();
  simulator.fault({ match: 'POST /contacts', times: 1, fault: { kind: 'status', status: 500, effect: 'applied' } });
  const response = await post('/contacts', { email: 'a@example.com', role: 'lead' });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ type: 'contact', email: 'a@example.com' });
  expect(response.headers.get('holdfast')).toMatch(/^from=reconcile, attempts=1, verdict=ok, effect=applied/);
  expect(simulator.effects()).toHaveLength(1);
});
