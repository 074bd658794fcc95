import { afterEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

async function createWithLostAnswer(path: string, body: unknown): Promise<{ status: number; message: string }> {
  simulator = await startSimulator({ port: 0 });
  holdfast = await startTestInstance(simulator.url);
  simulator.fault({ match: `POST ${path}`, times: 1, fault: { kind: 'reset', effect: 'applied' } });
  const response = await fetch(`${holdfast.url}${path}`, {
    method: 'POST',
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { errors: { message: string }[] };
  expect(simulator.effects()).toHaveLength(1);
  return { status: response.status, message: answer.errors[0]?.message ?? '' };
}

it('§7 guarded: tells the caller that the upstream itself refuses a second contact', async () => {
  const { status, message } = await createWithLostAnswer('/contacts', { external_id: 'u1', role: 'user' });
  expect(status).toBe(504);
  expect(message).toContain('The upstream refuses a second one: sent again it is created, or answered with a conflict');
});

it('§7 guarded: tells the caller of a lead, which nothing guards, to look first', async () => {
  const { status, message } = await createWithLostAnswer('/contacts', { email: 'a@example.com', role: 'lead' });
  expect(status).toBe(504);
  expect(message).toContain('look before it is sent again');
});
