/**
 * The run of one operation: its row before the wire, its final record afterwards, and the ending that others may ask for.
 * At most two commits stand on a caller's path, `sent` before the first dispatch and the ending before the answer. A row
 * `reserved` is written beside the path, and only by a call that waits. Without a store a call without key is served
 * all the same, and remembered in memory alone; a keyed one is not sent, for its caller relies on the record.
 */

import type { ByteBudget } from '../core/byte-budget.ts';
import { type Doubt, type Exchange, mayHaveTakenEffect } from '../core/exchange.ts';
import type { HeldRun } from '../core/idempotency-holds.ts';
import type { StoredAnswer } from '../core/operation.ts';
import {
  type EndingKind,
  endingChange,
  endingOf,
  OPEN_STATES,
  type OperationNames,
  operationOf,
} from '../core/operation-record.ts';
import { type Answered, type Failed, type Outcome, streamOf } from '../core/outcome.ts';
import type { Limits } from '../core/policy.ts';
import { nextRun, placeOf } from '../core/queue.ts';
import type { NextRun } from '../core/queue-ticket.ts';
import { answerIdOf } from '../core/reconcile.ts';
import type { Service } from '../core/service.ts';
import type { Store } from '../core/store.ts';
import type { Effect } from '../core/verdict.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';
import { collect } from './idempotency-answer.ts';
import type { FinalRecords } from './idempotency-records.ts';

/** What runs are made of. */
export interface RunParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly events: Events;
  readonly buffered: ByteBudget;
  readonly limits: () => Limits;
  /** The caller's own credential goes to the upstream, and has to be kept with what it may send again. */
  readonly passthrough: () => boolean;
  readonly finals: FinalRecords;
  readonly random: Random;
}

/** How a run ended, for those who were not its caller. */
export interface Ending {
  /** Of the operation. */
  readonly id: string;
  /** `waiting`: the durable queue goes on with it. */
  readonly kind: EndingKind | 'waiting';
  /** The outcome; null when its body is not at hand. */
  readonly outcome: Outcome | null;
  /** What a replay gives; null without a success. */
  readonly answer: StoredAnswer | null;
  /** Its own caller's time, departure or the stop of the process cut it short: others may do better. */
  readonly cutShort: boolean;
}

/** What is known of an operation that ran before. Times are epoch ms. */
export interface Earlier {
  readonly createdAtMs: number;
  readonly sentAtMs: number | null;
  /** The store is known to have its row. */
  readonly recorded: boolean;
  readonly doubt: Doubt | null;
  readonly isDead?: boolean | undefined;
}

/** Answers longer than this are not read for the id of what they made. */
const ID_BYTES_MAX = 64 * 1024;

/** One run. Begins when it is made. */
export class LiveRun implements HeldRun {
  readonly names: OperationNames;
  /** For the caller. May have `settled` behind it, and then the run goes on. */
  readonly answer: Promise<Outcome>;
  /** When it has really ended and its record is durable, or the store would not take it (`finals` tries again). */
  readonly ended: Promise<Ending>;
  readonly #parts: RunParts;
  readonly #exchange: Exchange;
  /** Epoch ms. */
  readonly createdAtMs: number;
  readonly #attemptsBefore: number;
  readonly #looksBefore: number;
  readonly #resolve: (ending: Ending) => void;
  /** The store may have a row. */
  #hasRow: boolean;
  readonly #isRerun: boolean;
  #answeredEarly = false;

  constructor(parts: RunParts, exchange: Exchange, inner: Service, names: OperationNames, earlier: Earlier | null) {
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.names = names;
    this.ended = promise;
    this.#resolve = resolve;
    this.#parts = parts;
    this.#exchange = exchange;
    this.createdAtMs = earlier?.createdAtMs ?? parts.clock.wall();
    this.#attemptsBefore = exchange.attempts.length;
    this.#looksBefore = earlier?.doubt?.looks ?? 0;
    this.#hasRow = earlier !== null;
    this.#isRerun = earlier !== null;
    exchange.operation = {
      id: names.id,
      recorded: earlier?.recorded ?? false,
      sentAtMs: earlier?.sentAtMs ?? null,
      doubt: earlier?.doubt ?? null,
      names,
      ...(earlier === null ? {} : { askedAtMs: earlier.createdAtMs, isDead: earlier.isDead === true }),
    };
    if (earlier === null) {
      exchange.beforeSend = () => this.#putSent();
      exchange.beforeWait = () => this.#putReserved();
    } else {
      exchange.beforeSend = () => this.#putSentAgain();
    }
    this.answer = this.#run(inner);
  }

