/**
 * The circuit breaker: counts the last outcomes within a time, opens when too many failed, lets a few probes find out,
 * and closes when all of them succeeded. Each state carries only its own data. Every transition raises the epoch, and a
 * result that was admitted in an older epoch is dropped: a slow failure from before must not re-open a circuit that has
 * just recovered, nor a slow success close one. Trips are decided on failures only; a success never opens a circuit
 * although the ratio may still be high. The class counts by ratio and not by consecutive failures, because one success
 * in ten would keep a consecutive breaker closed for ever.
 *
 *     closed ──ratio──▶ open ──until──▶ half-open ──all probes succeeded──▶ closed
 *                        ▲──────one failed──────┘        held_open, held_closed: by hand, until auto
 */

import { expired, failuresIn, type OutcomeWindow, recorded } from './window.ts';

/** What the configuration says about a breaker. */
export interface BreakerPolicy {
  /** Trips at this share of failures or more, 0..1. */
  readonly failureRatio: number;
  /** Trips with at least this many outcomes. */
  readonly minRequests: number;
  /** How many outcomes are looked at, and how old they may be. */
  readonly last: number;
  readonly windowMs: number;
  readonly openForMs: number;
  readonly maxOpenForMs: number;
  /** Probes that must succeed, all of them; also how many run at once. */
  readonly halfOpenProbes: number;
  /** `fail`: refuse while open. `wait`: calls wait in line, and `openForMs` does not grow. */
  readonly whenOpen: 'fail' | 'wait';
  /** The longest wait at an open breaker; null for the deadline alone. */
  readonly maxWaitMs: number | null;
}

/** What the configuration says about the host's breaker: so many connection-level failures, without an answer between. */
export interface HostBreakerPolicy {
  readonly failures: number;
  readonly windowMs: number;
  readonly openForMs: number;
  readonly maxOpenForMs: number;
}

/** The name of the host's breaker among those of the endpoints. */
export const HOST = 'host';

/** The host's breaker is the same machine: a window that holds nothing but failures trips it, and one probe closes it. */
export function hostBreakerPolicy({ failures, ...times }: HostBreakerPolicy): BreakerPolicy {
  const counts = { failureRatio: 1, minRequests: failures, last: failures, halfOpenProbes: 1 };
  return { ...counts, ...times, whenOpen: 'fail', maxWaitMs: null };
}

/** The state of one breaker. Times are monotonic ms. */
export type Breaker = { readonly epoch: number } & (
  | {
      readonly kind: 'closed';
      readonly outcomes: OutcomeWindow;
      /** The farthest `Retry-After` of the failures so far: the circuit, once open, stays open as long. */
      readonly notBeforeMs: number;
    }
  | {
      readonly kind: 'open';
      readonly untilMs: number;
      /** How often it opened since it was last closed, from 1. */
      readonly opens: number;
    }
  | {
      readonly kind: 'half_open';
      readonly opens: number;
      /** Probes under way. */
      readonly out: number;
      readonly succeeded: number;
    }
  | { readonly kind: 'held_open' }
  | { readonly kind: 'held_closed' }
);

/** The kinds of state. */
export type BreakerKind = Breaker['kind'];

/** How an admitted call ended. `neutral`: says nothing about the upstream (throttled, refused by ourselves, cancelled). */
export type BreakerResult =
  | { readonly kind: 'success' }
  | { readonly kind: 'neutral' }
  | {
      readonly kind: 'failure';
      readonly retryAfterMs: number | null;
      /** Random, [0, 1). */
      readonly jitter: number;
    };

/** Whether a call may go on; an admitted one brings `epoch` back with its result. */
export type Admission =
  | { readonly admitted: true; readonly breaker: Breaker; readonly epoch: number }
  | {
      readonly admitted: false;
      readonly breaker: Breaker;
      /** When to ask again: the time of the next probe. Infinity: held open by hand. */
      readonly againAtMs: number;
    };

/** Adds up to a tenth, so that the breakers of many endpoints and replicas do not probe at the same instant. */
const JITTER = 0.1;
/** Probes are under way and their end is not known: what a refused call is told meanwhile. */
const PROBING_MS = 1000;
/** A broken `Retry-After` must not outlive a coffee. */
const LONGEST_RETRY_AFTER_MS = 600_000;

/** A closed breaker that has seen nothing. */
export function newBreaker(epoch = 0): Breaker {
  return { kind: 'closed', epoch, outcomes: [], notBeforeMs: -Infinity };
}

