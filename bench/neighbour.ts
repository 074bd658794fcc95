/**
 * What a dead endpoint costs its neighbour: the p99 of one endpoint while another one of the same upstream is healthy,
 * answers 503 to everything, or hangs. Answers take as long as Intercom's. Calls that hang for their 15 s take up to 60 of
 * the 128 connections; the load is half of what the others carry. The packed proxy on its own core, the simulator and the
 * load on the other; the three take turns, and the best turns are compared: what a machine does beside only adds.
 */

import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { launchHoldfast } from './contestants.ts';
import type { Workload } from './jobs.ts';
import { freePort, LoadGenerator, ready, scratch, start } from './processes.ts';
import { type Spread, spread } from './stats.ts';

const ROUNDS = 7;
const MEASURE_MS = 8000;
const RAMP_MS = 500;
const WARM_UP_REQUESTS = 20_000;
const PER_SECOND = 256;
/** To the endpoint that dies. */
const BESIDE_PER_SECOND = 4;
const ARMS = ['healthy', 'failing', 'hanging'] as const;
const READ: Workload = { method: 'GET', paths: ['/tags'], tokens: 1 };
const ALIVE = { match: 'GET /tags', fault: { kind: 'delay', by: '100ms', jitter: '50ms' } };
const DEAD = 'GET /contacts';

/** How the neighbour fares. */
export type Arm = (typeof ARMS)[number];

/** What it came to. */
export interface NeighbourCost {
  readonly p99Ms: Readonly<Record<Arm, Spread>>;
}

/** Measures; about two minutes. Wants a built `dist`. */
export async function measureNeighbour(say: (line: string) => void): Promise<NeighbourCost> {
  const simulator = await startSimulator();
  const holdfast = await launchHoldfast(simulator.port);
  await ready(holdfast.child, holdfast.readyz);
  const load = new LoadGenerator();
  const { port } = holdfast;
  const warmUp = { kind: 'closed', port, connections: 64, workload: READ, rampMs: 0, pid: null } as const;
  await load.run({ ...warmUp, measureMs: 0, requests: WARM_UP_REQUESTS });
  const admin = new URL(holdfast.readyz).origin;

  const turn = async (arm: Arm): Promise<number> => {
    await simulator.be(arm);
    for (const order of ['close', 'auto']) {
      await post(`${admin}/api/breakers/${encodeURIComponent(DEAD)}/${order}`);
    }
    const beside = sendBeside(port);
    const job = {
      kind: 'open',
      port,
      perSecond: PER_SECOND,
      workload: READ,
      rampMs: RAMP_MS,
      measureMs: MEASURE_MS,
    } as const;
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
  return { p99Ms: { healthy: p99('healthy'), failing: p99('failing'), hanging: p99('hanging') } };
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
      await post(`${control}/faults`, ALIVE);
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
function sendBeside(port: number): { readonly stop: () => void } {
  const agent = new Agent({ keepAlive: true });
  const [method, path] = DEAD.split(' ');
  const timer = setInterval(() => {
    const headers = { authorization: 'Bearer bench' };
    const sent = request({ host: '127.0.0.1', port, method, path, agent, headers }, (response) => response.resume());
    sent.on('error', () => {});
    sent.end();
  }, 1000 / BESIDE_PER_SECOND);
  return {
    stop: () => {
      clearInterval(timer);
      for (const socket of Object.values(agent.sockets).flat()) socket?.resetAndDestroy();
      agent.destroy();
    },
  };
}
