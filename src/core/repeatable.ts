/**
 * Two questions that decide over duplicates (semantics §2): did the attempt take effect, and may the same request be
 * sent again? RFC 9110 §9.2.2 allows an automatic repeat of a request that is not idempotent only on knowledge that it
 * was not applied. That knowledge is the phase that was reached and the upstream's own words; an error code of the
 * socket is none, for ECONNRESET comes with and without bytes written. Guards and reconciliation are later knowledge
 * and belong to the reconcile layer: here a create whose effect is open is never repeatable.
 */

import type { Sent } from './outcome.ts';
import type { Effect, OperationClass } from './verdict.ts';

/** What the head of an error answer says about its effect, beside the status. */
export interface Refusal {
  /** `Retry-After` came with it, or the code `service_unavailable`: turned away at the door. */
  readonly turnedAway: boolean;
  /** The input is blamed: validation comes before the write, so nothing was written. */
  readonly blamesInput: boolean;
}

/** The effect of an attempt that ended without a head. */
export function effectOfFailure(sent: Sent, operationClass: OperationClass): Effect {
  return sent === 'no' || operationClass === 'read' ? 'none' : 'unknown';
}

/**
 * The effect of a status. From 400 on a 4xx is a refusal, except 408: on any write it may mean that the upstream gave up
 * on itself, and calling it "none" would turn the 404 of the repeated DELETE into an error. 501 and 505 (RFC 9110
 * §15.6) refuse what the server cannot do at all. Statuses outside 100..599 are read as 5xx (RFC 9110 §15).
 */
export function effectOfStatus(status: number, operationClass: OperationClass, refusal: Refusal): Effect {
  if (operationClass === 'read') return 'none';
  if (status >= 200 && status < 400) return 'applied';
  if (status >= 400 && status < 500) return status === 408 ? 'unknown' : 'none';
  if (status === 501 || status === 505 || refusal.blamesInput) return 'none';
  return status === 503 && refusal.turnedAway ? 'none' : 'unknown';
}

/**
 * Whether a repeat cannot cause a second effect, as far as effect and class tell. An attempt of which nothing was sent
 * has the effect `none`. The request's body must be at hand as well, which is the caller's part.
 */
export function repeatsSafely(effect: Effect, operationClass: OperationClass): boolean {
  return effect === 'none' || operationClass !== 'create';
}
