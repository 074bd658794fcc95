/**
 * One row of a redrive: read, taken, tried once, written down. It is taken by its state, `redriving`, which it keeps on the
 * wire, too: no other run may follow upon that, so that no recovery, no queue, no second redrive and no caller sends it
 * beside this one. Its key is its own again meanwhile. That it was sent is written before the wire all the same: after a
 * crash the ledger says how far it came. What ends it, its new state and its result, is one commit.
 */

import type { Exchange } from '../core/exchange.ts';
import type { Operation, OperationChange, StoredAnswer } from '../core/operation.ts';
import { exchangeOfOperation } from '../core/operation-exchange.ts';
import { keyExpiresAtMs } from '../core/operation-record.ts';
import { type Outcome, streamOf } from '../core/outcome.ts';
import { answerIdOf } from '../core/reconcile.ts';
import { isDetectable } from '../core/recovery.ts';
import {
  askedAtMs,
  isTooLate,
  planRow,
  type Redrive,
  type RedriveRow,
  type RedriveStore,
  type RowPlan,
  type RowResult,
} from '../core/redrive.ts';
import { keyOf, ON_WIRE, type RowEnding, rowEnding } from '../core/redrive-ending.ts';
import { resourceOf } from '../core/resource.ts';
import type { Service } from '../core/service.ts';
import type { EndpointMatch, Settings } from '../core/settings.ts';
import { OperationExists, type Store, StoreUnavailable } from '../core/store.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import { couldNotLook, laterOf, type RowLater } from './redrive-later.ts';

/** What rows are run with. */
export interface RedriveRowParts {
  readonly store: Pick<Store, 'get' | 'byKey' | 'change'>;
  readonly redrives: Pick<RedriveStore, 'settleRow'>;
  readonly settings: () => Settings;
  readonly newId: () => string;
  /** The way into the stack that no client waits for. */
  readonly enter: Service;
  /** Short name of an `Authorization`, for pacing and logs. */
  readonly nameCredential: (authorization: string) => string;
}

/** A row that is to be tried. */
export interface ReadyRow {
  readonly row: RedriveRow;
  readonly operation: Operation;
  /** Rows of one resource go one after the other; null for none. */
  readonly resource: string | null;
  exchange: Exchange;
  /** Nothing of it was sent before; it is looked for all the same, because it is old. */
  precaution: boolean;
}

/** The part of a redrive that rows ask. */
type RedriveHead = Pick<Redrive, 'id' | 'force' | 'filter'>;

/** What became of a row. */
export interface RowEnd {
  readonly result: RowResult;
  readonly failed: boolean | null;
}

const ELSEWHERE: RowLater = { why: 'somebody else runs it', afterMs: 1000, aside: true };
/** Behind every live call. */
const PRIORITY = 7;
const RECORD_AGAIN_MS = 1000;
const ID_BYTES_MAX = 64 * 1024;

/** Runs the rows of one redrive. Rejects with `StoreUnavailable`. */
export class RedriveRows {
  readonly #parts: RedriveRowParts;
  readonly #clock: Clock;
  readonly #redrive: RedriveHead;
  /** An `Authorization` in the place of the stored ones; null for none. */
  readonly #credential: string | null;

  constructor(parts: RedriveRowParts, clock: Clock, redrive: RedriveHead, credential: string | null) {
    this.#parts = parts;
    this.#clock = clock;
    this.#redrive = redrive;
    this.#credential = credential;
  }

  /** A row that wants to be tried, or the end of one that does not. */
  async look(row: RedriveRow): Promise<ReadyRow | RowEnd | RowLater> {
    const operation = await this.#parts.store.get(row.operation);
    if (operation === null) return this.#pass(row, 'skipped', 'is gone');
    const { state, redriveId, reason } = operation;
    if (redriveId === this.#redrive.id && reason !== 'interrupted') {
      // Tried before a crash, which took the note of it.
      if (state === 'succeeded' || state === 'dead' || state === 'unknown') return this.#pass(row, state, reason);
    }
    if (state === 'sent' || state === 'redriving') return ELSEWHERE;
    const plan = this.#plan(operation);
    if (plan.kind !== 'run') return this.#pass(row, plan.kind, plan.why);
    const match = this.#match(operation);
    if (match.policy.mode === 'observe') return this.#pass(row, 'skipped', 'mode observe');
    const precaution = this.#wantsLook(operation, match);
    const exchange = this.#exchangeOf(operation, match, precaution);
    return { row, operation, resource: resourceOf(exchange), precaution, exchange };
  }