  inDoubt(): boolean {
    return this.#answeredEarly || mayHaveTakenEffect(this.#exchange);
  }

  /** Epoch ms of the first dispatch; null while nothing was sent. */
  get sentAtMs(): number | null {
    return this.#exchange.operation?.sentAtMs ?? null;
  }

  async #run(inner: Service): Promise<Outcome> {
    let outcome: Outcome;
    try {
      outcome = await inner(this.#exchange);
    } catch (error) {
      await this.#finish(outcomeOfBug(this.sentAtMs === null ? 'none' : 'unknown'), true);
      throw error;
    }
    // The hand-over has written the row; what still runs behind it has an ending of its own.
    const accepted = outcome.kind === 'answered' && outcome.from === 'proxy';
    if (outcome.settled === undefined) return accepted ? this.#leave(outcome) : this.#finish(outcome, false);
    this.#answeredEarly = true;
    const settled = outcome.settled.then((last) => this.#finish(last, true));
    return { ...outcome, settled };
  }

  #leave(outcome: Outcome): Outcome {
    this.#resolve({ id: this.names.id, kind: 'waiting', outcome: null, answer: null, cutShort: false });
    return outcome;
  }

  /** The row of a call that has to wait; nobody waits for it. */
  #putReserved(): void {
    const { store, clock, passthrough } = this.#parts;
    this.#exchange.beforeWait = null;
    this.#hasRow = true;
    const row = operationOf(this.#exchange, this.names, 'reserved', clock.wall(), passthrough());
    store.insert(row).catch(() => {
      this.#hasRow = false;
    });
  }

