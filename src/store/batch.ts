import type { DatabaseSync } from 'node:sqlite';
import { faultOf, isTaken } from './faults.ts';
import type { Ledgers } from './ledgers.ts';
import type { AnswerHead, Ending, Request, Result } from './protocol.ts';

/**
 * Runs the requests of a batch in one transaction with one fsync. A request that finds its id or key taken has done
 * nothing and ends alone; one that fails in another way may have done half, so all begins anew without it. Throws what
 * is the matter with the whole store; then nothing was kept.
 */
export function runBatch(
  database: DatabaseSync,
  ledgers: Ledgers,
  requests: readonly Request[],
  bytes: Uint8Array,
  directory: string,
): readonly Ending[] {
  const failed = new Map<Request, Ending>();
  for (;;) {
    const endings = runAll(database, ledgers, requests, bytes, directory, failed);
    if (endings !== null) return endings;
  }
}

function runAll(
  database: DatabaseSync,
  ledgers: Ledgers,
  requests: readonly Request[],
  bytes: Uint8Array,
  directory: string,
  failed: Map<Request, Ending>,
): readonly Ending[] | null {
  const endings: Ending[] = [];
  const bodies = new Bodies(bytes);
  database.exec('BEGIN');
  try {
    for (const request of requests) {
      const mine = bodies.of(request);
      const ending = failed.get(request) ?? runOne(ledgers, request, mine, directory);
      endings.push(ending);
      if (ending.kind === 'failed' && !failed.has(request)) {
        failed.set(request, ending);
        database.exec('ROLLBACK');
        return null;
      }
    }
    database.exec('COMMIT');
    return endings;
  } catch (error) {
    // NOTE Some errors (disk full) have rolled back already.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function runOne(ledgers: Ledgers, request: Request, bodies: readonly (Uint8Array | null)[], directory: string): Ending {
  try {
    return { kind: 'done', result: dispatch(ledgers, request, bodies) };
  } catch (error) {
    if (isTaken(error) && request[0] === 'insert') return { kind: 'exists', id: String(request[1].values[0]) };
    if (isTaken(error) && request[0] === 'keepDead') return { kind: 'exists', id: request[2].id };
    if (isTaken(error) && request[0] === 'change') return { kind: 'exists', id: request[1] };
    if (faultOf(error, directory) !== null) throw error;
    return { kind: 'failed', message: String(error) };
  }
}

function dispatch(
  { ledger, dead, redrives, queue }: Ledgers,
  request: Request,
  bodies: readonly (Uint8Array | null)[],
): Result {
  switch (request[0]) {
    case 'insert':
      return ledger.insert(request[1], bodies[0] ?? null, bodies[1] ?? null) as undefined;
    case 'change':
      return ledger.change(request[1], request[2], request[3], request[4], bodies[0] ?? null);
    case 'delivered':
      return ledger.delivered(request[1]) as undefined;
    case 'remove':
      return ledger.remove(request[1]) as undefined;
    case 'get':
      return ledger.get(request[1]);
    case 'byKey':
      return ledger.byKey(request[1], request[2]);
    case 'open':
      return ledger.open(request[1]);
    case 'due':
      return ledger.due(request[1], request[2], request[3]);
    case 'claimed':
      return ledger.claimed(request[1], request[2], request[3], request[4]);
    case 'keepGate':
      return ledger.keepGate(request[1]) as undefined;
    case 'gates':
      return ledger.gates(request[1]);
    case 'expire':
      return ledger.expire(request[1], request[2]);
    case 'keepDead':
      return dead.keep(request[1], request[2], bodies[0] ?? null, bodies[1] ?? null);
    case 'supersede':
      return dead.supersede(request[1]);
    case 'listDead':
      return dead.list(request[1], request[2], request[3]);
    case 'deadGroups':
      return dead.groups();
    case 'deadSums':
      return dead.sums(request[1], request[2]);
    case 'deadSamples':
      return dead.samples(request[1]);
    case 'countDead':
      return dead.counts();
    case 'purgeDead':
      return dead.purge(request[1], request[2]);
    case 'evictable':
      return dead.evictable(request[1], request[2]);
    case 'evict':
      return dead.evict(request[1]);
    case 'queueDue':
      return queue.due(request[1], request[2], request[3]);
    case 'queuedBefore':
      return queue.before(request[1]);
    case 'queueDepth':
      return queue.depth();
    case 'redrives':
      return redrives.run(request[1]) as Result;
  }
}

/** Takes the bodies of requests off the block of bytes, in order. */
class Bodies {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  of(request: Request): readonly (Uint8Array | null)[] {
    if (request[0] === 'insert' || request[0] === 'keepDead') {
      return [this.#next(request[1].body), this.#ofAnswer(request[1].answer)];
    }
    return request[0] === 'change' ? [this.#ofAnswer(request[4])] : [];
  }

  #ofAnswer(head: AnswerHead | null | false): Uint8Array | null {
    return head === null || head === false ? null : this.#next(head.body);
  }

  #next(length: number | null): Uint8Array | null {
    if (length === null) return null;
    const from = this.#at;
    this.#at += length;
    return this.#bytes.subarray(from, this.#at);
  }
}
