/**
 * Whether a call that ended has to be kept as a dead letter, and why (semantics §9). Looks at the true ending, inside the
 * deadline, and at the call's whole history: a create whose first attempt may have landed stays in doubt, whatever its
 * last answer was. The caller's own words (`policy`, the map's `never`) come last, because what they may forgo is a row,
 * and never the knowledge that a create is in doubt: `never` speaks of answers, not of lost ones.
 */

import { type Exchange, effectOfAttempts } from './exchange.ts';
import type { DeadReason } from './operation.ts';
import type { Outcome } from './outcome.ts';
import type { Effect, OperationClass } from './verdict.ts';

/** Who hears of the ending: a live caller does, a call from the queue or a redrive has nobody. */
export type Audience = 'caller' | 'nobody';

/** Why the call is a dead letter; null when it is none. */
export function deadReason(exchange: Exchange, outcome: Outcome, audience: Audience): DeadReason | null {
  const { policy } = exchange;
  const { verdict } = outcome;
  if (verdict.class === 'ok' || policy.mode === 'observe') return null;
  // Answered out of a record: that operation has had its own ending.
  if (outcome.kind === 'answered' && (outcome.from === 'replay' || outcome.from === 'cache')) return null;
  const operationClass = exchange.operationClass ?? policy.operationClass;
  if (operationClass === 'read' && policy.deadLetter.writesOnly) return null;
  const reason = reasonOf(exchange, outcome, operationClass);
  if (!policy.deadLetter.on.has(reason)) return null;
  const answersOnly = reason === 'permanent' || reason === 'exhausted';
  return verdict.deadLetter === 'never' && audience === 'caller' && answersOnly ? null : reason;
}

function reasonOf(exchange: Exchange, outcome: Outcome, operationClass: OperationClass): DeadReason {
  const { verdict } = outcome;
  // An idempotent write in doubt is only a failed one: sent again it does no harm.
  if (operationClass === 'create' && effectOf(exchange, outcome) !== 'none') return 'unknown';
  if (verdict.class === 'permanent' || verdict.class === 'unauthorized') return 'permanent';
  if (wasInterrupted(exchange, verdict.reason)) return 'interrupted';
  return outcome.kind === 'refused' && exchange.attempts.length === 0 ? 'refused' : 'exhausted';
}

/** As the caller is told: an earlier attempt may have done more than the last. */
function effectOf(exchange: Exchange, { verdict }: Outcome): Effect {
  if (verdict.effect !== 'none') return verdict.effect;
  return effectOfAttempts(exchange);
}

/** Its client left or the process stopped; a deadline is no interruption, the call had its time. */
function wasInterrupted({ cancel, withheld }: Exchange, reason: string): boolean {
  if (withheld === 'interrupted' || reason === 'interrupted') return true;
  return cancel.aborted && cancel.reason !== 'deadline';
}
