/**
 * What a caller is shown of an operation (contract, `GET /.holdfast/operations/{id}`): the same in the 202 that accepts a
 * call and at its address afterwards. Nothing of its request is shown; whoever asks has sent it.
 */

import type { Operation } from './operation.ts';
import type { Answered } from './outcome.ts';
import { OK } from './verdict.ts';

/** Where operations are found on the data plane. */
export const OPERATIONS_PATH = '/.holdfast/operations';

/** The part of an operation that the view needs. */
export type ViewedOperation = Pick<
  Operation,
  | 'id'
  | 'state'
  | 'endpoint'
  | 'effect'
  | 'reason'
  | 'deadReason'
  | 'dueAtMs'
  | 'createdAtMs'
  | 'updatedAtMs'
  | 'answer'
> & { readonly attempts: readonly unknown[] };

/** Nothing more happens to it by itself. */
export function isOver({ state, dueAtMs }: Pick<Operation, 'state' | 'dueAtMs'>): boolean {
  if (state === 'unknown') return dueAtMs === null;
  return state !== 'reserved' && state !== 'sent' && state !== 'waiting' && state !== 'redriving';
}

/** The document of an operation; times are RFC 3339. */
export function viewOf(operation: ViewedOperation): Record<string, unknown> {
  const { id, state, endpoint, effect, reason, deadReason, dueAtMs, answer } = operation;
  const self = `${OPERATIONS_PATH}/${id}`;
  return {
    id,
    state,
    done: isOver(operation),
    endpoint,
    attempts: operation.attempts.length,
    effect,
    reason,
    ...(deadReason === null ? {} : { dead_reason: deadReason }),
    due_at: isOver(operation) || dueAtMs === null ? null : timeOf(dueAtMs),
    created_at: timeOf(operation.createdAtMs),
    updated_at: timeOf(operation.updatedAtMs),
    status: answer?.status ?? null,
    links: { self, response: `${self}/response` },
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** Seconds until it is worth asking again. */
export function askAgainS(dueAtMs: number | null, nowMs: number): number {
  return Math.min(Math.max(Math.ceil(((dueAtMs ?? nowMs) - nowMs) / 1000), 1), ASK_AGAIN_MAX_S);
}

const ASK_AGAIN_MAX_S = 900;

/** 202: the call is ours. `waitMs` is the wait that was asked for and honoured; null for none. */
export function acceptedAnswer(operation: ViewedOperation, waitMs: number | null, nowMs: number): Answered {
  const bytes = Buffer.from(JSON.stringify(viewOf(operation)));
  const applied = waitMs === null ? 'respond-async' : `respond-async, wait=${Math.round(waitMs / 1000)}`;
  return {
    kind: 'answered',
    from: 'proxy',
    status: 202,
    headers: [
      'Content-Type',
      'application/json; charset=utf-8',
      'Content-Length',
      String(bytes.length),
      'Location',
      `${OPERATIONS_PATH}/${operation.id}`,
      'Preference-Applied',
      applied,
      'Retry-After',
      String(askAgainS(operation.dueAtMs, nowMs)),
    ],
    body: { kind: 'bytes', bytes },
    trailers: [],
    verdict: { ...OK, reason: 'handed_over', effect: operation.effect },
  };
}
