/**
 * One failed attempt, one question: send it again, and when (semantics §3)? Only reads the verdict; whether a repeat is
 * safe was decided there. The server's wish replaces the backoff, with the jitter on top, so that nobody comes early and
 * a herd does not come together. A wait that does not fit into `max_wait` or the deadline is not shortened: an early
 * attempt burns quota, and an attempt that the deadline cuts turns a clear answer into an unknown outcome.
 */

import { backoffMs } from './backoff.ts';
import type { AttemptRecord, WaitReason, WithheldReason } from './exchange.ts';
import type { RetryPolicy } from './policy.ts';
import type { OperationClass, Verdict } from './verdict.ts';

/** Pacing protects where calls are throttled, so their retries are cheap. */
const THROTTLED_COST = 1 / 3;

/** Everything that the decision looks at. */
export interface RetryFacts {
  readonly policy: RetryPolicy;
  readonly operationClass: OperationClass;
  /** Of the attempt that just ended. */
  readonly verdict: Verdict;
  /** All attempts of the exchange, that one included. */
  readonly attempts: readonly AttemptRecord[];
  /** Of those, probes that went back to wait at their breaker. */
  readonly failedProbes: number;
  /** The body was a stream, and it is gone. */
  readonly bodySpent: boolean;
  /** The upstream credential was rejected, and has been replaced since. */
  readonly credentialRenewed: boolean;
  /** Where `verdict.retryAfterMs` came from. */
  readonly wishReason: WaitReason;
  /** To the deadline, ms; Infinity for none. */
  readonly remainingMs: number;
  /** What an attempt at this endpoint usually takes, ms; 0 when unknown. */
  readonly medianMs: number;
  /** In [0, 1). */
  readonly random: number;
}

/** Again after a wait (whole ms) at a price to the budget, or not and why; null when there was nothing to withhold. */
export type RetryDecision =
  | { readonly retry: true; readonly waitMs: number; readonly waitReason: WaitReason; readonly cost: number }
  | { readonly retry: false; readonly withheld: WithheldReason | null };

/** Decides whether a failed attempt is sent again. The budget and the caller's patience are asked afterwards. */
export function decideRetry(facts: RetryFacts): RetryDecision {
  const { verdict, policy } = facts;
  const renewed = verdict.class === 'unauthorized' && facts.credentialRenewed;
  if (!renewed && verdict.class !== 'transient' && verdict.class !== 'throttled') return not(null);
  if (!verdict.repeatable) return not(wouldRepeat(facts) ? 'body_too_large' : 'not_repeatable');
  if (renewed) return fitting(facts, 0, 'backoff', 0);
  if (countedOf(facts) > policy.maxRetries) return not('max_retries');
  const wishMs = verdict.retryAfterMs;
  if (wishMs !== null && wishMs > policy.maxWaitMs) return not('max_wait');
  const cost = costOf(facts);
  if (wishMs === null) return fitting(facts, Math.min(ownDelayMs(facts), policy.maxWaitMs), 'backoff', cost);
  return fitting(facts, wishMs + jitterMs(facts, wishMs), facts.wishReason, cost);
}

function not(withheld: WithheldReason | null): RetryDecision {
  return { retry: false, withheld };
}

function fitting(facts: RetryFacts, delayMs: number, waitReason: WaitReason, cost: number): RetryDecision {
  const waitMs = Math.ceil(delayMs);
  const leftMs = facts.remainingMs - waitMs;
  if (leftMs <= 0 || leftMs < facts.medianMs) return not('deadline');
  return { retry: true, waitMs, waitReason, cost };
}

/** The stream alone stands in the way: with its bytes in memory this request could be repeated. */
function wouldRepeat({ bodySpent, verdict, operationClass }: RetryFacts): boolean {
  return bodySpent && (verdict.effect === 'none' || operationClass !== 'create');
}

/** A probe that failed cost its call no retry. */
function countedOf({ attempts, failedProbes }: RetryFacts): number {
  return attempts.length - failedProbes;
}

function ownDelayMs(facts: RetryFacts): number {
  const { policy, attempts, random } = facts;
  const last = attempts.at(-1);
  const previousMs = last?.waitReason === 'backoff' ? last.waitedMs : 0;
  return backoffMs(policy, Math.max(countedOf(facts), 1), random, previousMs);
}

/**
 * Up to one base delay on top of a wish. A wish of zero (`Retry-After: 0`, a reset in the past) names no time at all:
 * there the normal backoff is the jitter, or an upstream that repeats it for ever would be hammered.
 */
function jitterMs(facts: RetryFacts, wishMs: number): number {
  const { policy, random } = facts;
  if (wishMs === 0) return Math.min(ownDelayMs(facts), policy.maxWaitMs);
  return policy.jitter === 'none' ? 0 : random * Math.min(policy.baseDelayMs, policy.maxDelayMs);
}

/** Free, once per exchange, when nothing of the attempt was sent: it added nothing to the upstream's load. */
function costOf({ attempts, verdict }: RetryFacts): number {
  if (attempts.at(-1)?.sent === 'no' && attempts.filter(({ sent }) => sent === 'no').length === 1) return 0;
  return verdict.class === 'throttled' ? THROTTLED_COST : 1;
}
