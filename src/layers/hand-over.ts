/**
 * Hand-over (semantics §8): `Prefer: respond-async` on a write leaves it to the durable queue. It stands inside
 * idempotency, whose names and row it uses, and outside the deadline, which bounds the try that comes first. The row is
 * durable before anything is sent and `accepted` before the 202 is given: whoever has the 202 has a promise, and whoever
 * has none has lost nothing but a try. A try (`wait=N`) is the call as it always runs with a deadline of N: an open
 * breaker or a pause that would outlast it refuses at once, and the hand-over follows at once.
 *
 * The obvious other choice, to answer 202 and go on in memory, would lose every accepted call with the process.
 */

import { deadReason } from '../core/dead-letter.ts';
import type { Exchange, OperationRun } from '../core/exchange.ts';
import type { Operation, OperationChange } from '../core/operation.ts';
import { effectOf, endingOf, operationOf } from '../core/operation-record.ts';
import { acceptedAnswer, type ViewedOperation } from '../core/operation-view.ts';
import { type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import { nextRun, placeOf } from '../core/queue.ts';
import type { HandOverWish, NextRun } from '../core/queue-ticket.ts';
import type { Layer, Service } from '../core/service.ts';
import { type Store, StoreUnavailable } from '../core/store.ts';
import { refusedVerdict } from '../core/verdict.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';

/** What the layer is made of. */
export interface HandOverParts {
  readonly store: Pick<Store, 'insert' | 'change' | 'queuedBefore'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Pick<Events, 'bug' | 'deadLetters'>;
  readonly passthrough: () => boolean;
  /** There is something in the queue that may be due. */
  readonly wakeQueue: () => void;
}

const COME_BACK_MS = 1000;

/** Takes over calls whose callers do not wait. Calls that idempotency gave no operation pass by. */
export function handOver(parts: HandOverParts): Layer {
  return (inner) => (exchange) => {
    const { preference, operation, body } = exchange;
    if (preference === null || operation?.names === undefined || body.kind === 'stream') return inner(exchange);
    // Looked for again under its key: that is what a caller wants to hear, and quick.
    if (operation.recorded || operation.doubt !== null) return inner(exchange);
    return new HandOver(parts, exchange, operation, preference).run(inner);
  };
}

class HandOver {
  readonly #parts: HandOverParts;
  readonly #exchange: Exchange;
  readonly #operation: OperationRun;
  readonly #waitMs: number | null;

  constructor(parts: HandOverParts, exchange: Exchange, operation: OperationRun, { waitMs }: HandOverWish) {
    this.#parts = parts;
    this.#exchange = exchange;
    this.#operation = operation;
    this.#waitMs = waitMs !== null && waitMs > 0 ? waitMs : null;
  }

  async run(inner: Service): Promise<Outcome> {
    const exchange = this.#exchange;
    const nowMs = this.#parts.clock.wall();
    exchange.beforeWait = null;
    const place = placeOf(exchange);
    let row = this.#row(nowMs);
    try {
      if (this.#waitMs === null || (await this.#isBehind(place.resource))) {
        row = { ...row, ...place, state: 'waiting', reason: 'handed_over', handedOver: true, dueAtMs: nowMs };
        await this.#parts.store.insert(row);
        this.#operation.recorded = true;
        exchange.queue = { createdAtMs: nowMs, stage: 'accepted' };
        return this.#accepted(row, null);
      }
      await this.#parts.store.insert(row);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return storeUnavailable();
    }
    this.#operation.recorded = true;
    exchange.queue = { createdAtMs: nowMs, stage: 'offered' };
    exchange.deadlineAtMs = Math.min(exchange.deadlineAtMs, this.#parts.clock.now() + this.#waitMs);
    return this.#afterTry(await inner(exchange), row);
  }

  /** A success and a final error are answers; everything else is left to the queue. */
  async #afterTry(outcome: Outcome, row: Operation): Promise<Outcome> {
    const { clock, random, events } = this.#parts;
    const exchange = this.#exchange;
    const { settled } = outcome;
    const nowMs = clock.wall();
    const kind = endingOf(exchange, outcome);
    const next = nextRun(exchange, outcome, kind, { nowMs, random: random() });
    // What is still on the wire says itself, when it has ended, what follows.
    if (settled === undefined && next === null) return outcome;
    const change = settled === undefined && next !== null ? this.#waiting(outcome, next) : UNDER_WAY;
    const accepted: OperationChange = { ...change, ...placeOf(exchange), handedOver: true, updatedAtMs: nowMs };
    try {
      if (!(await this.#parts.store.change(row.id, accepted, ['reserved', 'sent', 'unknown']))) return outcome;
    } catch (error) {
      // It has been tried, and what came of that is the truth: without a durable row there is no promise.
      if (!(error instanceof StoreUnavailable)) events.bug(error, 'hand-over');
      exchange.queue = null;
      // The dead letters left it to the queue, and would have no disk to keep it on either.
      const reason = deadReason(exchange, outcome, 'caller');
      if (settled === undefined && reason !== null) events.deadLetters.lost(exchange, reason, error);
      return outcome;
    }
    exchange.queue = { createdAtMs: row.createdAtMs, stage: 'accepted' };
    streamOf(outcome)?.discard();
    const view = { ...row, ...accepted, attempts: exchange.attempts, dueAtMs: accepted.dueAtMs ?? null };
    return this.#accepted(view, settled ?? null);
  }

  #waiting(
    outcome: Outcome,
    next: NextRun,
  ): Pick<OperationChange, 'state' | 'dueAtMs' | 'effect' | 'reason' | 'attempts' | 'looks'> {
    const exchange = this.#exchange;
    const { attempts } = exchange;
    const effect = endingOf(exchange, outcome) === 'released' ? 'none' : effectOf(exchange, outcome);
    const looks = exchange.looks.filter(({ result }) => result === 'absent').length;
    return { ...next, effect, reason: outcome.verdict.reason, attempts, looks };
  }

  #accepted(row: ViewedOperation, settled: Promise<Outcome> | null): Outcome {
    const { clock, wakeQueue } = this.#parts;
    const answer = acceptedAnswer(row, this.#waitMs, clock.wall());
    if (settled === null) wakeQueue();
    return settled === null ? answer : { ...answer, settled };
  }

  #row(nowMs: number): Operation {
    const { names, id } = this.#operation;
    if (names === undefined) throw new Error('a call without names cannot be handed over');
    return operationOf(this.#exchange, { ...names, id }, 'reserved', nowMs, this.#parts.passthrough());
  }

  /** An earlier write to the same resource is in the queue: this one must not come before it. */
  #isBehind(resource: string | null): Promise<boolean> {
    return resource === null ? Promise.resolve(false) : this.#parts.store.queuedBefore(resource);
  }
}

/** Its attempt is on the wire. After a crash: looked for, or sent again where that does no harm. */
const UNDER_WAY = { state: 'sent' } as const;

function storeUnavailable(): Refused {
  return {
    kind: 'refused',
    by: 'hand-over',
    code: 'holdfast_store_unavailable',
    message:
      'A call is handed over by being recorded, and the ledger is unavailable; nothing was sent. Send it again later, or without "Prefer: respond-async".',
    retryAfterMs: COME_BACK_MS,
    verdict: refusedVerdict('store_unavailable', COME_BACK_MS),
  };
}
