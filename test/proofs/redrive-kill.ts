import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { KilledProxy } from './killed-proxy.ts';

/** What came of a redrive whose process was killed. */
export interface KilledRedrive {
  readonly rows: number;
  readonly triedBeforeKills: readonly number[];
  readonly succeeded: number;
  readonly pending: number;
  /** Dead letters by their state, in the ledger, in the end. */
  readonly states: Readonly<Record<string, number>>;
  readonly effects: number;
  readonly duplicates: number;
  /** Rows that the upstream answered more than once after they died. */
  readonly answeredTwice: number;
}

const CONFIG = `version: 1
defaults:
  retry: { max_retries: 0 }
  breaker: { min_requests: 1000, last: 1000 }
  pacing: { max_wait: 10m }
`;

// oxlint-disable-next-line typescript/no-explicit-any -- documents of the admin API
type Json = any;

/** Lets `rows` leads die, starts one redrive, and kills its process each time that so many rows are done. */
export async function killRedrive(rows: number, killAt: readonly number[], limit: number): Promise<KilledRedrive> {
  const simulator = await startSimulator({ port: 0, scenario: { quota: { limit: 1_000_000 } } });
  const data = dataFolder();
  const config = join(data, 'holdfast.yaml');
  writeFileSync(config, CONFIG);
  const proxy = new KilledProxy(simulator.url, data, config);
  try {
    simulator.fault({ fault: { kind: 'status', status: 503, effect: 'none' } } as never);
    const url = await proxy.start('127.0.0.1:0');
    await inParallel(rows, 16, (n) => create(url, n));
    simulator.clearFaults();
    simulator.setScenario({ quota: { limit } });
    const api = async (line: string, body?: unknown): Promise<Json> => {
      const [method = '', target = ''] = line.split(' ');
      const sent = body === undefined ? {} : { body: JSON.stringify(body) };
      return (await fetch(proxy.adminUrl + target, { method, ...sent })).json();
    };
    const before = simulator.stats().requests;
    const { redrive } = await api('POST /api/redrives', { filter: { state: 'open' }, velocity: 1 });
    const triedBeforeKills: number[] = [];
    let now: Json = redrive;
    const until = async (holds: () => boolean): Promise<void> => {
      for (;;) {
        now = await api(`GET /api/redrives/${redrive.id}`);
        if (holds()) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    for (const at of killAt) {
      await until(() => now.rows - now.pending >= at);
      triedBeforeKills.push(now.rows - now.pending);
      await proxy.kill();
      await proxy.start('127.0.0.1:0');
    }
    await until(() => now.state === 'done');
    const answered = new Map<string, number>();
    for (const { n, operation, bodyHash, status } of simulator.requests()) {
      if (n > before && operation === 'POST /contacts' && status === 200)
        answered.set(bodyHash, (answered.get(bodyHash) ?? 0) + 1);
    }
    const { effects, duplicates } = simulator.stats();
    const states: Record<string, number> = {};
    for (const group of (await api('GET /api/dead-letters/groups?state=all')).groups) {
      for (const [state, count] of Object.entries(group.states as Record<string, number>))
        states[state] = (states[state] ?? 0) + count;
    }
    return {
      rows: now.rows,
      triedBeforeKills,
      succeeded: now.results.succeeded,
      pending: now.pending,
      states,
      effects,
      duplicates,
      answeredTwice: [...answered.values()].filter((times) => times > 1).length,
    };
  } finally {
    await proxy.kill();
    await simulator.close();
  }
}

async function create(url: string, n: number): Promise<void> {
  const body = JSON.stringify({ external_id: `lead-${n}`, email: `lead-${n}@example.com` });
  const headers = { authorization: 'Bearer good', 'content-type': 'application/json' };
  const { status } = await fetch(`${url}/contacts`, { method: 'POST', headers, body });
  if (status !== 503) throw new Error(`expected 503, got ${status}`);
}

/** Runs `count` jobs, so many at once. */
export async function inParallel(count: number, atOnce: number, job: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
