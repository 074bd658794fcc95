/**
 * Calls with a key: one operation per key and scope (semantics §6). The key is claimed in memory, synchronously, before
 * anything is looked up, so that two equal calls of one moment are one; then the answers kept in memory are asked, then
 * the store. A live run is never taken over by a timer: whoever waited long enough is told to come back.
 */

import { LRUCache } from 'lru-cache';
import type { Exchange, OperationRun } from '../core/exchange.ts';
import type { Operation, StoredAnswer } from '../core/operation.ts';
import { keyExpiresAtMs } from '../core/operation-record.ts';
import { acceptedAnswer, isOver } from '../core/operation-view.ts';
import type { HoldfastCode, Outcome, Refused } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import { StoreUnavailable } from '../core/store.ts';
import { copied, outcomeUnknown, refusal, replayOf } from './idempotency-answer.ts';
import { earlierOf, takeOver } from './idempotency-earlier.ts';
import { type Ending, LiveRun, type RunParts } from './idempotency-run.ts';
import { Awaited, type WaitParts, waitFor } from './idempotency-wait.ts';

/** What keyed calls are made of. */
export interface KeyedParts extends RunParts, WaitParts {
  readonly newId: () => string;
}

/** The key of a call, and what a second call under it must equal. */
export interface Key {
  readonly hash: string;
  readonly fingerprint: string;
  readonly identity: string;
}

/** A key in use. */
interface Claim {
  /** Null while only the store knows it: the operation of an earlier process. */
  fingerprint: string | null;
  id: string | null;
  /** Null when nothing ran: whoever waited looks again. */
  readonly ended: Awaited<Ending | null>;
}

interface Finished {
  readonly id: string;
  readonly fingerprint: string;
  readonly answer: StoredAnswer;
  /** Epoch ms. */
  readonly expiresAtMs: number;
}

const FINISHED_MAX = 10_000;
const FINISHED_BYTES_MAX = 16 * 1024 * 1024;
/** Beside the body: the entry, its fields and their strings. */
const ENTRY_BYTES = 1024;
const COME_BACK_MS = 1000;

