import { afterEach, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { eventually, idle, lines, standing } from '../faults/live.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

function send(method: string, path: string, body: unknown): Promise<Response> {
  const headers = { Authorization: 'Bearer t', 'Content-Type': 'application/json' };
  return fetch(`${holdfast.url}${path}`, { method, headers, body: JSON.stringify(body) });
}

test('§2: a PUT that is lost and sent again does not undo the newer one that arrived meanwhile', async () => {
  simulator = await startSimulator({ port: 0 });
  holdfast = await startTestInstance(
    simulator.url,
    'version: 1\ndefaults: { retry: { base_delay: 500ms, jitter: none } }\nlog: { level: debug }\n',
  );
  const { id } = (await (await send('POST', '/contacts', { external_id: 'u1', name: 'first' })).json()) as {
    id: string;
  };
  const path = `/contacts/${id}`;
  simulator.fault({ match: 'PUT /contacts/{contact_id}', times: 1, fault: { kind: 'reset', effect: 'none' } });

  const old = send('PUT', path, { name: 'old' });
  await eventually('the backoff of the lost one', () => lines(holdfast, 'retry').length === 1);
  const newer = send('PUT', path, { name: 'new' });
  await eventually('the newer one waits', async () => (await standing(holdfast)).waiting === 1);

  expect((await Promise.all([old, newer])).map(({ status }) => status)).toEqual([200, 200]);
  const read = await fetch(`${holdfast.url}${path}`, { headers: { Authorization: 'Bearer t' } });
  expect(await read.json()).toMatchObject({ name: 'new' });
  expect(simulator.requests().filter(({ method }) => method === 'PUT')).toHaveLength(3);
  const waits = lines(holdfast, 'attempt').map(({ waitReason }) => waitReason);
  expect(waits).toContain('order');
  expect(await idle(holdfast)).toMatchObject({ in_flight: 0, waiting: 0 });
});
