/**
 * What a row's try made of it. The state that it had before decides nothing here but what it falls back to: a create that
 * may have landed is `unknown` and is looked for by whoever comes next; everything else that failed is dead again, with
 * the reason and cause of this try when something was sent, and with its old ones when a layer refused it.
 */

import { type AttemptRecord, type Exchange, effectOfAttempts } from './exchange.ts';
import type { Operation, OperationChange, StoredAnswer } from './operation.ts';
import { fateChange } from './operation-record.ts';
import type { Outcome } from './outcome.ts';
import { UNDETECTABLE } from './reconcile.ts';
import { recoveryOf } from './recovery.ts';
import type { RowResult } from './redrive.ts';
import type { Effect } from './verdict.ts';

/** How a row's try ended. */
export interface RowEnding {
  readonly result: RowResult;
  /** Null: nothing can be learned from it about the upstream. */
  readonly failed: boolean | null;
  readonly detail: string;
  readonly change: OperationChange;
}

/** What is known beside exchange and outcome. */
export interface RowTry {
  /** As it was before. */
  readonly operation: Operation;
  /** Its doubt is a precaution: nothing of it had taken effect before. */
  readonly precaution: boolean;
  /** Its doubt was set aside by a person: nothing can show whether it had landed. */
  readonly isDecided: boolean;
  /** Epoch ms. */
  readonly nowMs: number;
  /** Of a success; null otherwise. */
  readonly answer: StoredAnswer | null;
  readonly answerId: string | null;
}

/** The reason of a row that is on the wire: it is `redriving` then as well. */
export const ON_WIRE = 'sent';

/** What becomes of a row that an earlier process had taken: as it was, or lost on the wire. `nowMs` is epoch ms. */
export function releasedChange(row: Operation, nowMs: number): OperationChange {
  if (row.reason === ON_WIRE) {
    const step = recoveryOf({ ...row, state: 'sent', handedOver: false, keyHash: keyOf(row) }, nowMs);
    if ('change' in step) return step.change;
  }
  const { operationClass, effect, updatedAtMs, keyHash } = row;
  const isInDoubt = operationClass === 'create' && effect !== 'none';
  const released = { updatedAtMs, redriveId: null };
  return isInDoubt
    ? { ...released, state: 'unknown', keyHash }
    : {
        ...released,
        state: row.supersededBy === null ? 'dead' : 'superseded',
        keyHash: null,
        formerKeyHash: keyOf(row),
      };
}

/** The key under which its caller sent it. */
export function keyOf({ keyHash, formerKeyHash }: Pick<Operation, 'keyHash' | 'formerKeyHash'>): string | null {
  return keyHash ?? formerKeyHash;
}

/** Decides on the final record of a row. */
export function rowEnding(exchange: Exchange, outcome: Outcome, facts: RowTry): RowEnding {
  const { operation, nowMs, answer, answerId } = facts;
  const { verdict } = outcome;
  const attempts = exchange.attempts.slice(operation.attempts.length);
  const looks = operation.looks + exchange.looks.filter(({ result }) => result === 'absent').length;
  const common = { updatedAtMs: nowMs, reason: verdict.reason, attempts, looks };
  const detail = detailOf(outcome, attempts);
  if (outcome.kind === 'answered' && verdict.class === 'ok') {
    const change = { ...common, state: 'succeeded', effect: 'applied', answer, answerId, delivered: true } as const;
    return { result: 'succeeded', failed: false, detail, change };
  }
  const effect = effectOf(exchange, outcome, facts, attempts);
  const isTransient = verdict.class === 'transient' || verdict.class === 'throttled';
  const { fate } = exchange;
  if (operation.operationClass === 'create' && effect !== 'none') {
    const death = fate === null ? {} : fateChange(fate, nowMs);
    const change = { ...common, ...death, state: 'unknown', deadReason: 'unknown', effect } as const;
    // That looking did not help says nothing against the upstream.
    return { result: 'unknown', failed: attempts.length > 0 && isTransient ? true : null, detail, change };
  }
  if (attempts.length === 0) {
    const { reason, deadReason } = operation;
    const change = { state: 'dead', updatedAtMs: nowMs, effect: operation.effect, reason, deadReason, looks } as const;
    return { result: 'dead', failed: true, detail, change };
  }
  const death = fate === null ? {} : fateChange(fate, nowMs);
  const isPermanent = verdict.class === 'permanent' || verdict.class === 'unauthorized';
  const deadReason = isPermanent ? 'permanent' : 'exhausted';
  return { result: 'dead', failed: true, detail, change: { ...common, ...death, state: 'dead', deadReason, effect } };
}

/** What all runs of it did together, without the doubt that was only a precaution. */
function effectOf(
  exchange: Exchange,
  { verdict }: Outcome,
  { operation, precaution, isDecided }: RowTry,
  attempts: readonly AttemptRecord[],
): Effect {
  if (verdict.effect === 'applied') return 'applied';
  if (operation.operationClass !== 'create') return attempts.at(-1)?.effect ?? operation.effect;
  if (isDecided && attempts.length === 0) return operation.effect;
  if (precaution) return attempts.find(({ effect }) => effect !== 'none')?.effect ?? 'none';
  // `reconcile` says `none` where it has proven that an earlier attempt did not land.
  if (verdict.effect === 'none' && attempts.at(-1)?.effect === 'none' && verdict.class !== 'transient') return 'none';
  const before = effectOfAttempts(exchange);
  return before === 'none' ? verdict.effect : before;
}

function detailOf(outcome: Outcome, attempts: readonly AttemptRecord[]): string {
  const last = attempts.at(-1);
  if (outcome.kind === 'answered') {
    const what = outcome.from === 'reconcile' ? ' found' : '';
    const code = last?.code ?? null;
    return `${outcome.status}${what}${code === null || outcome.verdict.class === 'ok' ? '' : ` ${code}`}`;
  }
  if (outcome.kind === 'failed') return outcome.failure;
  if (outcome.verdict.reason === UNDETECTABLE)
    return 'nothing can show whether it landed; --force with its id sends it';
  const { reason } = outcome.verdict;
  return last?.status ? `${last.status} ${last.code ?? reason}` : reason;
}
