/**
 * What a crash left behind, and what becomes of it (design, "The ledger"). The ledger was written before the wire, so that
 * its states bound what may have happened: `reserved` was never sent, `sent` may have taken effect. Nothing is run again
 * blindly. Creates are looked for; an idempotent write could be sent again without harm, but nobody waits for it, and an
 * old value might overwrite a newer one: only its caller may decide that, so its key is let go.
 *
 *     handed over       ──▶ waiting, or unknown when it is a create that was sent: the queue goes on
 *     reserved, keyed   ──▶ removed: the caller's next try is the first one
 *     reserved          ──▶ dead, interrupted, effect none
 *     sent, create      ──▶ unknown: on hold, looked for
 *     sent, otherwise   ──▶ dead, interrupted
 *     unknown, create   ──▶ looked for again
 *     succeeded, undelivered ──▶ on hold for its caller
 *
 * Where the endpoint does not keep the dead letter that would come of it, the row is removed instead.
 */

import { causeGroup } from './cause-group.ts';
import type { AttemptRecord } from './exchange.ts';
import type { Operation, OperationChange } from './operation.ts';
import type { DeadLetterPolicy, EndpointPolicy, IdempotencyPolicy } from './policy.ts';
import type { OpenOperation } from './store.ts';

/** What becomes of one open operation. */
export type Recovery =
  | { readonly kind: 'remove' }
  /** Becomes a dead letter. */
  | { readonly kind: 'bury'; readonly change: OperationChange }
  /** Becomes unknown; held, and looked for. */
  | { readonly kind: 'doubt'; readonly change: OperationChange }
  /** Was handed over: the queue goes on with it. */
  | { readonly kind: 'queue'; readonly change: OperationChange }
  /** Is unknown already; held, and looked for. */
  | { readonly kind: 'look' }
  /** Held for a caller that was not answered. */
  | { readonly kind: 'hold' };

/** Decides on one operation that an earlier process left open. `nowMs` is epoch ms. */
export function recoveryOf(open: OpenOperation, nowMs: number): Recovery {
  const isCreate = open.operationClass === 'create';
  switch (open.state) {
    case 'reserved':
      if (open.handedOver) return { kind: 'queue', change: queued(open, nowMs) };
      return open.keyHash === null ? { kind: 'bury', change: buried(open, nowMs) } : { kind: 'remove' };
    case 'sent':
      if (open.handedOver) return { kind: 'queue', change: queued(open, nowMs) };
      return isCreate ? { kind: 'doubt', change: doubted(open, nowMs) } : { kind: 'bury', change: buried(open, nowMs) };
    case 'unknown':
      // It is in the queue, or kept for a person.
      if (open.handedOver) return { kind: 'hold' };
      return isCreate ? { kind: 'look' } : { kind: 'bury', change: buried(open, nowMs) };
    case 'succeeded':
    case 'rejected':
    case 'waiting':
    case 'dead':
    case 'redriving':
    case 'discarded':
    case 'superseded':
      return { kind: 'hold' };
  }
}

/**
 * The step where an endpoint does not keep such dead letters (`dead_letter.on`): what is done with goes, and its key with
 * it; what is in doubt stays for its caller. `isDead`: it was one before, and stays one.
 */
export function withoutDeath(step: Recovery, { on }: DeadLetterPolicy, isDead: boolean): Recovery {
  if ((step.kind !== 'bury' && step.kind !== 'doubt') || !step.change.deadReason) return step;
  if (isDead || on.has(step.change.deadReason)) return step;
  if (step.kind === 'bury') return { kind: 'remove' };
  return {
    kind: 'doubt',
    change: { ...step.change, deadReason: null, deadAtMs: null, causeId: null, causeLabel: null },
  };
}

/** Nobody but the queue runs it: what does no harm twice is sent again, and a create is looked for first. */
function queued(open: OpenOperation, nowMs: number): OperationChange {
  const due = { updatedAtMs: nowMs, dueAtMs: nowMs, reason: INTERRUPTED, expiresAtMs: null };
  if (open.state === 'reserved') return { ...due, state: 'waiting', effect: 'none' };
  const state = open.operationClass === 'create' ? 'unknown' : 'waiting';
  return { ...due, state, effect: 'unknown', attempts: [interruptedAttempt(open)] };
}

function doubted(open: OpenOperation, nowMs: number): OperationChange {
  return {
    state: 'unknown',
    updatedAtMs: nowMs,
    effect: 'unknown',
    reason: INTERRUPTED,
    expiresAtMs: null,
    attempts: [interruptedAttempt(open)],
    // Until it is found: where nothing can be looked for, nobody else will tell a person.
    deadReason: 'unknown',
    ...diedOf(open, nowMs),
  };
}

function buried(open: OpenOperation, nowMs: number): OperationChange {
  const dead = {
    state: 'dead',
    updatedAtMs: nowMs,
    keyHash: null,
    formerKeyHash: open.keyHash,
    dueAtMs: null,
    expiresAtMs: null,
    ...diedOf(open, nowMs),
  } as const;
  if (open.state === 'reserved') return { ...dead, deadReason: 'interrupted', effect: 'none', reason: INTERRUPTED };
  // Its end was recorded, with the attempts and the reason.
  if (open.state === 'unknown') return { ...dead, deadReason: 'unknown' };
  const attempts = [interruptedAttempt(open)];
  return { ...dead, deadReason: 'interrupted', effect: 'unknown', reason: INTERRUPTED, attempts };
}

const INTERRUPTED = 'interrupted';

function diedOf({ endpoint }: OpenOperation, nowMs: number) {
  const cause = causeGroup({ endpoint, status: null, failure: INTERRUPTED, code: null, message: null });
  return { deadAtMs: nowMs, causeId: cause.id, causeLabel: cause.label };
}

/** Attempts are written with the end of a run. Of one that did not end it is known that it sent, and since when. */
function interruptedAttempt({ sentAtMs, updatedAtMs }: OpenOperation): AttemptRecord {
  return {
    n: 1,
    startedAtMs: sentAtMs ?? updatedAtMs,
    durationMs: 0,
    status: null,
    failure: null,
    sent: 'maybe',
    verdict: 'transient',
    reason: INTERRUPTED,
    effect: 'unknown',
    waitedMs: 0,
    waitReason: null,
    requestId: null,
  };
}

/** The operation as its change leaves it. */
export function afterRecovery(open: OpenOperation, change: OperationChange): OpenOperation {
  const { state, updatedAtMs } = change;
  return { ...open, state, updatedAtMs, effect: change.effect ?? open.effect };
}

/**
 * Whether a run that recovers an operation may send it again, as far as its age goes. Without a key, a hold keeps a second
 * call like it away only for `idempotency.hold`: after that its caller may have sent it again, as an operation of its own,
 * and what that made is not ours to find. Under a key nobody else can; but nothing goes out a day late. A clock that was
 * set back says nothing about an age.
 */
export function mayStillBeSent(operation: Operation, policy: IdempotencyPolicy, nowMs: number): boolean {
  if (operation.sentAtMs === null) return false;
  const ageMs = nowMs - operation.sentAtMs;
  return ageMs >= 0 && ageMs < (operation.keyHash === null ? policy.holdMs : policy.ttlMs);
}

/** Whether anything can be found out about a lost create of this endpoint. */
export function isDetectable({ reconcile, guardedBy }: EndpointPolicy): boolean {
  return guardedBy !== null || reconcile.some(({ kind }) => kind !== 'on_error');
}
