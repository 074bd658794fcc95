/** What a batch, or a line of it, is refused with. */

import { badRequest, type Refusal } from './refusal.ts';

/** Not a POST. */
export const BATCH_METHOD = badRequest('batch_method', 'A batch is sent with POST, one JSON request a line.');

/** One key for many requests. */
export const BATCH_KEY = badRequest(
  'batch_key',
  'An Idempotency-Key on the batch says nothing about its records: give each line its own "key".',
);

/** A compressed batch. */
export const BATCH_CODING = badRequest(
  'batch_coding',
  'A batch is read as it comes: send it without Content-Encoding.',
);

function later(code: Refusal['code'], status: number, reason: string, message: string): Refusal {
  return { kind: 'refusal', status, code, reason, message, retryAfterS: 1 };
}

/** Too many batches at once. */
export const TOO_MANY_BATCHES = later(
  'holdfast_overloaded',
  503,
  'batches',
  'Too many batches are running; nothing of this one was read. Send it again later.',
);

/** The process stops. */
export const BATCH_STOPPED = later(
  'holdfast_overloaded',
  503,
  'shutdown',
  'This Holdfast is stopping: this line and all behind it were not run. Send them again.',
);

/** The client stopped sending. */
export const BATCH_SILENT: Refusal = {
  ...later(
    'holdfast_request_timeout',
    408,
    'batch_silent',
    'No line came for longer than timeout.body_idle: this line and all behind it were not run.',
  ),
  retryAfterS: null,
};

/** More lines than one batch may have. */
export const BATCH_TOO_LONG: Refusal = {
  ...later(
    'holdfast_body_too_large',
    413,
    'batch_too_long',
    'A batch has at most 100,000 records: this line and all behind it were not run. Send them as another batch.',
  ),
  retryAfterS: null,
};
