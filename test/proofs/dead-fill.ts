import { createHash } from 'node:crypto';
import type { AttemptRecord } from '../../src/core/exchange.ts';
import type { DeadReason, Operation } from '../../src/core/operation.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { newId } from '../../src/ops/ids.ts';
import { runBatch } from '../../src/store/batch.ts';
import { openLedger } from '../../src/store/files.ts';
import { openKeys } from '../../src/store/keys.ts';
import { ledgersOn } from '../../src/store/ledgers.ts';
import type { Request } from '../../src/store/protocol.ts';
import { blockOf, packDead } from '../../src/store/requests.ts';
import { Sealer } from '../../src/store/seal.ts';

const BATCH = 5000;
const GROUPS = 300;
const DAY_MS = 86_400_000;
const BODY = Buffer.alloc(512, '{"email":"somebody@example.com"}');
const ENDPOINTS = ['POST /contacts', 'PUT /contacts/{id}', 'POST /contacts/{id}/notes', 'POST /events'];
const REASONS: readonly DeadReason[] = ['exhausted', 'permanent', 'unknown', 'interrupted'];
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Makes a ledger with so many dead letters of the last day, by its own statements, in large transactions without fsync. */
export async function fillDead(directory: string, rows: number): Promise<void> {
  const { sealing } = await openKeys(directory);
  const database = openLedger(directory, sealing);
  const ledgers = ledgersOn(database, new Sealer(sealing));
  database.exec('PRAGMA synchronous = OFF');
  for (let done = 0; done < rows; done += BATCH) {
    const count = Math.min(BATCH, rows - done);
    const packed = Array.from({ length: count }, (_, i) => packDead(deadLetter(done + i, rows)));
    const requests = JSON.parse(`[${packed.map(({ json }) => json).join()}]`) as Request[];
    runBatch(database, ledgers, requests, blockOf(packed), directory);
  }
  database.close();
}

function deadLetter(n: number, rows: number): Operation {
  const group = n % GROUPS;
  const endpoint = ENDPOINTS[group % ENDPOINTS.length] as string;
  const diedAtMs = Date.now() - Math.round((DAY_MS * (rows - n)) / rows);
  const deadReason = REASONS[Math.floor(group / ENDPOINTS.length) % REASONS.length] as DeadReason;
  return {
    id: newId(systemClock),
    kind: 'outbound',
    endpoint,
    operationClass: endpoint.startsWith('PUT') ? 'idempotent' : 'create',
    method: endpoint.split(' ')[0] as string,
    target: `/contacts/${n}`,
    headers: ['Content-Type', 'application/json', 'Accept', 'application/json', 'Intercom-Version', '2.14'],
    body: BODY,
    bodyKept: true,
    scope: hashOf('scope').slice(0, 32),
    credentialRef: '0123456789ab',
    credential: 'Bearer dG9rOjAxMjM0NTY3ODlhYmNkZWY',
    keyHash: null,
    fingerprint: null,
    identity: hashOf(`identity ${n}`),
    context: { workflow: n % 2 === 0 ? 'enrich' : 'import', run: String(n) },
    parent: null,
    state: deadReason === 'unknown' ? 'unknown' : 'dead',
    effect: deadReason === 'unknown' ? 'unknown' : 'none',
    reason: 'status_503',
    deadReason,
    createdAtMs: diedAtMs - 20_000,
    updatedAtMs: diedAtMs,
    sentAtMs: diedAtMs - 20_000,
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    delivered: false,
    looks: 0,
    deadAtMs: diedAtMs,
    causeId: hashOf(`cause ${group}`).slice(0, 12),
    causeLabel: `${endpoint} 503 service_unavailable: cause ${group}`,
    count: 1,
    formerKeyHash: null,
    naturalKey: hashOf(`natural ${n}`),
    configHash: 'abcdef012345',
    handedOver: false,
    lane: null,
    resource: null,
    supersededBy: null,
    maybeSupersededBy: null,
    redriveId: null,
    attempts: Array.from({ length: 6 }, (_, i) => attempt(i + 1, diedAtMs)),
  };
}

function attempt(n: number, atMs: number): AttemptRecord {
  return {
    n,
    startedAtMs: atMs,
    durationMs: 120,
    status: 503,
    failure: null,
    sent: 'yes',
    verdict: 'transient',
    reason: 'status_503',
    effect: 'none',
    waitedMs: 900,
    waitReason: 'backoff',
    requestId: 'r',
    code: 'service_unavailable',
    excerpt: 'The service is unavailable, please try again later.',
  };
}