  /** Takes a row, unless somebody else was first; null: it is taken. */
  async take({ row, operation }: ReadyRow): Promise<RowEnd | RowLater | null> {
    const { id, state, scope } = operation;
    const nowMs = this.#clock.wall();
    const keyHash = operation.keyHash ?? this.#formerKey(operation, nowMs);
    const change = { state: 'redriving', updatedAtMs: nowMs, redriveId: this.#redrive.id, keyHash } as const;
    try {
      return (await this.#parts.store.change(id, change, [state])) ? null : ELSEWHERE;
    } catch (error) {
      if (!(error instanceof OperationExists) || keyHash === null) throw error;
    }
    const other = await this.#parts.store.byKey(scope, keyHash);
    // Its caller has sent it again: that call runs, or is the answer that the key has.
    if (other?.state !== 'succeeded') return ELSEWHERE;
    if (!this.#redrive.force) return this.#pass(row, 'superseded', `by ${other.id}`);
    return (await this.#parts.store.change(id, { ...change, keyHash: null }, [state])) ? null : ELSEWHERE;
  }

  /** Tries it. */
  async run(taken: ReadyRow): Promise<RowEnd | RowLater> {
    const { operation, row } = taken;
    let outcome = await this.#enter(taken.exchange);
    if (taken.precaution && couldNotLook(taken.exchange, outcome)) {
      taken.precaution = false;
      taken.exchange = this.#exchangeOf(operation, this.#match(operation), false);
      outcome = await this.#enter(taken.exchange);
    }
    const isDecided = this.#isDecided(operation) && couldNotLook(taken.exchange, outcome);
    if (isDecided) {
      // For this run the doubt is over; what is written down when nothing could be sent has it still.
      const undoubted = { ...operation, state: 'dead', effect: 'none' } as const;
      taken.exchange = this.#exchangeOf(undoubted, this.#match(operation), false);
      outcome = await this.#enter(taken.exchange);
    }
    const { exchange, precaution } = taken;
    const nowMs = this.#clock.wall();
    const answer = this.#answerOf(outcome);
    const attempts = exchange.attempts.slice(operation.attempts.length);
    const later = laterOf(exchange, outcome, attempts);
    if (later !== null) {
      // As it was, or it would look as if this redrive had tried it.
      const { state, effect, reason, sentAtMs, redriveId, updatedAtMs, keyHash } = operation;
      await this.#write(taken, { state, effect, reason, sentAtMs, redriveId, updatedAtMs, keyHash, attempts }, null);
      return later;
    }
    const answerId = idIn(answer, exchange.policy.answerId);
    const ending = rowEnding(exchange, outcome, { operation, precaution, isDecided, nowMs, answer, answerId });
    const change = { ...ending.change, ...this.#keyAfter(taken, ending, nowMs) };
    await this.#write(taken, change, { ...row, result: ending.result, detail: ending.detail, atMs: nowMs });
    return ending;
  }

  async #enter(exchange: Exchange): Promise<Outcome> {
    const early = await this.#parts.enter(exchange);
    return (await early.settled) ?? early;
  }

  /** One commit. Nobody but this knows how the row is now, so a store that fails is tried again. */
  async #write({ operation, exchange }: ReadyRow, change: OperationChange, result: RedriveRow | null): Promise<void> {
    const { store, redrives } = this.#parts;
    for (;;) {
      try {
        await Promise.all([
          store.change(operation.id, change, ['redriving']),
          result === null ? null : redrives.settleRow(this.#redrive.id, result),
        ]);
        return;
      } catch (error) {
        const { signal } = exchange.cancel;
        if (!(error instanceof StoreUnavailable) || signal.aborted) throw error;
        await sleep(this.#clock, RECORD_AGAIN_MS, signal);
      }
    }
  }

  /** The key that it gave up when it died, for as long as keys are kept: its caller may send it again. */
  #formerKey(operation: Operation, nowMs: number): string | null {
    const { ttlMs } = this.#match(operation).policy.idempotency;
    return operation.createdAtMs + ttlMs > nowMs ? operation.formerKeyHash : null;
  }

  /** Who came home keeps its key as any success does, who is dead has none, and who is in doubt is found by it. */
  #keyAfter({ operation, exchange }: ReadyRow, { result }: RowEnding, nowMs: number): Partial<OperationChange> {
    const keyHash = keyOf(operation);
    if (result === 'dead') return { keyHash: null, formerKeyHash: keyHash };
    if (result !== 'succeeded' || keyHash === null) return {};
    if (operation.keyHash === null && this.#formerKey(operation, nowMs) === null) return { keyHash: null };
    return { expiresAtMs: keyExpiresAtMs(operation.createdAtMs, nowMs, exchange.policy.idempotency) };
  }

  #plan(operation: Operation): RowPlan {
    const { maxAgeMs } = this.#parts.settings().redrive;
    return planRow(operation, { force: this.#redrive.force, maxAgeMs, nowMs: this.#clock.wall() });
  }

  /** Gives up a row that somebody else runs, and never ends. */
  giveUp(row: RedriveRow): Promise<RowEnd> {
    return this.#pass(row, 'skipped', ELSEWHERE.why);
  }

  async #pass(row: RedriveRow, result: RowResult, detail: string): Promise<RowEnd> {
    await this.#settle(row, result, detail, this.#clock.wall());
    return { result, failed: null };
  }

  #settle(row: RedriveRow, result: RowResult, detail: string, atMs: number): Promise<void> {
    return this.#parts.redrives.settleRow(this.#redrive.id, { ...row, result, detail, atMs });
  }

  #match({ method, target }: Operation): EndpointMatch {
    const query = target.indexOf('?');
    return this.#parts.settings().match(method, query === -1 ? target : target.slice(0, query));
  }

  /** Of an old create nobody knows what was done about it meanwhile: where something can be seen, it is looked first. */
  #wantsLook({ operationClass, effect, createdAtMs }: Operation, { policy }: EndpointMatch): boolean {
    const isOld = this.#clock.wall() - createdAtMs > policy.idempotency.ttlMs;
    return !this.#redrive.force && isOld && operationClass === 'create' && effect === 'none' && isDetectable(policy);
  }

  /** Somebody named this very row, and says that it is to be sent although nothing can show whether it landed. */
  #isDecided({ bodyKept }: Operation): boolean {
    const { force, filter } = this.#redrive;
    return force && filter.ids !== undefined && bodyKept;
  }

