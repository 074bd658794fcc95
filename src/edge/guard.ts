/**
 * What Node's parser lets through and a proxy must not (semantics §10): everything that makes two parsers disagree about
 * where a request goes or where it ends. Runs before anything else looks at the request.
 */

import { badRequest, type Refusal } from './refusal.ts';

const VERSION = badRequest('http_version', 'Only HTTP/1.1 and HTTP/1.0 are served here.');
const TARGET = badRequest(
  'target_form',
  'The request target must be a path that starts with "/" and has no "#": point the base URL at Holdfast as if it were Intercom.',
);
const METHOD = badRequest('method', 'TRACE is not served.');
const HOST = badRequest('host', 'There must be exactly one Host field, a host and an optional port.');
const TRANSFER_ENCODING = badRequest(
  'transfer_encoding',
  'Transfer-Encoding must be "chunked" and nothing else, on HTTP/1.1, without Content-Length.',
);

/** `uri-host [ ":" port ]` (RFC 9110 §7.2), loosely: no `/`, `@`, `?`, `#`, white space or comma. */
const HOST_VALUE = /^[A-Za-z0-9\-._~%!$&'()*+;=:[\]]*$/;

/** Checks the request line. */
export function startLineFault(httpVersion: string, method: string, target: string): Refusal | null {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return VERSION;
  if (method === 'TRACE') return METHOD;
  if (target.charCodeAt(0) !== 0x2f || target.includes('#')) return TARGET;
  return null;
}

/** Checks `Host`: how many there were, and the first one's value. HTTP/1.0 may leave it out. */
export function hostFault(httpVersion: string, count: number, value: string): Refusal | null {
  if (count > 1 || (count === 0 && httpVersion === '1.1')) return HOST;
  return HOST_VALUE.test(value) ? null : HOST;
}

/** Checks how the body is delimited. `transferEncoding` is null when absent; two fields come joined. */
export function framingFault(httpVersion: string, transferEncoding: string | null, hasLength: boolean): Refusal | null {
  if (transferEncoding === null) return null;
  if (httpVersion === '1.0' || hasLength || transferEncoding.toLowerCase() !== 'chunked') return TRANSFER_ENCODING;
  return null;
}
