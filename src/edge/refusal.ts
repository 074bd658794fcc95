/** Answers that Holdfast makes before an exchange exists: what was wrong with the request, and what to do about it. */

import type { HoldfastCode } from '../core/outcome.ts';

/** One refused request. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly code: HoldfastCode;
  /** What the client may see: what is wrong and what is allowed. */
  readonly message: string;
  /** Short and stable: `reason` of the `Holdfast` header and `why` of the log. */
  readonly reason: string;
  /** Seconds; null for none. */
  readonly retryAfterS: number | null;
}

function refusal(status: number, code: HoldfastCode, reason: string, message: string): Refusal {
  return { kind: 'refusal', status, code, message, reason, retryAfterS: null };
}

/** 400 with a reason of its own. */
export function badRequest(reason: string, message: string): Refusal {
  return refusal(400, 'holdfast_bad_request', reason, message);
}

/** 417 (RFC 9110 §10.1.1). */
export const UNKNOWN_EXPECTATION = refusal(
  417,
  'holdfast_bad_request',
  'unknown_expectation',
  'Only "Expect: 100-continue" is understood; send the request without Expect.',
);

/** 431: the head is larger than `HEAD_BYTES_MAX`. */
export const HEAD_TOO_LARGE = refusal(
  431,
  'holdfast_bad_request',
  'head_too_large',
  'The request line and its header fields are larger than 16 KiB together; send fewer or shorter ones.',
);

/** 408: the head did not come within its time. */
export const HEAD_TOO_SLOW = refusal(
  408,
  'holdfast_request_timeout',
  'head_too_slow',
  'The header fields did not arrive within 10 seconds; send the request again.',
);

/** 408: the body fell silent. */
export const BODY_TOO_SLOW = refusal(
  408,
  'holdfast_request_timeout',
  'body_too_slow',
  'The body stopped arriving for longer than timeout.body_idle; send the request again.',
);

/** 401: no client token, or a wrong one. */
export const UNAUTHORIZED = refusal(
  401,
  'holdfast_unauthorized',
  'client_token',
  'This Holdfast wants its own token in "Holdfast-Authorization: Bearer …"; Authorization stays for Intercom.',
);

/** 508: the request was here before. */
export const LOOP = refusal(
  508,
  'holdfast_loop',
  'loop',
  'The request came through this Holdfast already: upstream.url leads back to it. Correct upstream.url.',
);

/** 503: the process is on its way out. */
export const SHUTTING_DOWN: Refusal = {
  ...refusal(
    503,
    'holdfast_overloaded',
    'shutdown',
    'This Holdfast is shutting down; nothing was sent. Send the request again over a new connection.',
  ),
  retryAfterS: 1,
};

/** 413 with the limit that was passed, and its key. */
export function bodyTooLarge(limitBytes: number, key = 'limits.request_body'): Refusal {
  return refusal(
    413,
    'holdfast_body_too_large',
    'body_too_large',
    `The body is larger than ${key} (${limitBytes} bytes); send less, or raise the limit.`,
  );
}
