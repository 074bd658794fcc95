/** What an operation costs the ledger: the store alone, without a proxy around it. */

import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Operation, OperationChange } from '../src/core/operation.ts';
import { systemClock } from '../src/ops/clock.ts';
import { newId } from '../src/ops/ids.ts';
import { runBatch } from '../src/store/batch.ts';
import { openLedger } from '../src/store/files.ts';
import { openKeys } from '../src/store/keys.ts';
import { ledgersOn } from '../src/store/ledgers.ts';
import type { Request } from '../src/store/protocol.ts';
import { blockOf, packChange, packInsert } from '../src/store/requests.ts';
import { Sealer } from '../src/store/seal.ts';
import { openStore, type SqliteStore } from '../src/store/sqlite.ts';
import { percentile } from './stats.ts';

const BODY = Buffer.alloc(2048, '{"email":"somebody@example.com"}');
/** Rows of an old ledger are of the usual kind: a create of half a kilobyte, answered. */
const OLD_BODY = Buffer.alloc(512, 'x');
const FILL_BATCH = 5000;
const DAY_MS = 86_400_000;

let objects = 0;

/** A store in a folder of its own. */
export interface Bed {
  readonly directory: string;
  readonly store: SqliteStore;
  readonly close: () => Promise<void>;
}

/** Makes a ledger that has `rows` finished operations, in a folder below `parent`. */
export async function makeBed(parent: string, rows: number): Promise<Bed> {
  const directory = mkdtempSync(join(parent, 'holdfast-ledger-'));
  const keys = await openKeys(directory);
  fill(directory, keys.sealing, rows);
  const store = await openStore({ directory, keys, clock: systemClock, onHealth: () => {} });
  const close = async (): Promise<void> => {
    await store.close();
    rmSync(directory, { recursive: true });
  };
  return { directory, store, close };
}

/** Median of a write of 4 KiB at the end of a file with fdatasync, ms: what a commit costs at the least. */
export function fsyncP50(directory: string, times = 300): number {
  const file = join(directory, 'fsync-probe');
  const descriptor = openSync(file, 'w');
  const page = randomBytes(4096);
  const taken: number[] = [];
  for (let n = 0; n < times; n++) {
    const from = performance.now();
    writeSync(descriptor, page);
    fdatasyncSync(descriptor);
    taken.push(performance.now() - from);
  }
  closeSync(descriptor);
  rmSync(file);
  return percentile(
    taken.toSorted((a, b) => a - b),
    0.5,
  );
}

/** A closed loop. */
export interface Sustained {
  readonly perSecond: number;
  /** All threads, µs per operation (insert, ending, delivery). */
  readonly cpuUs: number;
  /** The main thread alone, µs per call of the store. */
  readonly mainUsPerCall: number;
  readonly callsPerCommit: number;
}

/** Runs operations from `callers` at once for `forMs`. */
export async function sustain(store: SqliteStore, callers: number, forMs: number): Promise<Sustained> {
  const until = performance.now() + forMs;
  const batches = store.batches;
  const cpu = process.cpuUsage();
  const main = process.threadCpuUsage();
  const from = performance.now();
  let done = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      await operate(store);
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - from) / 1000;
  const used = process.cpuUsage(cpu);
  const usedByMain = process.threadCpuUsage(main);
  return {
    perSecond: done / seconds,
    cpuUs: (used.user + used.system) / done,
    mainUsPerCall: (usedByMain.user + usedByMain.system) / (done * 3),
    callsPerCommit: (done * 3) / (store.batches - batches),
  };
}

/** An open loop: ms from the intended start to both commits done. */
export interface Paced {
  readonly p50: number;
  readonly p99: number;
}

