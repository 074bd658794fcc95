import { readFileSync } from 'node:fs';
import { type Item, parseDictionary } from 'structured-headers';
import { type Instance, startInstance } from '../../src/assemble.ts';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/core/settings.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { FastClock } from './fast-clock.ts';
import {
  ATTEMPTS_MAX,
  type FaultCase,
  LATE_BY_MS,
  type Operation,
  type Schedule,
  TURNED_AWAY,
} from './matrix.cases.ts';
import type { AttemptLine, Expected } from './matrix.oracle.ts';
import { dataFolder } from '../support/data-folder.ts';

/** Ten times real time: an attempt may take a second, which a stalled machine does not reach by itself. */
const SPEED = 10;

const CONFIGURATION = `
version: 1
log: { level: debug }
profiles:
  matrix:
    timeout: { connect: 5s, attempt: 10s, body_idle: 5s, total: 120s }
    retry: { max_retries: ${ATTEMPTS_MAX - 1}, base_delay: 1s, max_delay: 1s, jitter: none, max_wait: 60s }
    retry_budget: { ratio: 1, floor_per_second: 100 }
profile: matrix
`;

let loading: Promise<Settings> | null = null;

async function load(): Promise<Settings> {
  const loaded = await loadSettings({
    file: 'matrix.yaml',
    env: {},
    flags: { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream: 'http://127.0.0.1:1' },
    readFile: (file) => (file === 'matrix.yaml' ? CONFIGURATION : readFileSync(file, 'utf8')),
  });
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join('\n'));
  return loaded.settings;
}

type Line = Record<string, unknown>;

interface Pair {
  readonly clock: FastClock;
  readonly simulator: Simulator;
  readonly instance: Instance;
  readonly log: Line[];
  onLine: (line: Line) => void;
}

async function startPair(): Promise<Pair> {
  const settings = await (loading ??= load());
  const clock = new FastClock(SPEED);
  const simulator = await startSimulator({ port: 0, clock });
  const log: Line[] = [];
  const pair: { onLine: Pair['onLine'] } = { onLine: () => {} };
  const instance = await startInstance({
    settings: { ...settings, data: dataFolder(), upstream: { ...settings.upstream, origin: simulator.url } },
    version: 'test',
    nodeVersion: process.versions.node,
    env: {},
    clock,
    logTo: {
      write: (text: string) => {
        const line = JSON.parse(text) as Line;
        log.push(line);
        pair.onLine(line);
      },
    },
    file: null,
    load: () => Promise.reject(new Error('nothing to load again')),
  });
  return Object.assign(pair, { clock, simulator, instance, log });
}

/** Runs one cell on a proxy and a simulator of its own; what came of it, in the oracle's terms. */
export async function run(fault: FaultCase, operation: Operation, schedule: Schedule): Promise<Expected> {
  const pair = await startPair();
  const { simulator, instance, clock } = pair;
  try {
    const contactId = await seed(simulator);
    const before = { requests: simulator.requests().length, effects: simulator.effects().length };
    await arm(pair, fault, operation, schedule);
    const [method = ''] = operation.route.split(' ');
    const response = await fetch(instance.url + operation.target({ contactId }), {
      method,
      headers: { Authorization: 'Bearer matrix', 'Content-Type': 'application/json' },
      ...(operation.body === null ? {} : { body: JSON.stringify(operation.body) }),
    });
    const text = await response.text();
    // What was to land late has landed before the ledger is read.
    if (fault.meaning.lands === 'late') await clock.past(clock.wall() + LATE_BY_MS + 1000);
    const { duplicates } = simulator.stats();
    if (duplicates > 0) throw new Error(`${duplicates} duplicates`);
    // Without a token: another process of this machine, at a port that was its own a moment ago.
    const seen = simulator
      .requests()
      .slice(before.requests)
      .filter((request) => request.status !== 401);
    const strangers = seen.filter((request) => request.operation !== operation.route);
    if (strangers.length > 0) throw new Error(`unexpected requests: ${JSON.stringify(strangers)}`);
    return {
      ...answerOf(response, text),
      arrived: seen.length,
      effects: simulator.effects().length - before.effects,
      history: historyOf(pair.log),
      gapsMs: seen.slice(1).map(({ atMs }, i) => atMs - (seen[i]?.atMs ?? 0)),
    };
  } finally {
    await instance.stop(1000);
    await simulator.close();
  }
}

async function seed({ url }: Simulator): Promise<string> {
  const response = await fetch(`${url}/contacts`, {
    method: 'POST',
    headers: { Authorization: 'Bearer seed', Connection: 'close' },
    body: JSON.stringify({ role: 'user', email: 'seeded@example.com' }),
  });
  return ((await response.json()) as { id: string }).id;
}

async function arm(pair: Pair, { fault, onAccept }: FaultCase, { route }: Operation, { struck }: Schedule) {
  const { simulator } = pair;
  const first = struck[0] as number;
  const turnedAway = Array.from({ length: first - 1 }, (_, i) => i + 1);
  const rules = turnedAway.length === 0 ? [] : [{ match: route, nth: turnedAway, fault: TURNED_AWAY.fault ?? 'hang' }];
  if (fault !== null) {
    const match = onAccept === true ? {} : { match: route };
    simulator.setScenario({ rules: [{ ...match, nth: [...struck], fault }, ...rules] });
    return;
  }
  simulator.setScenario({ rules });
  let down = struck.includes(1);
  if (down) await simulator.refuse();
  // The listener follows the attempts: it changes while the proxy backs off.
  pair.onLine = (line) => {
    if (line['event'] !== 'attempt') return;
    const next = struck.includes((line['n'] as number) + 1);
    if (next !== down) void (next ? simulator.refuse() : simulator.accept());
    down = next;
  };
}

type Answer = Omit<Expected, 'arrived' | 'effects' | 'history' | 'gapsMs'>;

function answerOf({ status, headers }: Response, text: string): Answer {
  const said = new Map<string, unknown>();
  for (const [key, member] of parseDictionary(headers.get('holdfast') ?? '')) {
    const [value] = member as Item;
    said.set(key, typeof value === 'object' ? String(value) : value);
  }
  return {
    status,
    ...bodyOf(text),
    from: said.get('from') as Answer['from'],
    attempts: said.get('attempts') as number,
    verdict: said.get('verdict') as string,
    effect: said.get('effect') as Answer['effect'],
    reason: (said.get('reason') ?? null) as string | null,
    withheld: (said.get('withheld') ?? null) as string | null,
    retryAfter: headers.has('retry-after'),
  };
}

function bodyOf(text: string): Pick<Answer, 'code' | 'type'> {
  try {
    const { type, errors } = JSON.parse(text) as { type: string; errors?: { code: string }[] };
    return { code: errors?.[0]?.code ?? null, type };
  } catch {
    return { code: null, type: null };
  }
}

function historyOf(log: readonly Line[]): AttemptLine[] {
  return log
    .filter((line) => line['event'] === 'attempt')
    .map(({ verdict, status, failure, sent, effect, reason }) => {
      return { verdict, status, failure, sent, effect, reason } as AttemptLine;
    });
}
