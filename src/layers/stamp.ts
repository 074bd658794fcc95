/**
 * The one change that Holdfast makes to a body: `created_at` on events that carry none (semantics §7). It stands inside the
 * ledger, which compares calls by what their callers sent, and outside everything that sends, so that all attempts of a
 * call carry one time. Streams, coded bodies and what is not JSON pass as they are.
 */

import type { Exchange } from '../core/exchange.ts';
import { headerOf, type RawHeaders } from '../core/raw-headers.ts';
import type { Layer } from '../core/service.ts';
import { stamped } from '../core/stamp.ts';
import type { Clock } from '../ops/clock.ts';

/** What the layer is made of. */
export interface StampParts {
  readonly clock: Clock;
}

/** Stamps the bodies of endpoints that ask for it. */
export function stamp(parts: StampParts): Layer {
  return (inner) => (exchange) => {
    const { stamp: field, mode } = exchange.policy;
    if (field !== null && mode === 'enforce') stampBody(exchange, field, parts.clock.wall());
    return inner(exchange);
  };
}

function stampBody(exchange: Exchange, field: string, nowMs: number): void {
  const { body, headers } = exchange;
  if (body.kind !== 'bytes' || headerOf(headers, 'content-encoding') !== null) return;
  if (!/\bjson\b/i.test(headerOf(headers, 'content-type') ?? '')) return;
  const bytes = stamped(body.bytes, field, Math.floor(nowMs / 1000));
  if (bytes === null) return;
  exchange.body = { kind: 'bytes', bytes };
  exchange.headers = withLength(headers, bytes.length);
}

function withLength(headers: RawHeaders, bytes: number): RawHeaders {
  return headers.map((value, i) =>
    i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'content-length' ? String(bytes) : value,
  );
}
