import { IntercomClient } from 'intercom-client';
import { afterEach } from 'vitest';
import type { RuleInput, ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

/** Short enough for a test; everything else is the shipped default. */
const QUICK = `version: 1
defaults: { timeout: { attempt: 400ms, body_idle: 400ms }, retry: { base_delay: 1ms } }
`;

/** A simulator, Holdfast before it, and the official client before both. */
export interface Clients {
  readonly simulator: Simulator;
  readonly holdfast: TestInstance;
  /** `baseUrl` is Holdfast. Its own retries are off, as README recommends. */
  readonly behind: IntercomClient;
  /** `baseUrl` is Holdfast, and the rest is the client's default: two retries of its own. */
  readonly behindAtDefaults: IntercomClient;
  /** `baseUrl` is the simulator: what an application gets without Holdfast. */
  readonly alone: IntercomClient;
}

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Starts all three; they end with the test. */
export async function startClients(
  faults: readonly RuleInput[] = [],
  scenario: ScenarioInput = {},
  yaml = QUICK,
): Promise<Clients> {
  const simulator = await startSimulator({ port: 0, scenario: { ...scenario, rules: faults } });
  ends.push(() => simulator.close());
  const holdfast = await startTestInstance(simulator.url, yaml);
  ends.push(() => holdfast.stop());
  const token = 'a-token';
  return {
    simulator,
    holdfast,
    behind: new IntercomClient({ token, baseUrl: holdfast.url, maxRetries: 0 }),
    behindAtDefaults: new IntercomClient({ token, baseUrl: holdfast.url }),
    alone: new IntercomClient({ token, baseUrl: simulator.url, maxRetries: 0 }),
  };
}