/** Asks to let one call through. */
export function admitted(breaker: Breaker, policy: BreakerPolicy, nowMs: number): Admission {
  switch (breaker.kind) {
    case 'closed':
    case 'held_closed':
      return { admitted: true, breaker, epoch: breaker.epoch };
    case 'open': {
      if (nowMs < breaker.untilMs) return { admitted: false, breaker, againAtMs: breaker.untilMs };
      const epoch = breaker.epoch + 1;
      return {
        admitted: true,
        epoch,
        breaker: { kind: 'half_open', epoch, opens: breaker.opens, out: 1, succeeded: 0 },
      };
    }
    case 'half_open': {
      if (breaker.out >= probesAtOnce(policy, breaker.succeeded)) {
        return { admitted: false, breaker, againAtMs: nowMs + PROBING_MS };
      }
      return { admitted: true, epoch: breaker.epoch, breaker: { ...breaker, out: breaker.out + 1 } };
    }
    case 'held_open':
      return { admitted: false, breaker, againAtMs: Infinity };
  }
}

function probesAtOnce(policy: BreakerPolicy, succeeded: number): number {
  if (policy.whenOpen === 'wait') return 1;
  return Math.max(1, policy.halfOpenProbes - succeeded);
}

/** An admitted call has ended. */
export function ended(
  breaker: Breaker,
  epoch: number,
  result: BreakerResult,
  policy: BreakerPolicy,
  nowMs: number,
): Breaker {
  if (epoch !== breaker.epoch) return breaker;
  switch (breaker.kind) {
    case 'closed':
      return endedClosed(breaker, result, policy, nowMs);
    case 'half_open': {
      if (result.kind === 'failure') return opened(breaker.epoch, breaker.opens + 1, result, policy, nowMs);
      const out = Math.max(0, breaker.out - 1);
      if (result.kind === 'neutral') return { ...breaker, out };
      const succeeded = breaker.succeeded + 1;
      if (succeeded >= policy.halfOpenProbes) return newBreaker(breaker.epoch + 1);
      return { ...breaker, out, succeeded };
    }
    case 'open':
    case 'held_open':
    case 'held_closed':
      return breaker;
  }
}

function endedClosed(
  breaker: Extract<Breaker, { readonly kind: 'closed' }>,
  result: BreakerResult,
  policy: BreakerPolicy,
  nowMs: number,
): Breaker {
  if (result.kind === 'neutral') return breaker;
  const outcomes = recorded(breaker.outcomes, result.kind === 'failure', policy, nowMs);
  if (result.kind === 'success') return { ...breaker, outcomes };
  const wishMs =
    result.retryAfterMs === null ? -Infinity : nowMs + Math.min(result.retryAfterMs, LONGEST_RETRY_AFTER_MS);
  const notBeforeMs = Math.max(breaker.notBeforeMs, wishMs);
  const enough = outcomes.length >= policy.minRequests;
  if (!enough || failuresIn(outcomes) < policy.failureRatio * outcomes.length) {
    return { ...breaker, outcomes, notBeforeMs };
  }
  const wished = { retryAfterMs: notBeforeMs > nowMs ? notBeforeMs - nowMs : null, jitter: result.jitter };
  return opened(breaker.epoch, 1, wished, policy, nowMs);
}

function opened(
  epoch: number,
  opens: number,
  failure: { readonly retryAfterMs: number | null; readonly jitter: number },
  policy: BreakerPolicy,
  nowMs: number,
): Breaker {
  const forMs = openForMs(policy, opens) * (1 + JITTER * failure.jitter);
  const wishMs = Math.min(failure.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS);
  return { kind: 'open', epoch: epoch + 1, untilMs: nowMs + Math.max(forMs, wishMs), opens };
}

/** How long the circuit stays open when it opens for the n-th time in a row, without jitter. Overflow-safe. */
export function openForMs(policy: BreakerPolicy, opens: number): number {
  if (policy.whenOpen === 'wait') return policy.openForMs;
  return Math.min(policy.openForMs * 2 ** Math.min(opens - 1, 52), Math.max(policy.openForMs, policy.maxOpenForMs));
}

/** The longest time that one trip can keep the circuit open, jitter and a `Retry-After` included. */
export function longestOpenMs(policy: BreakerPolicy, opens: number): number {
  return Math.max(openForMs(policy, opens) * (1 + JITTER), LONGEST_RETRY_AFTER_MS);
}

/** Takes the breaker in hand: `open` and `close` hold it there until `auto`, which begins anew, closed and empty. */
export function held(breaker: Breaker, order: 'open' | 'close' | 'auto'): Breaker {
  const epoch = breaker.epoch + 1;
  switch (order) {
    case 'open':
      return { kind: 'held_open', epoch };
    case 'close':
      return { kind: 'held_closed', epoch };
    case 'auto':
      return breaker.kind === 'held_open' || breaker.kind === 'held_closed' ? newBreaker(epoch) : breaker;
  }
}

/** The outcomes that count now, for status: how many, and how many of them failed. */
export function countsOf(
  breaker: Breaker,
  policy: BreakerPolicy,
  nowMs: number,
): { readonly requests: number; readonly failures: number } {
  if (breaker.kind !== 'closed') return { requests: 0, failures: 0 };
  const outcomes = expired(breaker.outcomes, policy, nowMs);
  return { requests: outcomes.length, failures: failuresIn(outcomes) };
}