  #exchangeOf(operation: Operation, match: EndpointMatch, precaution: boolean): Exchange {
    const { store, settings, newId, nameCredential } = this.#parts;
    const nowMs = this.#clock.now();
    const isOurs = settings().upstream.credentials.kind !== 'passthrough';
    const credential = isOurs ? null : (this.#credential ?? operation.credential);
    const ref = isOurs ? 'own' : this.#credential === null ? operation.credentialRef : nameCredential(this.#credential);
    // One look is enough for what was never sent: it is another's work that is looked for.
    const doubted = {
      sentAtMs: operation.createdAtMs,
      effect: 'unknown',
      looks: Math.max(operation.looks, 1),
    } as const;
    const { maxAgeMs } = settings().redrive;
    const lookOnly = !this.#redrive.force && isTooLate(operation, { maxAgeMs, nowMs: this.#clock.wall() });
    const run = { id: newId(), nowMs, deadlineAtMs: nowMs + match.policy.timeout.totalMs, priority: PRIORITY };
    const exchange = exchangeOfOperation(
      { ...operation, credential, credentialRef: ref, ...(precaution ? doubted : {}) },
      match,
      { ...run, lookOnly },
    );
    if (exchange.operation !== null) exchange.operation = { ...exchange.operation, askedAtMs: askedAtMs(operation) };
    exchange.beforeSend = async () => {
      const sentMs = this.#clock.wall();
      const sentAtMs = operation.sentAtMs ?? sentMs;
      const sent = { state: 'redriving', updatedAtMs: sentMs, sentAtMs, effect: 'unknown', reason: ON_WIRE } as const;
      if (!(await store.change(operation.id, sent, ['redriving']))) throw new Error('the row is not ours any more');
      // What has succeeded since it was taken: from here on nothing marks it any more.
      if (!this.#redrive.force && (await store.get(operation.id))?.maybeSupersededBy !== null) {
        throw new Error('it may be needless');
      }
      exchange.beforeSend = null;
    };
    return exchange;
  }

  #answerOf(outcome: Outcome): StoredAnswer | null {
    streamOf(outcome)?.discard();
    if (outcome.kind !== 'answered' || outcome.verdict.class !== 'ok') return null;
    const { status, headers, body } = outcome;
    const { storedAnswerBytes } = this.#parts.settings().limits;
    const bytes = body.kind === 'bytes' && body.bytes.length <= storedAnswerBytes ? Buffer.from(body.bytes) : null;
    return { status, headers, body: bytes };
  }
}

function idIn(answer: StoredAnswer | null, path: readonly string[]): string | null {
  const bytes = answer?.body ?? null;
  return bytes === null || bytes.length === 0 || bytes.length > ID_BYTES_MAX ? null : answerIdOf(path, bytes);
}
