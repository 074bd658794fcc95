/**
 * Places for calls that wait inside a layer, for all of them together: for a slot, at an open breaker, for the retry
 * budget, at a bulkhead, for an undecided write. Counted apart from the calls in flight, because a waiting call costs a
 * few kilobytes and no connection: `limits.in_flight` would otherwise refuse everybody during a pause that is over in
 * seconds. A call keeps its place until it ends: the thousands that a reset or a recovery lets go together would
 * otherwise fill `in_flight`, and newcomers were refused although the upstream is well.
 */

import type { Exchange } from './exchange.ts';
import type { Refused } from './outcome.ts';
import { refusedVerdict } from './verdict.ts';

const RETRY_AFTER_MS = 1000;

/** The room of one process. */
export class WaitingRoom {
  readonly #places: () => number;
  /** Who waits, or has waited and not ended. */
  readonly #holders = new Set<Exchange>();
  #taken = 0;

  /** `places` is read per call: a reload may change it. */
  constructor(places: () => number) {
    this.#places = places;
  }

  /** Calls that wait now. */
  get taken(): number {
    return this.#taken;
  }

  /** Calls that have a place: those that wait, and those that were let go and have not ended. */
  get held(): number {
    return this.#holders.size;
  }

  /** Begins a wait; false when there is no place. Every wait that began is ended by `leave`. */
  enter(exchange: Exchange): boolean {
    if (!this.#holders.has(exchange)) {
      if (this.#holders.size >= this.#places()) return false;
      this.#holders.add(exchange);
    }
    exchange.beforeWait?.();
    this.#taken += 1;
    return true;
  }

  /** Ends a wait; the place stays until `ended`. */
  leave(): void {
    this.#taken -= 1;
  }

  /** The call is over; harmless when it never waited. */
  ended(exchange: Exchange): void {
    this.#holders.delete(exchange);
  }
}

/** What a call gets that finds no place; `by` is the layer at which it would have waited. */
export function roomFull(by: string): Refused {
  return {
    kind: 'refused',
    by,
    code: 'holdfast_overloaded',
    message: 'Too many calls are waiting. Nothing was sent; send this one again later, or raise limits.waiting.',
    retryAfterMs: RETRY_AFTER_MS,
    verdict: refusedVerdict('overloaded', RETRY_AFTER_MS),
  };
}
