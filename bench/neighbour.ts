/**
 * What a dead endpoint costs its neighbour: the p99 of one endpoint at half of the highest throughput, while another one
 * of the same upstream is healthy, answers 503 to everything, or hangs. The packed proxy on its own core, the simulator
 * and the load on the other; the three take turns within a round, and are compared within it.
 */

import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { launchHoldfast } from './contestants.ts';
import type { Workload } from './jobs.ts';
import { freePort, LoadGenerator, ready, scratch, start } from './processes.ts';
import { type Spread, spread } from './stats.ts';

const ROUNDS = 7;
const MEASURE_MS = 5000;
const RAMP_MS = 500;
const WARM_UP_REQUESTS = 20_000;
const CONNECTIONS = 64;
/** To the endpoint that dies, per second. Those that hang stay below the connections that there are. */
const BESIDE_PER_SECOND = { healthy: 20, failing: 20, hanging: 10 } as const;
const READ: Workload = { method: 'GET', paths: ['/tags'], tokens: 1 };
const DEAD = 'GET /contacts';

/** How the neighbour fares. */
export type Arm = keyof typeof BESIDE_PER_SECOND;

/** What it came to. */
export interface NeighbourCost {
  readonly perSecond: number;
  readonly p99Ms: Readonly<Record<Arm, Spread>>;
  /** p99 by the p99 of the healthy turn in the same round. */
  readonly toHealthy: Readonly<Record<Exclude<Arm, 'healthy'>, Spread>>;
}

/** Measures; about two minutes. Wants a built `dist`. */
export async function measureNeighbour(say: (line: string) => void): Promise<NeighbourCost> {
  const simulator = await startSimulator();
  const holdfast = await launchHoldfast(simulator.port);
  await ready(holdfast.child, holdfast.readyz);
  const load = new LoadGenerator();
  const { port } = holdfast;
  const closed = { kind: 'closed', port, connections: CONNECTIONS, workload: READ, rampMs: 300, pid: null } as const;
  await load.run({ ...closed, measureMs: 0, requests: WARM_UP_REQUESTS });
  const { requests, wallMs } = await load.run({ ...closed, measureMs: 3000, requests: null });
  const perSecond = Math.round(requests / (wallMs / 1000) / 2);
  const admin = new URL(holdfast.readyz).origin;

  const turn = async (arm: Arm): Promise<number> => {
    await simulator.be(arm);
    for (const order of ['close', 'auto']) {
      await post(`${admin}/api/breakers/${encodeURIComponent(DEAD)}/${order}`);
    }
    const beside = sendBeside(port, BESIDE_PER_SECOND[arm]);
    const job = { kind: 'open', port, perSecond, workload: READ, rampMs: RAMP_MS, measureMs: MEASURE_MS } as const;
    const { p99 } = await load.run(job);
    beside.stop();
    return p99;
  };

  const rounds: Record<Arm, number>[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    say(`neighbour: round ${round} of ${ROUNDS}`);
    rounds.push({ healthy: await turn('healthy'), failing: await turn('failing'), hanging: await turn('hanging') });
  }
  await Promise.all([load.stop(), holdfast.child.stop(), simulator.stop()]);
  const p99 = (arm: Arm): Spread => spread(rounds.map((round) => round[arm]));
  const ratio = (arm: Arm): Spread => spread(rounds.map((round) => round[arm] / round.healthy));
  return {
    perSecond,
    p99Ms: { healthy: p99('healthy'), failing: p99('failing'), hanging: p99('hanging') },
    toHealthy: { failing: ratio('failing'), hanging: ratio('hanging') },
  };
}

async function startSimulator() {
  const port = await freePort();
  const scenario = join(scratch, 'neighbour.yaml');
  writeFileSync(scenario, 'quota: { limit: 100000000 }\n');
  const main = join(import.meta.dirname, '..', 'dist', 'main.js');
  const command = [process.execPath, main, 'simulate', '--port', String(port), '--scenario', scenario];
  const child = start('load', command, { ipc: false });
  const control = `http://127.0.0.1:${port}/__simulator`;
  await ready(child, `${control}/stats`);
  return {
    port,
    stop: child.stop,
    async be(arm: Arm): Promise<void> {
      await fetch(`${control}/faults`, { method: 'DELETE' });
      if (arm === 'healthy') return;
      const fault = arm === 'hanging' ? { kind: 'hang' } : { kind: 'status', status: 503 };
      await post(`${control}/faults`, { match: DEAD, fault });
    },
  };
}

async function post(url: string, body?: unknown): Promise<void> {
  const response = await fetch(url, { method: 'POST', ...(body !== undefined && { body: JSON.stringify(body) }) });
  if (!response.ok) throw new Error(`POST ${url}: ${response.status} ${await response.text()}`);
}

/** Calls the endpoint that may be dead at a steady rate, whatever comes of them. */
function sendBeside(port: number, perSecond: number): { readonly stop: () => void } {
  const agent = new Agent({ keepAlive: true });
  const [method, path] = DEAD.split(' ');
  const timer = setInterval(() => {
    const headers = { authorization: 'Bearer bench' };
    const sent = request({ host: '127.0.0.1', port, method, path, agent, headers }, (response) => response.resume());
    sent.on('error', () => {});
    sent.end();
  }, 1000 / perSecond);
  return {
    stop: () => {
      clearInterval(timer);
      for (const socket of Object.values(agent.sockets).flat()) socket?.resetAndDestroy();
      agent.destroy();
    },
  };
}
