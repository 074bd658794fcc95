/**
 * Calls that wait, in the order in which they may go: continuations of an open scroll first (Intercom drops a scroll
 * after a minute), then by urgency (RFC 9218), then by arrival. A binary heap whose entries know their place, so that a
 * cancelled call leaves in O(log n) like everything else; a sorted array costs O(n) per cancel, and one list per
 * urgency loses the arrival order of retries, which come back with their old arrival.
 */

/** The urgency of a scroll's continuation: before all of RFC 9218's 0 to 7. */
export const CONTINUATION = -1;
const URGENCIES = 9;

/** A place in the line. Opaque but for what was given. */
export interface Place<T> {
  readonly urgency: number;
  readonly arrivedAtMs: number;
  readonly value: T;
}

interface Entry<T> extends Place<T> {
  readonly sequence: number;
  index: number;
}

/** The line of one token or host. */
export class WaitingLine<T> {
  readonly #heap: Entry<T>[] = [];
  readonly #byUrgency = Array.from({ length: URGENCIES }, () => 0);
  #sequence = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** Who goes next; null when nobody waits. */
  get first(): Place<T> | null {
    return this.#heap[0] ?? null;
  }

  /** Joins the line. `urgency` is CONTINUATION, or 0 (first) to 7; O(log n). */
  push(urgency: number, arrivedAtMs: number, value: T): Place<T> {
    const rank = Math.min(Math.max(Math.trunc(urgency), CONTINUATION), 7);
    const entry = { urgency: rank, arrivedAtMs, value, sequence: this.#sequence++, index: this.#heap.length };
    this.#heap.push(entry);
    this.#count(rank, 1);
    this.#up(entry);
    return entry;
  }

  /** Takes the first; null when nobody waits. O(log n). */
  pop(): T | null {
    const first = this.#heap[0];
    if (first === undefined) return null;
    this.#take(first);
    return first.value;
  }

  /** Leaves the line; false when it had left already. O(log n). */
  remove(place: Place<T>): boolean {
    const entry = place as Entry<T>;
    if (this.#heap[entry.index] !== entry) return false;
    this.#take(entry);
    return true;
  }

  /** How many would go before a call of this urgency that arrived now. */
  ahead(urgency: number): number {
    let ahead = 0;
    for (let rank = 0; rank <= urgency - CONTINUATION && rank < URGENCIES; rank++) {
      ahead += this.#byUrgency[rank] as number;
    }
    return ahead;
  }

  #count(urgency: number, by: number): void {
    const rank = urgency - CONTINUATION;
    this.#byUrgency[rank] = (this.#byUrgency[rank] as number) + by;
  }

  #take(entry: Entry<T>): void {
    const last = this.#heap.pop() as Entry<T>;
    this.#count(entry.urgency, -1);
    const index = entry.index;
    entry.index = -1;
    if (last === entry) return;
    this.#heap[index] = last;
    last.index = index;
    this.#up(last);
    this.#down(last);
  }

  #up(entry: Entry<T>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >> 1] as Entry<T>;
      if (!before(entry, parent)) return;
      this.#swap(entry, parent);
    }
  }

  #down(entry: Entry<T>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      if (left === undefined) return;
      const child = right !== undefined && before(right, left) ? right : left;
      if (!before(child, entry)) return;
      this.#swap(child, entry);
    }
  }

  #swap(a: Entry<T>, b: Entry<T>): void {
    const index = a.index;
    a.index = b.index;
    b.index = index;
    this.#heap[a.index] = a;
    this.#heap[b.index] = b;
  }
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  if (a.urgency !== b.urgency) return a.urgency < b.urgency;
  if (a.arrivedAtMs !== b.arrivedAtMs) return a.arrivedAtMs < b.arrivedAtMs;
  return a.sequence < b.sequence;
}
