/** What a redrive reads from an outcome beside how the row ended. */

import type { AttemptRecord, Exchange } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import { UNDETECTABLE } from '../core/reconcile.ts';

/** A row that was not tried: a layer let nothing through. It is as it was, and its turn comes again. */
export interface RowLater {
  /** For people. */
  readonly why: string;
  readonly afterMs: number;
  /** The others need not wait: recovery, a caller or another redrive runs this one. */
  readonly aside: boolean;
}

/** No recipe speaks of this request: there is nothing to see, and nothing was sent now. */
export function couldNotLook({ looks, cancel }: Exchange, outcome: Outcome): boolean {
  return outcome.verdict.reason === UNDETECTABLE && looks.length === 0 && !cancel.aborted;
}

/** Nothing was applied, and that is no fault of the row: an open breaker, no quota, too much in flight, a stop. */
export function laterOf({ cancel }: Exchange, outcome: Outcome, attempts: readonly AttemptRecord[]): RowLater | null {
  const { verdict } = outcome;
  if (verdict.class === 'throttled' && attempts.every(({ effect }) => effect === 'none')) {
    return { why: `waits: ${verdict.reason}`, afterMs: laterMs(verdict.retryAfterMs ?? LATER_MOST_MS), aside: false };
  }
  if (verdict.class === 'ok' || attempts.length > 0) return null;
  if (cancel.reason === 'shutdown') return { why: 'the process stops', afterMs: 0, aside: false };
  if (outcome.kind !== 'refused' || outcome.retryAfterMs === null || outcome.by === 'deadline') return null;
  return { why: `waits: ${verdict.reason}`, afterMs: laterMs(outcome.retryAfterMs), aside: false };
}

function laterMs(ms: number): number {
  return Math.min(Math.max(ms, LATER_LEAST_MS), LATER_MOST_MS);
}

const LATER_LEAST_MS = 100;
const LATER_MOST_MS = 60_000;
