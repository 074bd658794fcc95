/**
 * Clients that push notes, contacts and events, with and without keys, and send again whatever was not answered well,
 * while the proxy before them is killed again and again (kill -9). What it must come to: everything done, nothing twice,
 * as the simulator counts it. The upstream commits and loses some answers on top.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { KilledProxy } from './killed-proxy.ts';

/** How long and how hard. */
export interface KillRounds {
  readonly rounds: number;
  readonly seed: number;
  /** New calls in each round. */
  readonly callsPerRound: number;
  readonly onRound?: (round: number) => void;
}

/** What it came to. */
export interface KillResult {
  readonly calls: number;
  /** Told a success to their client. */
  readonly done: number;
  /** Effects beyond the first of a call. */
  readonly duplicates: number;
  /** Told a success, and not there. */
  readonly missing: number;
  /** Sent again by their clients. */
  readonly resent: number;
  /** How calls ended that are not done, and what was done twice, at most ten each. */
  readonly undone: readonly string[];
  readonly twice: readonly string[];
}

const CREATES = ['POST /contacts', 'POST /contacts/{id}/notes', 'POST /events'] as const;
const LATENCY_MS = '30ms';
const LIFE_LEAST_MS = 150;
const LIFE_SPREAD_MS = 900;
/** A client gives a call up after this and sends it again. */
const CLIENT_TIMEOUT_MS = 4000;
const AFTERWARDS_MS = 90_000;

interface Call {
  readonly path: string;
  readonly body: string;
  readonly key: string | null;
}

/** Runs the rounds. */
export async function killRounds({ rounds, seed, callsPerRound, onRound }: KillRounds): Promise<KillResult> {
  const random = seededRandom(seed);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-kills-'));
  const simulator = await startSimulator({
    port: 0,
    seed,
    scenario: {
      quota: { limit: 100_000 },
      rules: [
        ...CREATES.flatMap((match): RuleInput[] => [
          { match, probability: 0.02, fault: { kind: 'status', status: 500, effect: 'applied' } },
          { match, probability: 0.02, fault: { kind: 'reset', effect: 'applied' } },
        ]),
        { match: '*', fault: { kind: 'delay', by: LATENCY_MS } },
      ],
    },
  });
  const config = join(folder, 'holdfast.yaml');
  // Breakers off: what is measured here is the ledger, and every second call of a round meets a fault of its own.
  await writeFile(
    config,
    'version: 1\ndefaults: { breaker: { min_requests: 1000, last: 1000 }, retry_budget: { ratio: 1 } }\n',
  );
  const proxy = new KilledProxy(simulator.url, join(folder, 'data'), config);
  try {
    return await run();
  } finally {
    await proxy.stop();
    await simulator.close();
    await rm(folder, { recursive: true, force: true });
  }

  async function run(): Promise<KillResult> {
    const contact = await newContact(simulator);
    const url = await proxy.start('127.0.0.1:0');
    const listen = new URL(url).host;
    const fates: Promise<string>[] = [];
    const clients = { url, resent: 0, over: new AbortController() };
    for (let round = 1; round <= rounds; round++) {
      for (let i = 0; i < callsPerRound; i++)
        fates.push(push(clients, makeCall(contact, fates.length, random), random));
      await sleep(LIFE_LEAST_MS + random() * LIFE_SPREAD_MS);
      await proxy.kill();
      await proxy.start(listen);
      onRound?.(round);
    }
    const timer = setTimeout(() => clients.over.abort(), AFTERWARDS_MS);
    const all = await Promise.all(fates);
    clearTimeout(timer);
    const done = all.filter((fate) => fate === 'done').length;
    const { duplicates, duplicateKeys } = simulator.stats();
    const made = simulator.effects().filter(({ kind }) => kind === 'create').length - 1;
    return {
      calls: all.length,
      done,
      duplicates,
      missing: Math.max(0, done - (made - duplicates)),
      resent: clients.resent,
      undone: all.filter((fate) => fate !== 'done').slice(0, 10),
      twice: duplicateKeys.slice(0, 10).map((key) => historyOf(simulator, key)),
    };
  }
}

/** When each of the effects was applied, and by which request. */
function historyOf(simulator: Simulator, create: string): string {
  const made = simulator.effects().filter(({ operation, key }) => `${operation} ${key}` === create);
  const requests = simulator.requests().filter(({ bodyHash }) => bodyHash === made[0]?.bodyHash);
  const line = ({ atMs, attempt, fault, status, n }: (typeof requests)[number]): string =>
    `#${n} attempt ${attempt} at ${atMs} ${fault} ${status}`;
  return [create, ...made.map(({ atMs, request }) => `applied by #${request} at ${atMs}`), ...requests.map(line)].join(
    '\n  ',
  );
}

async function newContact(simulator: Simulator): Promise<string> {
  const created = await fetch(`${simulator.url}/contacts`, {
    method: 'POST',
    headers: { authorization: 'Bearer t', 'content-type': 'application/json' },
    body: '{"external_id":"everybody"}',
  });
  const { id } = (await created.json()) as { id: string };
  return id;
}

function makeCall(contact: string, n: number, random: () => number): Call {
  const key = random() < 0.5 ? `key-${n}` : null;
  switch (n % 3) {
    case 0:
      return { path: `/contacts/${contact}/notes`, body: JSON.stringify({ body: `note ${n}` }), key };
    case 1:
      return { path: '/contacts', body: JSON.stringify({ external_id: `x${n}`, name: `Ada ${n}` }), key };
    default:
      return { path: '/events', body: JSON.stringify({ event_name: `e${n}`, user_id: 'everybody' }), key };
  }
}

/** One client: sends until it is told a success, or an answer that no sending again can change. */
async function push(
  clients: { readonly url: string; resent: number; readonly over: AbortController },
  call: Call,
  random: () => number,
): Promise<string> {
  let last = 'never sent';
  for (let n = 0; !clients.over.signal.aborted; n++) {
    if (n > 0) clients.resent += 1;
    try {
      const response = await fetch(clients.url + call.path, {
        method: 'POST',
        headers: {
          authorization: 'Bearer t',
          'content-type': 'application/json',
          ...(call.key === null ? {} : { 'idempotency-key': call.key }),
        },
        body: call.body,
        signal: AbortSignal.timeout(CLIENT_TIMEOUT_MS),
      });
      const text = await response.text();
      if (response.ok) return 'done';
      last = `${call.path} ${call.key} ${response.status} ${text.slice(0, 200)}`;
      if (response.status < 500 && response.status !== 409 && response.status !== 429) return last;
      if (response.status === 409 && !text.includes('holdfast_in_flight')) return last;
    } catch (error) {
      last = `${call.path} ${String(error)}`;
    }
    await sleep(100 + random() * 400);
  }
  return last;
}
