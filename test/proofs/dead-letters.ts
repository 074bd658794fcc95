/**
 * `npm run proof:dead-letters [-- --rows N] [--rounds N] [--write]`: a ledger with 100,000 dead letters. How long lists, groups and
 * filters take, and what they do to the latency of live creates: rounds without them, with one a second (somebody who looks
 * around) and with four a second (several, or a program) take turns. Prints a table; --write keeps it in dead-letters.md.
 * About three minutes.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { percentile, spread } from '../../bench/stats.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { fillDead } from './dead-fill.ts';
import { finish, type Line } from './report.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '10' },
    write: { type: 'boolean', default: false },
  },
});
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const [rows, rounds] = [Number(values.rows), Number(values.rounds)];
/** Live creates per second, and how long a round is. */
const RATE = 100;
const ROUND_MS = 5000;
/** Between two queries, ms. */
const ASKED_EVERY_MS = 1000;
const PRESSED_EVERY_MS = 250;

const QUERIES: readonly (readonly [string, string])[] = [
  ['list', '/api/dead-letters?limit=50'],
  ['list, a later page', `/api/dead-letters?limit=50&cursor=${Math.round(rows / 2)}`],
  ['groups', '/api/dead-letters/groups?limit=100'],
  ['filter: endpoint and cause', '/api/dead-letters?endpoint=PUT%20%2Fcontacts%2F%7Bid%7D&cause=permanent'],
  ['filter: a rare context', '/api/dead-letters?context=run=77777'],
  ['filter: nothing fits', '/api/dead-letters?context=run=none&state=all'],
  ['filter: time', '/api/dead-letters?until=12h'],
  ['groups of a filter', '/api/dead-letters/groups?context=workflow=enrich'],
];

const folder = await mkdtemp(join(tmpdir(), 'holdfast-dead-'));
const data = join(folder, 'data');
process.stderr.write(`filling ${rows} dead letters\n`);
await fillDead(data, rows);
const simulator = await startSimulator({ port: 0, scenario: { quota: { limit: 100_000 } } });
const serve = await start();
const agent = new Agent({ keepAlive: true });
const took = new Map<string, number[]>();
/** The p99 of each round: a machine that stalls spoils one round and not the figure. */
const p99s: Record<'quiet' | 'asked' | 'pressed', number[]> = { quiet: [], asked: [], pressed: [] };
let made = 0;
let asks = 0;
try {
  await load(ROUND_MS);
  for (const [, path] of QUERIES) await ask(path);
  for (let round = 0; round < rounds; round++) {
    p99s.quiet.push(await load(ROUND_MS));
    p99s.asked.push(await loadWhileAsking(ASKED_EVERY_MS));
    p99s.pressed.push(await loadWhileAsking(PRESSED_EVERY_MS));
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
} finally {
  agent.destroy();
  serve.child.kill('SIGTERM');
  await new Promise((resolve) => serve.child.once('exit', resolve));
  await simulator.close();
  await rm(folder, { recursive: true, force: true });
}
report();

function report(): never {
  const [quiet, asked, pressed] = [median(p99s.quiet), median(p99s.asked), median(p99s.pressed)];
  const lines: Line[] = QUERIES.map(([name]) => ({
    what: `${name}: median of ${took.get(name)?.length ?? 0}, slowest ${Math.max(...(took.get(name) ?? [])).toFixed(0)} ms`,
    value: median(took.get(name) ?? []),
    unit: 'ms',
    atMost: 100,
  }));
  lines.push({
    what: 'p99 of live creates with one query a second',
    value: (100 * asked) / quiet - 100,
    unit: '% more',
    atMost: 10,
  });
  return finish({
    name: 'dead-letters',
    lines,
    seed: 1,
    write: values.write,
    beside:
      `${rows} dead letters in 300 groups; ${RATE} creates/s, ${rounds} rounds of ${ROUND_MS / 1000} s of each kind, taking turns. ` +
      `Median of the p99 of live creates: ${quiet.toFixed(1)} ms without queries, ${asked.toFixed(1)} with one a second, ` +
      `${pressed.toFixed(1)} with one every ${PRESSED_EVERY_MS} ms.`,
  });
}

function median(samples: readonly number[]): number {
  return spread(samples).median;
}

async function start(): Promise<{ child: ChildProcess; proxy: string; admin: string }> {
  const args = [
    'serve',
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
    '--upstream',
    simulator.url,
    '--data',
    data,
  ];
  const child = spawn(process.execPath, ['--max-semi-space-size=8', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '', HOLDFAST_LOG_LEVEL: 'info' },
  });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text) as { event: string; proxy: string; admin: string };
      if (line.event === 'listening') resolve({ child, proxy: line.proxy, admin: line.admin });
    });
  });
}

/** Open loop: a create is due every 1/RATE s, whatever became of those before. Gives the p99 of their ms. */
async function load(forMs: number): Promise<number> {
  const startedAt = performance.now();
  const calls: Promise<number>[] = [];
  for (let n = 0; n < (forMs * RATE) / 1000; n++) {
    await sleep(Math.max(0, startedAt + (n * 1000) / RATE - performance.now()));
    calls.push(create());
  }
  return percentile(
    (await Promise.all(calls)).toSorted((a, b) => a - b),
    0.99,
  );
}

function create(): Promise<number> {
  const body = JSON.stringify({ external_id: `live-${++made}`, email: `live-${made}@example.com` });
  return timed(`${serve.proxy}/contacts`, 'POST', body);
}

async function loadWhileAsking(everyMs: number): Promise<number> {
  const asking = new AbortController();
  const asked = keepAsking(everyMs, asking.signal);
  const p99 = await load(ROUND_MS);
  asking.abort();
  await asked;
  return p99;
}

async function keepAsking(everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const [name, path] = QUERIES[asks++ % QUERIES.length] as (typeof QUERIES)[number];
    const ms = await ask(path);
    const all = took.get(name);
    if (all === undefined) took.set(name, [ms]);
    else all.push(ms);
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}

function ask(path: string): Promise<number> {
  return timed(serve.admin + path, 'GET', null);
}

/** Ms until the whole answer is here; rejects unless it is a 200. */
function timed(url: string, method: string, body: string | null): Promise<number> {
  const sentAt = performance.now();
  const headers = body === null ? {} : { Authorization: 'Bearer t', 'Content-Type': 'application/json' };
  return new Promise((resolve, reject) => {
    const call = request(url, { method, agent, headers }, (answer) => {
      answer.resume();
      answer.once('end', () => {
        if (answer.statusCode === 200) resolve(performance.now() - sentAt);
        else reject(new Error(`${method} ${url}: ${answer.statusCode}`));
      });
    });
    call.once('error', reject);
    call.end(body);
  });
}
