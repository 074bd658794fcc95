/** What is answered at the address of an operation when there is nothing to show. */

import type { HoldfastCode } from '../core/outcome.ts';
import type { Refusal } from './refusal.ts';

function refusal(status: number, code: HoldfastCode, reason: string, message: string): Refusal {
  return { kind: 'refusal', status, code, message, reason, retryAfterS: null };
}

/** 404: not there, not kept any more, or somebody else's. */
export const NO_OPERATION = refusal(
  404,
  'holdfast_not_found',
  'no_operation',
  'There is no such operation for this credential: it never was, is not kept any more, or belongs to another one.',
);

/** 405. */
export const OPERATIONS_METHOD = refusal(
  405,
  'holdfast_bad_request',
  'operations_method',
  'An operation is read with GET and cancelled with DELETE; its /response is read with GET.',
);

/** 409: its answer may still come; with Retry-After. */
export const NOT_DONE = refusal(
  409,
  'holdfast_in_flight',
  'not_done',
  'This operation has not ended: ask again later, or hold the question open with "Prefer: wait=30".',
);

/** 404: it ended, and the upstream said nothing that could be shown. */
export const NO_ANSWER = refusal(
  404,
  'holdfast_not_found',
  'no_answer',
  'This operation ended without an answer of the upstream; its state and reason stand at the address without /response.',
);

/** 409: done, and its answer was not kept. */
export const TOO_LARGE_TO_KEEP = refusal(
  409,
  'holdfast_answer_not_kept',
  'answer_not_kept',
  'The call was done, but its answer was larger than limits.stored_answer and is not kept. Read the object instead.',
);

/** 409: too late to cancel. */
export const ALREADY_SENT = refusal(
  409,
  'holdfast_in_flight',
  'already_sent',
  'Only a call that waits in the queue and has had no effect can be cancelled; this one was sent, has ended, or has a caller who waits.',
);

/** 503: the ledger cannot be read. */
export const STORE_GONE: Refusal = {
  ...refusal(
    503,
    'holdfast_store_unavailable',
    'store_unavailable',
    'Operations are kept in the ledger, and the ledger is unavailable. Ask again later.',
  ),
  retryAfterS: 1,
};
