/** A rolling restart under load: SIGTERM with the 30 s of grace that Kubernetes gives, and a successor on its ledger. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { serving } from '../e2e/child.ts';
import { dataFolder } from '../support/data-folder.ts';

const CALLS = 300;
const GRACE_MS = 30_000;

let simulator: Simulator;

beforeEach(async () => {
  const rules = [{ fault: { kind: 'delay' as const, by: '800ms' } }];
  simulator = await startSimulator({ port: 0, scenario: { quota: { limit: 60 }, rules } });
});

afterEach(() => simulator.close());

/** One create with a name of its own, guarded or not by turns, and its answer. */
async function create(url: string, n: number): Promise<Response> {
  const headers = { Authorization: 'Bearer drain', 'Content-Type': 'application/json' };
  const body = n % 2 === 0 ? { external_id: `user-${n}` } : { role: 'lead', email: `lead-${n}@example.com` };
  return fetch(`${url}/contacts`, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function metric(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

it('SIGTERM under load: running calls finish, waiting ones get 503 with Retry-After, and who re-sends them loses nothing', async () => {
  const data = dataFolder();
  const first = await serving(simulator.url, ['--data', data]);
  const calls = Array.from({ length: CALLS }, (_, n) => create(first.url, n));
  const answers = Promise.all(calls);
  // Some have been answered, some are on the wire, most wait for the quota.
  while ((await metric(first.adminUrl, 'holdfast_waiting')) < CALLS / 2 || simulator.effects().length < 20);
  first.child.signal('SIGTERM');
  const signalled = performance.now();
  const responses = await answers;
  expect(await first.child.exit()).toBe(0);
  expect(performance.now() - signalled).toBeLessThan(GRACE_MS);
  await first.child.logged('stopped', ({ unfinished }) => unfinished === 0);

  const again = responses.flatMap(({ status }, n) => (status === 503 ? [n] : []));
  expect(again.length).toBeGreaterThan(0);
  for (const n of again) {
    const { headers } = responses[n]!;
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(headers.get('holdfast')).toContain('effect=none');
  }
  expect(responses.filter(({ status }) => status !== 200 && status !== 503)).toEqual([]);
  expect(simulator.effects()).toHaveLength(CALLS - again.length);

  simulator.setScenario({ quota: { limit: 1667 } });
  const second = await serving(simulator.url, ['--data', data]);
  const repeated = await Promise.all(again.map((n) => create(second.url, n)));
  expect(repeated.filter(({ status }) => status !== 200)).toEqual([]);
  expect(new Set(simulator.effects().map(({ key }) => key)).size).toBe(CALLS);
  expect(simulator.effects()).toHaveLength(CALLS);
});
