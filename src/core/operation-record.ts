/**
 * What the ledger writes of a call: its row before the wire, and the change that its outcome makes. One function says how
 * an operation ended, for the row, for whoever waits for it, and for the key alike: `succeeded` is kept and replayed,
 * `released` left nothing behind and may run again, `unknown` is a state and not an answer (semantics §6). An effect that
 * is applied while its answer is lost counts as unknown: there is nothing to replay, and running again would double it.
 */

import { type AttemptRecord, type Exchange, effectOfAttempts } from './exchange.ts';
import type { Fate, RunNames } from './fate.ts';
import {
  type Operation,
  type OperationChange,
  type OperationState,
  SECRET_FIELDS,
  type StoredAnswer,
} from './operation.ts';
import type { Outcome } from './outcome.ts';
import type { IdempotencyPolicy } from './policy.ts';
import type { NextRun, QueuePlace } from './queue-ticket.ts';
import { headerOf, withoutHeaders } from './raw-headers.ts';
import type { Effect } from './verdict.ts';

/** How an operation ended for those who may ask for it again. */
export type EndingKind = 'succeeded' | 'released' | 'unknown';

/** Whose operation a row is, and under which names it is found. */
export interface OperationNames extends RunNames {
  readonly id: string;
}

/** The row of a call that is about to be sent, or begins to wait for that. Times are epoch ms. */
export function operationOf(
  exchange: Exchange,
  names: OperationNames,
  state: 'reserved' | 'sent',
  nowMs: number,
  passthrough: boolean,
): Operation {
  const { policy, body, headers } = exchange;
  return {
    ...names,
    kind: 'outbound',
    endpoint: policy.name,
    operationClass: exchange.operationClass ?? policy.operationClass,
    method: exchange.method,
    target: exchange.target,
    headers: withoutHeaders(headers, SECRET_FIELDS),
    body: body.kind === 'bytes' ? body.bytes : null,
    bodyKept: body.kind !== 'stream',
    scope: exchange.scope,
    credentialRef: exchange.credentialRef,
    credential: passthrough ? headerOf(headers, 'authorization') : null,
    context: exchange.context,
    parent: null,
    state,
    effect: state === 'sent' ? 'unknown' : 'none',
    reason: state,
    deadReason: null,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    sentAtMs: state === 'sent' ? nowMs : null,
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    delivered: false,
    looks: 0,
    deadAtMs: null,
    causeId: null,
    causeLabel: null,
    count: 1,
    formerKeyHash: null,
    naturalKey: null,
    configHash: null,
    handedOver: false,
    lane: null,
    resource: null,
    supersededBy: null,
    maybeSupersededBy: null,
    redriveId: null,
    attempts: [],
  };
}

/**
 * How the operation ended. Where a repeat does no harm the last word of the upstream counts; of a create every attempt
 * does, those of earlier runs included.
 */
export function endingOf(exchange: Exchange, outcome: Outcome): EndingKind {
  if (outcome.kind === 'answered' && outcome.verdict.class === 'ok') return 'succeeded';
  const isCreate = (exchange.operationClass ?? exchange.policy.operationClass) === 'create';
  if (!isCreate && outcome.kind === 'answered' && outcome.verdict.effect === 'none') return 'released';
  return effectOf(exchange, outcome) === 'none' ? 'released' : 'unknown';
}

/** What the whole run did: an earlier attempt may have done more than the last. */
export function effectOf(exchange: Exchange, { verdict }: Outcome): Effect {
  if (verdict.class === 'ok' || verdict.effect === 'applied') return verdict.effect;
  const before = effectOfAttempts(exchange);
  return before === 'none' ? verdict.effect : before;
}

/** What an ending changes in the row. */
export interface EndingFacts {
  readonly kind: EndingKind;
  /** Epoch ms. */
  readonly nowMs: number;
  /** Of the row; epoch ms. */
  readonly createdAtMs: number;
  readonly keyed: boolean;
  /** What a replay gives, or the caller of a handed-over call fetches; null for none. */
  readonly answer: StoredAnswer | null;
  readonly answerId: string | null;
  /** Attempts that are not on record yet. */
  readonly attempts: readonly AttemptRecord[];
  /** Looks that found nothing, in all runs. */
  readonly looks: number;
  /** Where the queue takes it up again; null when it has ended. */
  readonly next: (NextRun & QueuePlace) | null;
}

/**
 * Until when the answer under a key is kept, epoch ms: the TTL counts from the first call, and one that was in doubt for
 * longer than that is still kept for its caller to come again.
 */
export function keyExpiresAtMs(createdAtMs: number, nowMs: number, { ttlMs, holdMs }: IdempotencyPolicy): number {
  return Math.max(createdAtMs + ttlMs, nowMs + Math.min(holdMs, ttlMs));
}

