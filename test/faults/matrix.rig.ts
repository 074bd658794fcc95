import { readFileSync } from 'node:fs';
import { type Item, parseDictionary } from 'structured-headers';
import { type Instance, startInstance } from '../../src/assemble.ts';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { SeenRequest } from '../../src/simulator/base/ledger.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
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
    # Cells on one proxy must not feel each other.
    breaker: { min_requests: 1000, last: 1000 }
profile: matrix
upstream: { breaker: { failures: 1000 } }
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

async function stopPair({ instance, simulator }: Pair): Promise<void> {
  await instance.stop(1000);
  await simulator.close();
}

/** Before the queue looks again for what stayed unknown (15 minutes). */
const USED_FOR_MS = 600_000;
const PAIRS = 40;
const idle: Pair[] = [];
const waiting: ((pair: Pair) => void)[] = [];
let starting: Promise<unknown> = Promise.resolve();

/** One start after the other: a burst of them would look like a slow upstream to the cells that run. */
function startNext(): Promise<Pair> {
  const pair = starting.then(startPair);
  starting = pair.catch(() => {});
  return pair;
}

/** Starts the pairs that `run` uses. */
export async function startAll(): Promise<void> {
  for (let i = 0; i < PAIRS; i += 1) idle.push(await startNext());
}

/** Ends them. */
export async function stopAll(): Promise<void> {
  await Promise.all(idle.splice(0).map(stopPair));
}

/** Calls `use` with a pair that no other cell uses meanwhile. */
async function withPair<T>(use: (pair: Pair) => Promise<T>): Promise<T> {
  let pair = idle.pop() ?? (await new Promise<Pair>((resolve) => waiting.push(resolve)));
  try {
    return await use(pair);
  } finally {
    if (pair.clock.now() > USED_FOR_MS) {
      await stopPair(pair);
      pair = await startNext();
    }
    pair.log.length = 0;
    const next = waiting.shift();
    if (next === undefined) idle.push(pair);
    else next(pair);
  }
}

/** Calls `use` with a pair that has no connection yet, in the place of one that has. */
function withNewPair<T>(use: (pair: Pair) => Promise<T>): Promise<T> {
  return withPair(async () => {
    const pair = await startNext();
    try {
      return await use(pair);
    } finally {
      await stopPair(pair);
    }
  });
}

/** Runs one cell; what came of it, in the oracle's terms. */
export function run(fault: FaultCase, operation: Operation, schedule: Schedule): Promise<Expected> {
  const strikesConnections = fault.fault === null || fault.onAccept === true;
  const cell = (pair: Pair): Promise<Expected> => new CellRun(pair, operation).run(fault, schedule);
  return strikesConnections ? withNewPair(cell) : withPair(cell);
}

let cells = 0;

class CellRun {
  readonly #pair: Pair;
  readonly #operation: Operation;
  readonly #mark = String((cells += 1));
  readonly #token = `Bearer matrix-${this.#mark}`;

  constructor(pair: Pair, operation: Operation) {
    this.#pair = pair;
    this.#operation = operation;
  }

  async run(fault: FaultCase, schedule: Schedule): Promise<Expected> {
    const { simulator, clock, log } = this.#pair;
    const { route, known, keyed } = this.#operation;
    simulator.clearFaults();
    const contactId = await this.#seed();
    const seeding = simulator.requests().at(-1) as SeenRequest;
    await arm(this.#pair, fault, this.#operation, schedule);
    const { response, text } = await this.#call(contactId);
    // What was to land late has landed before the ledger is read.
    if (fault.meaning.lands === 'late') await clock.past(clock.wall() + LATE_BY_MS + 1000);
    // Without the token: another process of this machine, at a port that was its own a moment ago.
    const seen = simulator.requests().filter(({ n, tokenHash }) => n > seeding.n && tokenHash === seeding.tokenHash);
    const sent = seen.filter((request) => request.operation === route);
    const looks = seen.filter((request) => request.operation !== route);
    const strangers = looks.filter((look) => !known?.asked.includes(look.operation));
    if (strangers.length > 0) throw new Error(`unexpected requests: ${JSON.stringify(strangers)}`);
    const answer = answerOf(response, text);
    const history = historyOf(log);
    const again = keyed === true ? await this.#again(contactId, answer, text) : null;
    const { duplicates } = simulator.stats();
    if (duplicates > 0) throw new Error(`${duplicates} duplicates`);
    return {
      ...answer,
      arrived: sent.length,
      looked: looks.length > 0,
      again,
      effects: simulator.effects().filter((effect) => {
        return effect.request > seeding.n && effect.tokenHash === seeding.tokenHash;
      }).length,
      history,
      gapsMs: sent.slice(1).map(({ atMs }, i) => atMs - (sent[i]?.atMs ?? 0)),
    };
  }

  async #seed(): Promise<string> {
    const response = await fetch(`${this.#pair.simulator.url}/contacts`, {
      method: 'POST',
      headers: { Authorization: this.#token, Connection: 'close' },
      body: JSON.stringify({ role: 'user', email: `seeded-${this.#mark}@example.com` }),
    });
    return ((await response.json()) as { id: string }).id;
  }

  async #call(contactId: string): Promise<{ response: Response; text: string }> {
    const { route, target, body, keyed } = this.#operation;
    const seeded = { contactId, mark: this.#mark };
    const [method = ''] = route.split(' ');
    const response = await fetch(this.#pair.instance.url + target(seeded), {
      method,
      headers: {
        Authorization: this.#token,
        'Content-Type': 'application/json',
        ...(keyed ? { 'Idempotency-Key': `key-${this.#mark}` } : {}),
      },
      ...(body === null ? {} : { body: JSON.stringify(body(seeded)) }),
    });
    return { response, text: await response.text() };
  }

  /** A replay is the first answer, byte by byte. */
  async #again(contactId: string, first: Answer, firstText: string): Promise<Expected['again']> {
    if (first.status > 299 && first.effect === 'none') return null;
    this.#pair.simulator.setScenario({});
    const { response, text } = await this.#call(contactId);
    const { status, from } = answerOf(response, text);
    if (from === 'replay' && text !== firstText) throw new Error(`replayed ${text} for ${firstText}`);
    return { status, from };
  }
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

type Answer = Omit<Expected, 'arrived' | 'looked' | 'again' | 'effects' | 'history' | 'gapsMs'>;

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

/** Looks are calls of their own. */
function historyOf(log: readonly Line[]): AttemptLine[] {
  const attempts = log.filter((line) => line['event'] === 'attempt');
  return attempts
    .filter((line) => line['id'] === attempts[0]?.['id'])
    .map(({ verdict, status, failure, sent, effect, reason }) => {
      return { verdict, status, failure, sent, effect, reason } as AttemptLine;
    });
}