/** Starts operations at a steady rate for `forMs`, whatever becomes of those before. */
export async function pace(store: SqliteStore, perSecond: number, forMs: number): Promise<Paced> {
  const taken: number[] = [];
  const running: Promise<void>[] = [];
  const from = performance.now();
  const count = Math.round((forMs / 1000) * perSecond);
  for (let n = 0; n < count; n++) {
    const intendedAt = from + (n * 1000) / perSecond;
    // Timers are a millisecond late or more: waiting for the commit is measured, not the timer.
    const early = intendedAt - performance.now();
    if (early > 0) await wait(early);
    const startedAt = Math.max(intendedAt, performance.now());
    running.push(operate(store).then((inserted) => void taken.push(inserted - startedAt)));
  }
  await Promise.all(running);
  const sorted = taken.toSorted((a, b) => a - b);
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

/** One keyed create: its row, its ending, its delivery. Resolves with the time of the second commit. */
async function operate(store: SqliteStore): Promise<number> {
  const operation = created(BODY);
  await store.insert(operation);
  await store.change(operation.id, ended(BODY));
  const at = performance.now();
  store.delivered(operation.id);
  return at;
}

/** Written with the ledger's own statements, in large transactions and without fsync. */
function fill(directory: string, sealingKey: Buffer, rows: number): void {
  if (rows === 0) return;
  const database = openLedger(directory, sealingKey);
  const ledgers = ledgersOn(database, new Sealer(sealingKey));
  database.exec('PRAGMA synchronous = OFF');
  for (let left = rows; left > 0; left -= FILL_BATCH) {
    const packed = Array.from({ length: Math.min(FILL_BATCH, left) }, () => {
      const operation = created(OLD_BODY);
      return [packInsert(operation), packChange(operation.id, { ...ended(OLD_BODY), delivered: true }, null)];
    }).flat();
    const requests = JSON.parse(`[${packed.map(({ json }) => json).join()}]`) as Request[];
    runBatch(database, ledgers, requests, blockOf(packed), directory);
  }
  database.close();
}

function created(body: Buffer): Operation {
  const id = newId(systemClock);
  const nowMs = Date.now();
  return {
    id,
    kind: 'outbound',
    endpoint: 'POST /contacts',
    operationClass: 'create',
    method: 'POST',
    target: '/contacts',
    headers: ['Content-Type', 'application/json', 'Accept', 'application/json', 'Intercom-Version', '2.14'],
    body,
    bodyKept: true,
    scope: '0123456789abcdef0123456789abcdef',
    credentialRef: '0123456789ab',
    credential: 'Bearer dG9rOjAxMjM0NTY3ODlhYmNkZWY',
    keyHash: hashOf(`key ${id}`),
    fingerprint: hashOf(`fingerprint ${id}`),
    identity: hashOf(`identity ${id}`),
    context: null,
    parent: null,
    state: 'sent',
    effect: 'none',
    reason: 'ok',
    deadReason: null,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    sentAtMs: nowMs,
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    delivered: false,
    looks: 0,
    deadAtMs: null,
    causeId: null,
    causeLabel: null,
    count: 1,
    formerKeyHash: null,
    naturalKey: null,
    configHash: null,
    handedOver: false,
    lane: null,
    resource: null,
    supersededBy: null,
    maybeSupersededBy: null,
    redriveId: null,
    attempts: [],
  };
}

function ended(body: Buffer): OperationChange {
  const nowMs = Date.now();
  return {
    state: 'succeeded',
    updatedAtMs: nowMs,
    effect: 'applied',
    expiresAtMs: nowMs + DAY_MS,
    answer: { status: 200, headers: ['Content-Type', 'application/json', 'X-Request-Id', 'r'], body },
    answerId: nextObjectId(nowMs),
    attempts: [
      {
        n: 1,
        startedAtMs: nowMs,
        durationMs: 120.25,
        status: 200,
        failure: null,
        sent: 'yes',
        verdict: 'ok',
        reason: 'ok',
        effect: 'applied',
        waitedMs: 0,
        waitReason: null,
        requestId: 'r',
      },
    ],
  };
}

/** Intercom's ids are those of MongoDB for contacts, numbers that grow for the rest: either way they come in order. */
function nextObjectId(nowMs: number): string {
  objects++;
  return `${Math.floor(nowMs / 1000).toString(16)}1bb69f9f21${objects.toString(16).padStart(6, '0')}`;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
