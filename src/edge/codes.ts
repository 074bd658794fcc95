/** What our error codes and failures are called on the wire: statuses, and error types of `Proxy-Status`. */

import type { FailureKind, HoldfastCode } from '../core/outcome.ts';

/** The status of every code (contract, "Errors made by Holdfast"). */
export const STATUS_OF_CODE: Readonly<Record<HoldfastCode, number>> = {
  holdfast_bad_request: 400,
  holdfast_unauthorized: 401,
  holdfast_not_found: 404,
  holdfast_in_flight: 409,
  holdfast_request_timeout: 408,
  holdfast_body_too_large: 413,
  holdfast_key_reused: 422,
  holdfast_answer_not_kept: 409,
  holdfast_quota_wait: 429,
  holdfast_upstream_unreachable: 502,
  holdfast_answer_broken: 502,
  holdfast_loop: 508,
  holdfast_breaker_open: 503,
  holdfast_overloaded: 503,
  holdfast_store_unavailable: 503,
  holdfast_deadline: 504,
  holdfast_upstream_timeout: 504,
  holdfast_outcome_unknown: 504,
};

/** Error types of RFC 9209 §2.3, by code. */
export const PROXY_ERROR_OF_CODE: Readonly<Record<HoldfastCode, string>> = {
  holdfast_bad_request: 'http_request_error',
  holdfast_unauthorized: 'http_request_denied',
  holdfast_not_found: 'http_request_error',
  holdfast_in_flight: 'http_request_denied',
  holdfast_request_timeout: 'http_request_error',
  holdfast_body_too_large: 'http_request_error',
  holdfast_key_reused: 'http_request_denied',
  holdfast_answer_not_kept: 'http_request_denied',
  holdfast_quota_wait: 'http_request_denied',
  holdfast_upstream_unreachable: 'destination_unavailable',
  holdfast_answer_broken: 'http_response_incomplete',
  holdfast_loop: 'proxy_loop_detected',
  holdfast_breaker_open: 'destination_unavailable',
  holdfast_overloaded: 'connection_limit_reached',
  holdfast_store_unavailable: 'proxy_internal_error',
  holdfast_deadline: 'http_response_timeout',
  holdfast_upstream_timeout: 'http_response_timeout',
  holdfast_outcome_unknown: 'http_response_timeout',
};

/** Error types of RFC 9209 §2.3, by failure. */
export const PROXY_ERROR_OF_FAILURE: Readonly<Record<FailureKind, string>> = {
  connect: 'destination_unavailable',
  dns: 'dns_error',
  tls: 'tls_protocol_error',
  timeout: 'http_response_timeout',
  reset: 'connection_terminated',
  truncated: 'http_response_incomplete',
  broken: 'http_response_incomplete',
};
