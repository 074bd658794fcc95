/**
 * What an error of ours looks like on the wire: Intercom's shape, so that SDKs parse it, or problem JSON (RFC 9457)
 * when `Accept` prefers it, with the fields that every answer of ours carries.
 */

import type { HoldfastCode } from '../core/outcome.ts';
import { STATUS_CODES } from '../ops/node-http.ts';
import { type HoldfastFacts, holdfastHeader } from './holdfast-header.ts';

/** One error to be written. */
export interface ErrorFacts {
  readonly status: number;
  readonly code: HoldfastCode;
  readonly message: string;
  readonly requestId: string;
  /** Whole seconds; null for none. */
  readonly retryAfterS: number | null;
  /** Parameters of `Proxy-Status` (RFC 9209 §2.3); `error=dns_error`. */
  readonly proxyStatus: string;
  readonly holdfast: HoldfastFacts;
}

/** An error of ours, ready to be written. `headers` is flat and may be added to. */
export interface ErrorAnswer {
  readonly headers: string[];
  readonly bytes: Buffer;
}

/** Renders one error. `accept` is the client's `Accept`, null when it sent none; `via` our pseudonym. */
export function errorAnswer(facts: ErrorFacts, accept: string | null, via: string): ErrorAnswer {
  const { status, code, message, requestId } = facts;
  const problem = prefersProblem(accept);
  const body = problem
    ? { type: 'about:blank', title: STATUS_CODES[status], status, detail: message, code, request_id: requestId }
    : { type: 'error.list', request_id: requestId, errors: [{ code, message }] };
  const bytes = Buffer.from(JSON.stringify(body));
  const headers = [
    'Content-Type',
    problem ? 'application/problem+json' : 'application/json; charset=utf-8',
    'Content-Length',
    String(bytes.length),
    'Holdfast',
    holdfastHeader(facts.holdfast),
    'Via',
    `1.1 ${via}`,
    'Proxy-Status',
    `holdfast; ${facts.proxyStatus}`,
  ];
  if (facts.retryAfterS !== null) headers.push('Retry-After', String(facts.retryAfterS));
  if (status === 401) headers.push('WWW-Authenticate', 'Bearer realm="holdfast"');
  return { headers, bytes };
}

/** Problem JSON only when it is named, and not liked less than plain JSON (RFC 9110 §12.5.1). */
function prefersProblem(accept: string | null): boolean {
  if (accept === null || !/application\/problem\+json/i.test(accept)) return false;
  let problem = 0;
  let json = 0;
  for (const range of accept.split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='));
    const q = quality === undefined ? 1 : Number(quality.slice(2)) || 0;
    if (type === 'application/problem+json') problem = q;
    else if (type === 'application/json') json = q;
  }
  return problem > 0 && problem >= json;
}
