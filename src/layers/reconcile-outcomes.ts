/** The outcomes that a search for a lost create ends with, and what its proof does to those that came before. */

import type { Exchange } from '../core/exchange.ts';
import { type Answered, type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import type { ProbeRecipe } from '../core/policy.ts';
import { UNDETECTABLE } from '../core/reconcile.ts';
import { OK } from '../core/verdict.ts';

const NOTHING = Buffer.alloc(0);

/** The answer that the create would have given; null for one without a body. */
export function landedAnswer(status: number, document: unknown): Answered {
  const verdict = { ...OK, reason: 'reconciled' };
  const from = { kind: 'answered', from: 'reconcile', status, trailers: [], verdict } as const;
  if (document === null) return { ...from, headers: ['Content-Length', '0'], body: { kind: 'bytes', bytes: NOTHING } };
  const bytes = Buffer.from(JSON.stringify(document));
  const headers = ['Content-Type', 'application/json; charset=utf-8', 'Content-Length', String(bytes.length)];
  return { ...from, headers, body: { kind: 'bytes', bytes } };
}

/** The success of an earlier attempt that a rule takes from the error of a later one; nobody has its answer. */
export function doneBefore({ verdict }: Outcome): Answered {
  const body = { kind: 'bytes', bytes: NOTHING } as const;
  return { kind: 'answered', from: 'upstream', status: 204, headers: [], body, trailers: [], verdict };
}

/** The last attempt did nothing, whatever those before it did. */
export function lastEffectIsNone({ attempts }: Exchange): boolean {
  return attempts.at(-1)?.effect === 'none';
}

/** Nothing that was sent has taken effect: what looks have proven is written into the history. */
export function withoutEffect(exchange: Exchange, outcome: Outcome): Outcome {
  for (const [i, attempt] of exchange.attempts.entries()) exchange.attempts[i] = { ...attempt, effect: 'none' };
  if (exchange.operation !== null) exchange.operation = { ...exchange.operation, doubt: null };
  return { ...outcome, verdict: { ...outcome.verdict, effect: 'none' } };
}

/** The error of the repeat is the upstream's answer, whatever its row calls it after a lost attempt. */
export function notOurs(outcome: Answered): Answered {
  const { verdict } = outcome;
  return { ...outcome, verdict: { ...verdict, class: verdict.class === 'ok' ? 'permanent' : verdict.class } };
}

/** Whether it is ours cannot be found out. */
export function leftOpen(outcome: Outcome): Outcome {
  return { ...outcome, verdict: { ...outcome.verdict, class: 'transient', effect: 'unknown', repeatable: false } };
}

/** A body cannot flow for as long as a search takes. */
export function withoutStream(outcome: Outcome): Outcome {
  const stream = streamOf(outcome);
  if (stream === null) return outcome;
  stream.discard();
  const detail = 'the answer was given up while the create was looked for';
  return { kind: 'failed', failure: 'truncated', sent: 'yes', detail, verdict: outcome.verdict };
}

/** Nothing was sent in this run, and an earlier one is still in doubt. `recipe` null: no entry of the map can show it. */
export function unknown({ recipe }: { readonly recipe: ProbeRecipe | null }): Refused {
  return {
    kind: 'refused',
    by: 'reconcile',
    code: 'holdfast_outcome_unknown',
    message: `An earlier sending of this create may have been applied, and ${recipe === null ? 'nothing can show it' : 'it was not found yet'}. Nothing was sent now.`,
    retryAfterMs: null,
    verdict: {
      ...OK,
      class: 'transient',
      reason: recipe === null ? UNDETECTABLE : 'outcome_unknown',
      effect: 'unknown',
    },
  };
}
