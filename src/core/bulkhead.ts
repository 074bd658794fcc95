/**
 * The bulkhead of one endpoint: how many of its calls are under way, and who waits for one of them to end. A count and a
 * line, and no rate: what it bounds is how much of the process and of the upstream one slow endpoint can hold.
 */

import { WaitingLine } from './waiting-line.ts';

/** Calls under way at one endpoint. `T` lets a waiting call go. */
export class Bulkhead<T> {
  readonly line = new WaitingLine<T>();
  #inside = 0;

  /** Nobody is inside or waits: it may be forgotten. */
  get idle(): boolean {
    return this.#inside === 0 && this.line.length === 0;
  }

  /** Enters when there is room and nobody waits. */
  enter(limit: number): boolean {
    if (this.#inside >= limit || this.line.length > 0) return false;
    this.#inside += 1;
    return true;
  }

  /** A call has ended. */
  leave(): void {
    this.#inside -= 1;
  }

  /** Who may enter now, and has; null for nobody. Ask until null: a reload may have made room for several. */
  next(limit: number): T | null {
    if (this.#inside >= limit) return null;
    const next = this.line.pop();
    if (next !== null) this.#inside += 1;
    return next;
  }
}
