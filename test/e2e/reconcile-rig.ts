import { type Item, parseDictionary } from 'structured-headers';
import { afterEach } from 'vitest';
import type { ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { FastClock } from '../faults/fast-clock.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

/**
 * The shipped recipes, looks and backoff. An attempt gives up early, and neither breaker nor retry budget has a say:
 * here every create of the map fails at the same moment.
 */
const PATIENT = `version: 1
upstream: { breaker: { failures: 1000 } }
profiles:
  lost:
    timeout: { attempt: 12s }
    breaker: { min_requests: 1000, last: 1000 }
    retry: { base_delay: 200ms }
    retry_budget: { ratio: 1, floor_per_second: 100 }
profile: lost
`;

/** An answer as a naive client gets it. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of any shape
  readonly json: any;
  /** The `Holdfast` field, its items as text. */
  readonly holdfast: Readonly<Record<string, string>>;
}

/** Simulator and Holdfast on one fast clock. */
export interface Rig {
  readonly clock: FastClock;
  readonly simulator: Simulator;
  readonly holdfast: TestInstance;
  /** Calls through Holdfast, with `fetch` and nothing else. */
  readonly send: (line: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  /** Waits on the rig's clock. */
  readonly pass: (ms: number) => Promise<void>;
  readonly end: () => Promise<void>;
}

const rigs: Rig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

/** Starts a rig that runs `speed` times as fast as real time; the caller ends it. */
export async function openRig(scenario: ScenarioInput = {}, yaml = PATIENT, speed = 10): Promise<Rig> {
  const clock = new FastClock(speed);
  const simulator = await startSimulator({ port: 0, clock, scenario: { quota: { limit: 100_000 }, ...scenario } });
  const holdfast = await startTestInstance(simulator.url, yaml, dataFolder(), clock);
  return {
    clock,
    simulator,
    holdfast,
    send: (line, body, headers) => naive(holdfast.url, line, body, headers),
    pass: (ms) => new Promise((resolve) => void clock.timer(ms, resolve)),
    end: async () => {
      await holdfast.stop();
      await simulator.close();
    },
  };
}

/** As `openRig`; it ends with the test. */
export async function startRig(scenario: ScenarioInput = {}, yaml = PATIENT, speed = 10): Promise<Rig> {
  const rig = await openRig(scenario, yaml, speed);
  rigs.push(rig);
  return rig;
}

async function naive(url: string, line: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const [method = '', target = ''] = line.split(' ');
  const response = await fetch(url + target, {
    method,
    headers: { authorization: 'Bearer test', 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const field = response.headers.get('holdfast') ?? '';
  return { status: response.status, text, json: parsed(text), holdfast: itemsOf(field) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function itemsOf(field: string): Record<string, string> {
  return Object.fromEntries([...parseDictionary(field)].map(([name, item]) => [name, String((item as Item)[0])]));
}