/** Serves calls with a key. */
export class KeyedCalls {
  readonly #parts: KeyedParts;
  readonly #claims = new Map<string, Claim>();
  readonly #finished = new LRUCache<string, Finished>({
    max: FINISHED_MAX,
    maxSize: FINISHED_BYTES_MAX,
    sizeCalculation: ({ answer }) => ENTRY_BYTES + (answer.body?.length ?? 0),
  });

  constructor(parts: KeyedParts) {
    this.#parts = parts;
  }

  /** Runs, joins, replays or refuses. */
  async serve(exchange: Exchange, inner: Service, key: Key): Promise<Outcome> {
    const outcome = await this.#serve(exchange, inner, key);
    // Not every such call gets as far as the deadline, where the others give back their place in the waiting room.
    if (outcome.settled === undefined) this.#parts.waiting.ended(exchange);
    return outcome;
  }

  async #serve(exchange: Exchange, inner: Service, key: Key): Promise<Outcome> {
    const { clock, events } = this.#parts;
    const { preference, policy } = exchange;
    const waitMs = preference === null ? policy.idempotency.waitMs : (preference.waitMs ?? 0);
    const lastMs = Math.min(clock.now() + waitMs, exchange.deadlineAtMs);
    let joined = false;
    for (;;) {
      const claim = this.#claims.get(key.hash);
      if (claim === undefined) return this.#lead(exchange, inner, key);
      if (claim.fingerprint === null) {
        const row = await this.#read(exchange.scope, key.hash);
        if (row === 'unavailable') return storeUnavailable();
        claim.fingerprint ??= row?.fingerprint ?? '';
        continue;
      }
      exchange.operation = claim.id === null ? null : known(claim.id);
      if (claim.fingerprint !== key.fingerprint) return this.#reused(exchange);
      if (!joined) events.idempotency(exchange, 'joined');
      joined = true;
      const end = await waitFor(this.#parts, exchange, claim.ended, lastMs);
      if (!('value' in end)) return end.refused ?? this.#notYet(exchange, key);
      const outcome = end.value === null ? null : sharedOf(end.value);
      if (end.value === null || outcome === null) continue;
      exchange.operation = known(end.value.id);
      return outcome;
    }
  }

  /** Runs an operation of an earlier process once more, and whoever sends its key meanwhile joins. Null: its key is in use. */
  resume(exchange: Exchange, hash: string, begin: () => LiveRun): Promise<Outcome> | null {
    if (this.#claims.has(hash)) return null;
    const { claim, resolve } = this.#claim(hash, null);
    const run = begin();
    claim.id = run.names.id;
    claim.fingerprint = run.names.fingerprint;
    return this.#follow(exchange, run, hash, resolve);
  }

  #claim(hash: string, fingerprint: string | null): { claim: Claim; resolve: (ending: Ending | null) => void } {
    const { promise, resolve } = Promise.withResolvers<Ending | null>();
    const claim: Claim = { fingerprint, id: null, ended: new Awaited(promise) };
    this.#claims.set(hash, claim);
    return {
      claim,
      resolve: (ending) => {
        this.#claims.delete(hash);
        resolve(ending);
      },
    };
  }

  async #lead(exchange: Exchange, inner: Service, key: Key): Promise<Outcome> {
    const { claim, resolve } = this.#claim(key.hash, key.fingerprint);
    let found: Outcome | LiveRun;
    try {
      found = await this.#find(exchange, inner, key);
    } catch (error) {
      resolve(null);
      throw error;
    }
    if (found instanceof LiveRun) {
      claim.id = found.names.id;
      return this.#follow(exchange, found, key.hash, resolve);
    }
    resolve(null);
    return found;
  }

  async #follow(
    exchange: Exchange,
    run: LiveRun,
    hash: string,
    resolve: (ending: Ending | null) => void,
  ): Promise<Outcome> {
    void this.#atEnd(exchange, run, hash, resolve);
    const outcome = await run.answer;
    // A look that could not be made says nothing of what the earlier run did.
    const doubted = (exchange.operation?.doubt ?? null) !== null;
    return doubted && outcome.kind !== 'answered' && outcome.verdict.effect === 'none' ? outcomeUnknown() : outcome;
  }

  async #atEnd(
    exchange: Exchange,
    run: LiveRun,
    hash: string,
    resolve: (ending: Ending | null) => void,
  ): Promise<void> {
    const ending = await run.ended;
    if (ending.answer !== null) this.#keep(exchange, run, hash, ending.answer);
    resolve(ending);
  }

  #keep(exchange: Exchange, { names, createdAtMs }: LiveRun, hash: string, answer: StoredAnswer): void {
    const { id, fingerprint } = names;
    if (fingerprint === null) return;
    const expiresAtMs = keyExpiresAtMs(createdAtMs, this.#parts.clock.wall(), exchange.policy.idempotency);
    this.#finished.set(hash, { id, fingerprint, answer: copied(answer), expiresAtMs });
  }

  /** What is known of the key: an outcome for the caller, or a run that has begun. */
  async #find(exchange: Exchange, inner: Service, key: Key): Promise<Outcome | LiveRun> {
    const { clock } = this.#parts;
    const nowMs = clock.wall();
    const kept = this.#finished.get(key.hash);
    if (kept !== undefined && kept.expiresAtMs > nowMs) return this.#replay(exchange, key, kept);
    this.#finished.delete(key.hash);
    const row = await this.#read(exchange.scope, key.hash);
    if (row === 'unavailable') return storeUnavailable();
    if (row === null) return this.#begin(exchange, inner, key);
    if (row.state === 'reserved' || (row.expiresAtMs !== null && row.expiresAtMs <= nowMs)) {
      // Of a process that died before it sent, or over its time.
      return (await this.#remove(row.id)) ? this.#begin(exchange, inner, key) : storeUnavailable();
    }
    if (row.state === 'succeeded') return this.#replay(exchange, key, row);
    exchange.operation = { id: row.id, recorded: true, sentAtMs: row.sentAtMs, doubt: null };
    if (row.fingerprint !== key.fingerprint) return this.#reused(exchange);
    if (row.state === 'redriving' || (row.handedOver && !isOver(row))) return this.#underWay(exchange, row);
    takeOver(exchange, row);
    const names = { id: row.id, keyHash: key.hash, fingerprint: key.fingerprint, identity: row.identity };
    return new LiveRun(this.#parts, exchange, inner, names, await earlierOf(exchange, row));
  }

  #begin(exchange: Exchange, inner: Service, { hash, fingerprint, identity }: Key): LiveRun {
    const { events, newId } = this.#parts;
    const run = new LiveRun(this.#parts, exchange, inner, { id: newId(), keyHash: hash, fingerprint, identity }, null);
    events.idempotency(exchange, 'new');
    return run;
  }

  #replay(exchange: Exchange, key: Key, kept: Pick<Operation, 'id' | 'fingerprint' | 'answer'>): Outcome {
    exchange.operation = known(kept.id);
    if (kept.fingerprint !== key.fingerprint) return this.#reused(exchange);
    this.#parts.events.idempotency(exchange, 'replayed');
    return replayOf(kept.answer);
  }

  #reused(exchange: Exchange): Refused {
    this.#parts.events.idempotency(exchange, 'reused');
    return refusal(
      'holdfast_key_reused',
      'key_reused',
      'This Idempotency-Key belongs to another request: method, target, version, content type or body differ. Nothing was sent; use a key of its own for each request.',
      null,
    );
  }

  async #notYet(exchange: Exchange, key: Key): Promise<Outcome> {
    const row = exchange.preference === null ? null : await this.#read(exchange.scope, key.hash);
    return this.#underWay(exchange, row === 'unavailable' ? null : row);
  }

  /** Handed over once is handed over: the same address is given to whoever asks for it that way. */
  #underWay(exchange: Exchange, row: Operation | null): Outcome {
    if (exchange.preference === null || row?.handedOver !== true) return this.#inFlight(exchange);
    this.#parts.events.idempotency(exchange, 'joined');
    return acceptedAnswer(row, null, this.#parts.clock.wall());
  }

  #inFlight(exchange: Exchange): Refused {
    this.#parts.events.idempotency(exchange, 'in_flight');
    return refusal(
      'holdfast_in_flight',
      'in_flight',
      'The call under this Idempotency-Key is still running. Nothing more was sent; send it again with the same key to get its answer.',
      COME_BACK_MS,
    );
  }

  /** The row under a key, once the store knows all that is known of it; null when there is none. */
  async #read(scope: string, hash: string): Promise<Operation | null | 'unavailable'> {
    const { store, finals } = this.#parts;
    try {
      const row = await store.byKey(scope, hash);
      if (row === null || !finals.isOpen(row.id)) return row;
      return (await finals.settle(row.id)) ? await store.byKey(scope, hash) : 'unavailable';
    } catch (error) {
      if (error instanceof StoreUnavailable) return 'unavailable';
      throw error;
    }
  }

  /** False when the store would not. */
  async #remove(id: string): Promise<boolean> {
    try {
      await this.#parts.store.remove(id);
      return true;
    } catch (error) {
      if (error instanceof StoreUnavailable) return false;
      throw error;
    }
  }
}

/** The operation that a call meets, for the log and the answer. */
function known(id: string): OperationRun {
  return { id, recorded: true, sentAtMs: null, doubt: null };
}

/** What a joiner is given; null when it does better to look for itself. */
function sharedOf({ outcome, answer, cutShort }: Ending): Outcome | null {
  if (answer !== null) return replayOf(answer);
  if (outcome === null || (cutShort && outcome.kind !== 'answered')) return null;
  // A wait that was too long for one caller may not be for another.
  if (outcome.kind === 'refused' && !REFUSED_FOR_ALL.has(outcome.code)) return null;
  const { settled: _, ...shared } = outcome;
  return shared;
}

const REFUSED_FOR_ALL: ReadonlySet<HoldfastCode> = new Set([
  'holdfast_breaker_open',
  'holdfast_overloaded',
  'holdfast_store_unavailable',
  'holdfast_outcome_unknown',
]);

function storeUnavailable(): Refused {
  return refusal(
    'holdfast_store_unavailable',
    'store_unavailable',
    'A call with an Idempotency-Key must be recorded before it is sent, and the ledger is unavailable; nothing was sent. Send it again later.',
    COME_BACK_MS,
  );
}
