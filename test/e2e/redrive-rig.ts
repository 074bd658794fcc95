import type { RuleInput, ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of any shape
export type Json = any;

/** Simulator and proxy, and their operator. */
export interface Rig {
  readonly simulator: Simulator;
  holdfast: TestInstance;
  readonly data: string;
  /** A call of a client. */
  send(line: string, body?: unknown, token?: string): Promise<{ status: number; json: Json }>;
  /** A call of an operator. */
  api(line: string, body?: unknown): Promise<{ status: number; json: Json }>;
  /** Starts a redrive and waits until it is in one of these states. */
  redrive(order: Json, states?: readonly string[]): Promise<Json>;
  /** Waits until a redrive is in one of these states. */
  until(id: string, states: readonly string[]): Promise<Json>;
  close(): Promise<void>;
}

/** Gives up at once, so that calls die when they fail; the quota is no limit. */
export const IMPATIENT = `version: 1
defaults:
  retry: { max_retries: 0 }
  breaker: { min_requests: 1000, last: 1000 }
redrive: { velocity: 1 }
`;

/** How often a redrive is asked for; tests have a shorter patience of their own. */
const ASK_MS = 10;
const TRIES_MAX = 100_000;

/** Everything answers 503 and does nothing. */
export const DOWN: RuleInput = { fault: { kind: 'status', status: 503, effect: 'none' } };

/** Starts simulator and proxy. */
export async function openRig(scenario: ScenarioInput = {}, yaml = IMPATIENT): Promise<Rig> {
  const simulator = await startSimulator({ port: 0, scenario: { quota: { limit: 1_000_000 }, ...scenario } });
  const data = dataFolder();
  const rig: Rig = {
    simulator,
    data,
    holdfast: await startTestInstance(simulator.url, yaml, data),
    send: (line, body, token = 'good') => call(rig.holdfast.url, line, body, token),
    api: (line, body) => call(rig.holdfast.adminUrl, line, body, null),
    redrive: async (order, states = ['done']) => {
      const { status, json } = await rig.api('POST /api/redrives', order);
      if (status !== 202) throw new Error(`${status} ${JSON.stringify(json)}`);
      return rig.until(json.redrive.id, states);
    },
    until: async (id, states) => {
      for (let tries = 0; ; tries += 1) {
        const { json } = await rig.api(`GET /api/redrives/${id}`);
        if (states.includes(json.state)) return json;
        if (tries === TRIES_MAX) throw new Error(`never ${states.join(' or ')}: ${JSON.stringify(json)}`);
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      }
    },
    close: async () => {
      await rig.holdfast.stop();
      await simulator.close();
    },
  };
  return rig;
}

async function call(url: string, line: string, body: unknown, token: string | null) {
  const [method = '', target = ''] = line.split(' ');
  const response = await fetch(url + target, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, json: text === '' ? null : JSON.parse(text) };
}
