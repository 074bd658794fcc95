/**
 * Places for calls that wait inside a layer, for all of them together: for a slot, at an open breaker, for the retry
 * budget, at a bulkhead, for an undecided write. Counted apart from the calls in flight, because a waiting call costs a few kilobytes and no
 * connection: `limits.in_flight` would otherwise refuse everybody during a pause that is over in seconds.
 */

import type { Refused } from './outcome.ts';
import { refusedVerdict } from './verdict.ts';

const RETRY_AFTER_MS = 1000;

/** The room of one process. */
export class WaitingRoom {
  readonly #places: () => number;
  #taken = 0;

  /** `places` is read per call: a reload may change it. */
  constructor(places: () => number) {
    this.#places = places;
  }

  /** Calls that wait now. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes a place; false when there is none. Every place taken is left once. */
  enter(): boolean {
    if (this.#taken >= this.#places()) return false;
    this.#taken += 1;
    return true;
  }

  /** Gives a place back. */
  leave(): void {
    this.#taken -= 1;
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
