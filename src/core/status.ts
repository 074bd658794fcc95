/**
 * What the layers tell about themselves: the one shape behind `/api/status` and the gauges. Asked for when somebody
 * looks, and not pushed on every change, so that a call pays nothing for it. Types only.
 */

import type { BreakerKind } from './breaker.ts';

/** One breaker. */
export interface BreakerStatus {
  /** Name of an endpoint rule, or `host`. */
  readonly endpoint: string;
  readonly kind: BreakerKind;
  /** Until the next probe; 0 unless open. */
  readonly probeInSeconds: number;
  /** Outcomes that count now; 0 unless closed. */
  readonly requests: number;
  readonly failures: number;
}

/** The quota of one token. */
export interface QuotaStatus {
  /** The short hash of its credential. */
  readonly token: string;
  /** Calls per window; null as long as no answer named it, here and for the next two. */
  readonly limit: number | null;
  readonly remaining: number | null;
  /** From now. */
  readonly resetSeconds: number | null;
  /** Calls of this window that somebody else made, as far as proven. */
  readonly foreign: number;
  /** From now; 0 when not paused. */
  readonly pausedSeconds: number;
  /** The endpoints that are paused for this token, and for how long from now. */
  readonly pausedEndpoints: Readonly<Record<string, number>>;
  readonly waiting: number;
}

/** The server's clock − ours, and how far that may be off. */
export interface ClockDifference {
  readonly seconds: number;
  readonly errorSeconds: number;
}

/** Everything that the layers of one process tell. */
export interface StackStatus {
  /** Calls that have not really ended, without those that wait. */
  readonly inFlight: () => number;
  /** Calls that wait inside a layer. */
  readonly waiting: () => number;
  readonly breakers: () => BreakerStatus[];
  /** Those first that hold calls back. */
  readonly quotas: () => QuotaStatus[];
  /** Null before the first `Date` of an answer. */
  readonly clockSkew: () => ClockDifference | null;
}