/** The states that an ending may follow: what somebody else has settled meanwhile stays. */
export const OPEN_STATES: readonly OperationState[] = ['reserved', 'sent', 'unknown', 'waiting'];

/** The final record of a run. */
export function endingChange(exchange: Exchange, outcome: Outcome, facts: EndingFacts): OperationChange {
  const { kind, nowMs, keyed, attempts, next } = facts;
  const { fate, operation, queue } = exchange;
  const { idempotency } = exchange.policy;
  const base = { updatedAtMs: nowMs, reason: outcome.verdict.reason, attempts, looks: facts.looks };
  if (next !== null) return { ...base, ...waitingChange(exchange, outcome, kind, nowMs, next) };
  const queued = queue === null ? {} : { dueAtMs: null };
  const left = queue?.stage === 'accepted' && facts.answer !== null ? { answer: facts.answer } : {};
  const common = { ...base, ...queued, ...left };
  // What was handed over is asked for at its address, for as long as a key would be known.
  const live = keyed ? keyExpiresAtMs(facts.createdAtMs, nowMs, idempotency) : nowMs + idempotency.holdMs;
  const expiresAtMs = queue?.stage === 'accepted' ? nowMs + idempotency.ttlMs : live;
  switch (kind) {
    case 'succeeded':
      return {
        ...common,
        state: 'succeeded',
        effect: 'applied',
        answer: facts.answer,
        answerId: facts.answerId,
        expiresAtMs,
        // A keyed operation is found by its key for as long as it is kept, whoever has got the answer.
        ...(keyed ? { delivered: true } : {}),
      };
    case 'released':
      if (fate !== null) {
        // Its key is free for the caller's next try, whose success will supersede it.
        const formerKeyHash = operation?.names?.keyHash ?? null;
        const dead = { state: 'dead', effect: 'none', keyHash: null, formerKeyHash, expiresAtMs: null } as const;
        return { ...common, ...fateChange(fate, nowMs), ...dead };
      }
      return { ...common, state: 'rejected', effect: 'none', keyHash: null, expiresAtMs };
    case 'unknown': {
      const found = effectOf(exchange, outcome);
      const effect = found === 'none' ? 'unknown' : found;
      const death = fate === null ? {} : fateChange(fate, nowMs);
      // A look that sent nothing does not change since when it is lost, and begins no hold anew.
      const updatedAtMs = attempts.length === 0 ? (operation?.doubt?.lostAtMs ?? nowMs) : nowMs;
      return { ...common, ...death, updatedAtMs, state: 'unknown', effect, expiresAtMs: null };
    }
  }
}

/** It runs again; what is in doubt may be a dead letter meanwhile. */
function waitingChange(
  exchange: Exchange,
  outcome: Outcome,
  kind: EndingKind,
  nowMs: number,
  next: NextRun & QueuePlace,
): Omit<OperationChange, 'updatedAtMs'> {
  const { fate } = exchange;
  const found = effectOf(exchange, outcome);
  const effect = kind === 'released' ? 'none' : found === 'none' ? 'unknown' : found;
  return { ...(fate === null ? {} : fateChange(fate, nowMs)), ...next, effect, expiresAtMs: null };
}

/** What makes a dead letter of a row. In doubt it stays `unknown`, so that holds and keys find it; else it is `dead`. */
export function fateChange(fate: Fate, nowMs: number): Omit<OperationChange, 'state' | 'updatedAtMs'> {
  return {
    deadReason: fate.reason,
    deadAtMs: nowMs,
    causeId: fate.cause.id,
    causeLabel: fate.cause.label,
    naturalKey: fate.naturalKey,
    ...(fate.identity === null ? {} : { identity: fate.identity }),
    resource: fate.resource,
    configHash: fate.configHash,
  };
}

/** The row of a call that died without one. Times are epoch ms. */
export function deadOperationOf(
  exchange: Exchange,
  outcome: Outcome,
  fate: Fate,
  facts: {
    readonly names: RunNames;
    readonly nowMs: number;
    readonly receivedAtMs: number;
    readonly passthrough: boolean;
  },
): Operation {
  const { nowMs, names, passthrough } = facts;
  const { attempts, operation } = exchange;
  const row = operationOf(exchange, { ...names, id: fate.id, keyHash: null }, 'reserved', nowMs, passthrough);
  return {
    ...row,
    ...fateChange(fate, nowMs),
    state: 'dead',
    effect: effectOf(exchange, outcome),
    reason: outcome.verdict.reason,
    createdAtMs: facts.receivedAtMs,
    sentAtMs: operation?.sentAtMs ?? attempts.find(({ sent }) => sent !== 'no')?.startedAtMs ?? null,
    formerKeyHash: names.keyHash,
    attempts: [...attempts],
  };
}
