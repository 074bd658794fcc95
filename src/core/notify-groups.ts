/**
 * Counts equal things and says when a group may be told again. Bounded: beyond `most` groups everything new falls into
 * one that stands for the rest, so that an upstream which makes up its errors fills a counter and not the memory.
 */

/** A group that is told now. */
export interface DueGroup<F> {
  readonly facts: F;
  /** Since it was told last. */
  readonly count: number;
}

interface Group<F> {
  readonly facts: F;
  count: number;
  /** When the first of those that were not told came. */
  sinceMs: number;
  /** -Infinity: never told. */
  toldAtMs: number;
}

const REST = Symbol('rest');

/** Groups with counts. Times are monotonic ms. */
export class Groups<F> {
  readonly #groups = new Map<string | typeof REST, Group<F>>();
  readonly #most: number;
  readonly #rest: F;

  constructor(most: number, rest: F) {
    this.#most = most;
    this.#rest = rest;
  }

  note(key: string, facts: F, nowMs: number): void {
    const known = this.#groups.get(key);
    if (known === undefined && this.#groups.size >= this.#most) this.#add(REST, this.#rest, nowMs);
    else this.#add(key, facts, nowMs);
  }

  /** What may be told, the largest first; it counts as told. A group that was quiet for an interval is forgotten. */
  due(nowMs: number, gatherMs: number, intervalMs: number): DueGroup<F>[] {
    const due: DueGroup<F>[] = [];
    for (const [key, group] of this.#groups) {
      const told = nowMs - group.toldAtMs < intervalMs;
      if (group.count === 0) {
        if (!told) this.#groups.delete(key);
      } else if (!told && nowMs - group.sinceMs >= gatherMs) {
        due.push({ facts: group.facts, count: group.count });
        group.count = 0;
        group.toldAtMs = nowMs;
      }
    }
    return due.sort((a, b) => b.count - a.count);
  }

  #add(key: string | typeof REST, facts: F, nowMs: number): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, { facts, count: 1, sinceMs: nowMs, toldAtMs: -Infinity });
    else {
      if (group.count === 0) group.sinceMs = nowMs;
      group.count += 1;
    }
  }
}
