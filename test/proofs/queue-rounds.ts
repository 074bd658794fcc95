/**
 * Calls that are handed over (`Prefer: respond-async`, without keys) while the proxy is killed again and again (kill -9),
 * in the middle of accepting and in the middle of running them. What it must come to: whatever got a 202 is reported with
 * its fate and done, nothing is there twice as the simulator counts it. Guarded contacts, notes (direct probe) and
 * updates; the upstream commits and loses some answers on top.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { KilledProxy } from './killed-proxy.ts';

/** How much and how hard. */
export interface QueueRounds {
  readonly calls: number;
  readonly kills: number;
  readonly seed: number;
}

/** What it came to. */
export interface QueueResult {
  readonly calls: number;
  readonly accepted: number;
  /** Accepted, and their address says so after the last start. */
  readonly reported: number;
  /** Accepted and done. */
  readonly done: number;
  /** Done, and not at the upstream. */
  readonly missing: number;
  readonly duplicates: number;
  /** Got no 202 and were executed: durable when the kill came, before their 202 could be sent. */
  readonly unclaimed: number;
  /** What is not done, at most ten. */
  readonly undone: readonly string[];
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** Stands in the body of what it makes, or changes. */
  readonly mark: string;
}

const CLIENTS = 16;
const HEADERS = { authorization: 'Bearer t', 'content-type': 'application/json' };
const AFTERWARDS_MS = 120_000;