  /** The first dispatch is about to happen. */
  async #putSent(): Promise<void> {
    const { store, clock, passthrough } = this.#parts;
    const exchange = this.#exchange;
    const operation = exchange.operation as NonNullable<Exchange['operation']>;
    this.#hasRow ||= operation.recorded;
    exchange.beforeWait = null;
    const nowMs = clock.wall();
    const sent = { state: 'sent', updatedAtMs: nowMs, sentAtMs: nowMs, effect: 'unknown', reason: 'sent' } as const;
    try {
      if (!this.#hasRow || !(await store.change(this.names.id, sent, ['reserved']))) {
        await store.insert(operationOf(exchange, this.names, 'sent', nowMs, passthrough()));
      }
      this.#hasRow = true;
      operation.recorded = true;
    } catch (error) {
      if (this.names.keyHash !== null || exchange.queue !== null) throw error;
    }
    operation.sentAtMs = nowMs;
    exchange.beforeSend = null;
  }

  /** An earlier run is about to be sent once more. After a crash, looks are timed from what the row says here. */
  async #putSentAgain(): Promise<void> {
    const { store, clock } = this.#parts;
    const { operation, queue } = this.#exchange;
    const nowMs = clock.wall();
    // What the runs before did is known, and what this one does is not.
    const sent = operation?.doubt === null ? ({ effect: 'unknown', reason: 'sent' } as const) : {};
    const first = operation?.sentAtMs === null ? { sentAtMs: nowMs } : {};
    let done = true;
    try {
      done = await store.change(this.names.id, { state: 'sent', updatedAtMs: nowMs, ...sent, ...first }, OPEN_STATES);
    } catch (error) {
      if (this.names.keyHash !== null || queue !== null) throw error;
    }
    // Cancelled, or settled by somebody else, while it waited for its slot: its caller may know already.
    if (!done && operation?.recorded === true) throw new Error('the operation has ended');
    if (operation !== null) operation.sentAtMs ??= nowMs;
    this.#exchange.beforeSend = null;
  }

  /** `late`: its caller was answered already, and the body has been given up. */
  async #finish(ended: Outcome, late: boolean): Promise<Outcome> {
    const { clock, random } = this.#parts;
    let kind = endingOf(this.#exchange, ended);
    let outcome = ended;
    let bytes: Buffer | null = null;
    if (ended.kind === 'answered') {
      const body = await this.#bodyOf(ended, late);
      ({ outcome, bytes } = body);
      if (body.broken && kind === 'succeeded') kind = 'unknown';
    }
    const last = outcome.kind === 'answered' ? { status: outcome.status, headers: outcome.headers, body: bytes } : null;
    const answer = kind === 'succeeded' ? last : null;
    const { cancel, queue } = this.#exchange;
    const accepted = queue?.stage === 'accepted';
    const nowMs = clock.wall();
    const next = nextRun(this.#exchange, outcome, kind, { nowMs, random: random() });
    await this.#record(kind, outcome, accepted ? last : answer, nowMs, next);
    if (accepted && next !== null) return this.#leave(outcome);
    const shareable = streamOf(outcome) === null ? outcome : bytes === null ? null : withBytes(outcome, bytes);
    this.#resolve({ id: this.names.id, kind, outcome: shareable, answer, cutShort: cancel.aborted });
    return outcome;
  }

  #bodyOf(answered: Answered, late: boolean): ReturnType<typeof collect> {
    const { body } = answered;
    if (late && body.kind === 'stream') {
      body.stream.discard();
      return { outcome: answered, bytes: null, broken: false };
    }
    return collect(this.#parts, answered, this.#parts.limits().storedAnswerBytes);
  }

  async #record(
    kind: EndingKind,
    outcome: Outcome,
    answer: StoredAnswer | null,
    nowMs: number,
    next: NextRun | null,
  ): Promise<void> {
    const { store, events, finals } = this.#parts;
    const { id, keyHash } = this.names;
    const exchange = this.#exchange;
    const { queue } = exchange;
    this.#hasRow ||= exchange.operation?.recorded ?? false;
    if (!this.#hasRow || exchange.fate?.stored === true) return;
    const attempts = exchange.attempts.slice(this.#attemptsBefore);
    // Refused unsent: it waits as it did, and its lane is told.
    const isRerun = queue?.stage === 'accepted' && this.#isRerun;
    if (next !== null && isRerun && kind === 'released' && exchange.beforeSend !== null) return;
    if (kind === 'released' && this.sentAtMs === null && queue?.stage !== 'accepted' && exchange.fate === null) {
      // Never sent, hence nobody's business and not worth a commit on the caller's path.
      store.remove(id).catch(noop);
      return;
    }
    const { policy, looks } = exchange;
    const change = endingChange(exchange, outcome, {
      kind,
      nowMs,
      createdAtMs: this.createdAtMs,
      keyed: keyHash !== null,
      answer,
      answerId: idIn(answer, policy.answerId),
      attempts,
      looks: this.#looksBefore + looks.filter(({ result }) => result === 'absent').length,
      next: next === null ? null : { ...next, ...placeOf(exchange) },
    });
    if (!(await finals.write(id, change))) events.operationUnrecorded(exchange, kind);
  }
}

const noop = (): void => {};

function idIn(answer: StoredAnswer | null, path: readonly string[]): string | null {
  const bytes = answer?.body ?? null;
  return bytes === null || bytes.length === 0 || bytes.length > ID_BYTES_MAX ? null : answerIdOf(path, bytes);
}

function withBytes(outcome: Outcome, bytes: Buffer): Outcome {
  return outcome.kind === 'answered' ? { ...outcome, body: { kind: 'bytes', bytes } } : outcome;
}

/** For the record alone: the bug itself goes on to the edge. */
function outcomeOfBug(effect: Effect): Failed {
  const verdict = {
    class: 'transient',
    reason: 'bug',
    effect,
    repeatable: effect === 'none',
    retryAfterMs: null,
    countsAgainstBreaker: false,
    pauses: 'nothing',
  } as const;
  return { kind: 'failed', failure: 'reset', sent: effect === 'none' ? 'no' : 'maybe', detail: 'a bug', verdict };
}
