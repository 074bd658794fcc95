import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { startInstance } from '../../src/assemble.ts';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import type { Clock } from '../../src/ops/clock.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import type { ScenarioInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { FastClock } from '../faults/fast-clock.ts';
import { dataFolder } from '../support/data-folder.ts';

/** One answer, with the times of its call by the rig's clock. */
export interface Told {
  readonly status: number;
  /** Intercom's `errors[0].code`; null on success. */
  readonly code: string | null;
  readonly header: (name: string) => string | null;
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  readonly tookMs: number;
}

/** What a call may say beside its line. */
export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Holdfast before a simulator over real sockets, both on one clock, and the clients. */
export interface Rig {
  readonly clock: Clock;
  readonly simulator: Simulator;
  readonly adminUrl: string;
  /** `GET /me`: one call on a keep-alive connection; as many connections as calls at once. */
  call(line: string, options?: CallOptions): Promise<Told>;
  /** Resolves after `ms` of the rig's clock. */
  pause(ms: number): Promise<void>;
  /** The sum of a metric over the label sets that contain `label`. */
  metric(name: string, label?: string): Promise<number>;
  status(): Promise<Status>;
  stop(): Promise<void>;
}

/** The part of `/api/status` that is read here. */
export interface Status {
  readonly in_flight: number;
  readonly waiting: number;
  readonly breakers: Readonly<Record<string, { readonly state: string }>>;
}

/** What a rig is made of. */
export interface RigOptions {
  readonly scenario: ScenarioInput;
  /** Laid over the defaults. */
  readonly yaml?: string;
  readonly seed?: number;
  /** How many times faster than real time everything runs: latencies then weigh as many times more. */
  readonly speed?: number;
}

export const TOKEN = 'herd';
const GRACE_MS = 5000;

/** Starts everything on free ports. */
export async function startRig({ scenario, yaml = '', seed = 1, speed = 1 }: RigOptions): Promise<Rig> {
  const clock = new FastClock(speed);
  const simulator = await startSimulator({ port: 0, seed, scenario, clock });
  const loaded = await loadSettings({
    file: 'herd.yaml',
    env: {},
    flags: { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream: simulator.url, data: dataFolder() },
    readFile: (file) =>
      file === 'herd.yaml' ? `version: 1\nlog: { level: error }\n${yaml}` : readFileSync(file, 'utf8'),
  });
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join('\n'));
  const instance = await startInstance({
    settings: loaded.settings,
    version: 'test',
    nodeVersion: process.versions.node,
    env: {},
    logTo: { write: (line: string) => void process.stderr.write(line) },
    file: null,
    load: () => Promise.resolve({ ok: false, faults: ['this instance has no file to read again'] }),
    clock,
    random: seededRandom(seed),
  });
  const agent = new Agent({ keepAlive: true });
  const { url, adminUrl } = instance;
  const status = async (): Promise<Status> => (await (await fetch(`${adminUrl}/api/status`)).json()) as Status;
  return {
    clock,
    simulator,
    adminUrl,
    call: (line, options) => call(clock, agent, url, line, options),
    pause: (ms) => new Promise((resolve) => void clock.timer(ms, () => resolve())),
    metric: (name, label) => metric(adminUrl, name, label),
    status,
    async stop() {
      // A polite end would only be a half-close, and whose client is half-closed still waits for its answer.
      for (const socket of Object.values(agent.sockets).flat()) socket?.resetAndDestroy();
      agent.destroy();
      await until('the calls of the clients that left are over', async () => (await status()).in_flight === 0);
      await instance.stop(GRACE_MS);
      await simulator.close();
    },
  };
}

function call(clock: Clock, agent: Agent, url: string, line: string, options: CallOptions = {}): Promise<Told> {
  const [method = '', target = ''] = line.split(' ');
  const body = options.body === undefined ? null : JSON.stringify(options.body);
  const headers = {
    authorization: `Bearer ${TOKEN}`,
    ...(body !== null && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    ...options.headers,
  };
  return new Promise((resolve, reject) => {
    const sentAtMs = clock.now();
    const sent = request(url + target, { method, agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const answeredAtMs = clock.now();
        const status = response.statusCode ?? 0;
        const header = (name: string): string | null => response.headers[name]?.toString() ?? null;
        const code = status < 400 ? null : codeOf(Buffer.concat(chunks).toString());
        resolve({ status, code, header, sentAtMs, answeredAtMs, tookMs: answeredAtMs - sentAtMs });
      });
    });
    sent.on('error', reject);
    sent.end(body ?? undefined);
  });
}

function codeOf(text: string): string {
  return text === '' ? '' : ((JSON.parse(text) as { errors: { code: string }[] }).errors[0]?.code ?? '');
}

async function metric(adminUrl: string, name: string, label = ''): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => new RegExp(`^${name}[{ ]`).test(line) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Asks until it holds, for a real minute at most. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const giveUpAtMs = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > giveUpAtMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
