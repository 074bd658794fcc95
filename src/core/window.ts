/**
 * A sliding window over outcomes, bounded both ways: the last `last` of them, and none older than `windowMs`. What is
 * too old goes before anything is counted; cockatiel's sampling breaker rotates its buckets only when a call comes, so
 * that an hour-old failure still counts. Exact stamps and not buckets: at 20 entries they are cheaper than buckets and
 * have no edges. Immutable; a record copies at most `last` references.
 */

/** One outcome; monotonic ms. */
export interface Stamp {
  readonly atMs: number;
  readonly failed: boolean;
}

/** Outcomes, oldest first. */
export type OutcomeWindow = readonly Stamp[];

/** How far a window reaches. */
export interface WindowBounds {
  readonly last: number;
  readonly windowMs: number;
}

/** Drops what is too old. */
export function expired(window: OutcomeWindow, bounds: WindowBounds, nowMs: number): OutcomeWindow {
  let first = Math.max(0, window.length - bounds.last);
  while (first < window.length && nowMs - (window[first] as Stamp).atMs >= bounds.windowMs) first += 1;
  return first === 0 ? window : window.slice(first);
}

/** Adds an outcome, after dropping what is too old. */
export function recorded(window: OutcomeWindow, failed: boolean, bounds: WindowBounds, nowMs: number): OutcomeWindow {
  const kept = expired(window, bounds, nowMs);
  const first = Math.max(0, kept.length - bounds.last + 1);
  // Of its final length: every call of an endpoint comes by here, and a list that grows takes twice the room.
  const next: Stamp[] = [];
  next.length = kept.length - first + 1;
  for (let i = first; i < kept.length; i += 1) next[i - first] = kept[i] as Stamp;
  next[next.length - 1] = { atMs: nowMs, failed };
  return next;
}

/** How many of a window's outcomes are failures. Expire it first. */
export function failuresIn(window: OutcomeWindow): number {
  let failures = 0;
  for (const stamp of window) if (stamp.failed) failures += 1;
  return failures;
}