/** Hands over the calls, kills in between, waits for all fates. */
export async function queueRounds({ calls: count, kills, seed }: QueueRounds): Promise<QueueResult> {
  const random = seededRandom(seed);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-queue-'));
  const simulator = await startSimulator({ port: 0, seed, scenario: { quota: { limit: 100_000 } } });
  const config = join(folder, 'holdfast.yaml');
  await writeFile(
    config,
    'version: 1\ndefaults: { retry: { base_delay: 50ms }, breaker: { min_requests: 1000, last: 1000 }, retry_budget: { ratio: 1 } }\n',
  );
  const proxy = new KilledProxy(simulator.url, join(folder, 'data'), config);
  try {
    const calls = await makeCalls(simulator, count);
    addFaults(simulator);
    const url = await proxy.start('127.0.0.1:0');
    const addresses = await acceptAll(calls, url, async (killed) => {
      for (let kill = 1; kill <= kills; kill++) {
        await killed(Math.floor((count * kill) / (kills + 1)));
        await sleep(random() * 30);
        await proxy.kill();
        await proxy.start(new URL(url).host);
      }
    });
    // Once more, with everything accepted and much of it not run.
    await proxy.kill();
    await proxy.start(new URL(url).host);
    return await fatesOf(simulator, url, calls, addresses);
  } finally {
    await proxy.stop();
    await simulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function addFaults(simulator: Simulator): void {
  for (const match of ['POST /contacts', 'POST /contacts/{id}/notes', 'PUT /contacts/{id}']) {
    simulator.fault({ match, probability: 0.02, fault: { kind: 'reset', effect: 'applied' } });
    simulator.fault({ match, probability: 0.02, fault: { kind: 'status', status: 503 } });
    // These wait in the ledger.
    simulator.fault({
      match,
      probability: 0.02,
      times: 4,
      fault: { kind: 'status', status: 503, retry_after: '1.5s' },
    });
  }
}

async function makeCalls(simulator: Simulator, count: number): Promise<Call[]> {
  const ids: string[] = [];
  for (let i = 0; i < Math.ceil(count / 3); i++) {
    const body = JSON.stringify({ external_id: `before-${i}` });
    const made = await fetch(`${simulator.url}/contacts`, { method: 'POST', headers: HEADERS, body });
    ids.push(((await made.json()) as { id: string }).id);
  }
  return Array.from({ length: count }, (_, i): Call => {
    const mark = `mark-${i}-`;
    const id = ids[Math.floor(i / 3)] ?? '';
    if (i % 3 === 0) return { method: 'POST', path: '/contacts', body: { external_id: mark }, mark };
    if (i % 3 === 1) return { method: 'POST', path: `/contacts/${id}/notes`, body: { body: `<p>${mark}</p>` }, mark };
    return { method: 'PUT', path: `/contacts/${id}`, body: { name: mark }, mark };
  });
}

/** The address of each call that got a 202. A call that got none is not sent again. */
async function acceptAll(
  calls: readonly Call[],
  url: string,
  killing: (killed: (accepted: number) => Promise<void>) => Promise<void>,
): Promise<Map<Call, string>> {
  const addresses = new Map<Call, string>();
  let tried = 0;
  let onProgress: (() => void) | null = null;
  const reached = (target: number): Promise<void> =>
    new Promise((resolve) => {
      onProgress = () => (tried >= target ? resolve() : undefined);
      onProgress?.();
    });
  const line = [...calls];
  const client = async (): Promise<void> => {
    for (let call = line.shift(); call !== undefined; call = line.shift()) {
      const address = await handOver(url, call);
      if (address !== null) addresses.set(call, address);
      tried += 1;
      onProgress?.();
    }
  };
  await Promise.all([...Array.from({ length: CLIENTS }, client), killing(reached)]);
  return addresses;
}

/** Null: sent, and not answered. While nobody listens nothing is sent. */
async function handOver(url: string, { method, path, body }: Call): Promise<string | null> {
  for (;;) {
    try {
      const headers = { ...HEADERS, prefer: 'respond-async' };
      const answer = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
      await answer.arrayBuffer();
      return answer.status === 202 ? answer.headers.get('location') : null;
    } catch (error) {
      if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code !== 'ECONNREFUSED') return null;
      await sleep(50);
    }
  }
}

async function fatesOf(
  simulator: Simulator,
  url: string,
  calls: readonly Call[],
  addresses: ReadonlyMap<Call, string>,
): Promise<QueueResult> {
  const lastMs = Date.now() + AFTERWARDS_MS;
  const result = { calls: calls.length, accepted: addresses.size, reported: 0, done: 0, missing: 0, unclaimed: 0 };
  const undone: string[] = [];
  const line = [...calls];
  const poll = async (): Promise<void> => {
    for (let call = line.shift(); call !== undefined; call = line.shift()) {
      const address = addresses.get(call);
      const fate = address === undefined ? null : await fateOf(url + address, lastMs);
      if (fate !== null) result.reported += 1;
      if (fate?.state === 'succeeded') result.done += 1;
      else if (address !== undefined) undone.push(`${call.method} ${call.path} ${JSON.stringify(fate)}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, poll));
  const there = await marksAt(simulator, calls);
  for (const call of calls) {
    if (addresses.has(call) && !there.has(call.mark)) result.missing += 1;
    if (!addresses.has(call) && there.has(call.mark)) result.unclaimed += 1;
  }
  return { ...result, duplicates: simulator.stats().duplicates, undone: undone.slice(0, 10) };
}

async function fateOf(address: string, lastMs: number): Promise<{ state: string; done: boolean } | null> {
  for (;;) {
    const answer = await fetch(address, { headers: { ...HEADERS, prefer: 'wait=10' } });
    const fate = answer.status === 200 ? ((await answer.json()) as { state: string; done: boolean }) : null;
    if (fate === null || fate.done || Date.now() > lastMs) return fate;
  }
}

/** The marks that the upstream has. */
async function marksAt(simulator: Simulator, calls: readonly Call[]): Promise<Set<string>> {
  const marks = new Set<string>();
  simulator.clearFaults();
  for (const { path, mark, method } of calls) {
    const target = method === 'POST' && path === '/contacts' ? `/contacts/find_by_external_id/${mark}` : path;
    const text = await (await fetch(simulator.url + target, { headers: HEADERS })).text();
    if (text.includes(mark)) marks.add(mark);
  }
  return marks;
}
