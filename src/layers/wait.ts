/**
 * One call's wait in a line: until it is let go, its time is up, or it is cancelled, and nothing is left behind. Pacing
 * has its own waiter, because ten thousand calls wait there and a closure each would be most of what they cost.
 */

import type { Exchange } from '../core/exchange.ts';
import type { WaitingLine } from '../core/waiting-line.ts';
import type { Clock } from '../ops/clock.ts';

/** A wait ends before the deadline does, so that its caller learns what it waited for and when to come back. */
export const BEFORE_DEADLINE_MS = 20;

/** Lets a waiting call go. */
export type LetGo<T> = (go: T) => void;

/** How a call waits: `T` is what it is let go with, `V` what the line keeps of it. */
export interface Wait<T, V> {
  readonly line: WaitingLine<V>;
  /** As `WaitingLine` has it. */
  readonly urgency: number;
  /** Monotonic ms. */
  readonly lastMs: number;
  readonly valueOf: (letGo: LetGo<T>) => V;
  /** It left by itself: those behind it may have to be asked again. */
  readonly onLeft: () => void;
}

/** Joins the line. Null when the call was cancelled, or `lastMs` has come. */
export function waitInLine<T, V>(clock: Clock, exchange: Exchange, wait: Wait<T, V>): Promise<T | null> {
  const { line, urgency, lastMs, valueOf, onLeft } = wait;
  const { signal } = exchange.cancel;
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve) => {
    const end = (go: T | null): void => {
      cancelTimer();
      signal.removeEventListener('abort', leave);
      resolve(go);
    };
    const leave = (): void => {
      if (!line.remove(place)) return;
      end(null);
      onLeft();
    };
    const place = line.push(urgency, exchange.receivedAtMs, valueOf(end));
    const cancelTimer = clock.timer(lastMs - clock.now(), leave);
    signal.addEventListener('abort', leave, { once: true });
  });
}

/** What a line keeps that needs to know nothing of its calls. */
export function itself<T>(letGo: LetGo<T>): LetGo<T> {
  return letGo;
}
