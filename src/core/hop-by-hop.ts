/**
 * Fields that speak to the next hop only and end here (RFC 9110 §7.6.1, semantics §10). The length of a name decides
 * first, so that most fields cost one comparison; lower-casing every name of every message would cost more than all the
 * rest of the forwarding.
 */

import { headerListOf, type RawHeaders, withoutHeaders } from './raw-headers.ts';

/** Their names, lower-case. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** `Connection` cannot take these away: a client that names them would change what the message means. */
const NEVER_NAMED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'authorization',
  'cache-control',
  'idempotency-key',
]);

const lengths: boolean[] = [];
for (const name of HOP_BY_HOP) lengths[name.length] = true;

/**
 * Takes hop-by-hop fields and those that `Connection` names out of the list, in place: it was made for this, and a copy of
 * every head is garbage. Order, case and duplicates of the rest stay.
 */
export function dropHopByHop(headers: string[]): RawHeaders {
  let kept = 0;
  let named: ReadonlySet<string> | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (lengths[name.length] === true) {
      const lower = name.toLowerCase();
      if (lower === 'connection') named ??= namedByConnection(headerListOf(headers, 'connection') ?? '');
      if (HOP_BY_HOP.has(lower)) continue;
    }
    if (kept !== i) {
      headers[kept] = name;
      headers[kept + 1] = headers[i + 1] as string;
    }
    kept += 2;
  }
  headers.length = kept;
  return named === null || named.size === 0 ? headers : withoutHeaders(headers, named);
}

const NOBODY: ReadonlySet<string> = new Set();

/** The fields that a `Connection` value names, lower-case, without those that it cannot take away. */
export function namedByConnection(connection: string): ReadonlySet<string> {
  const lower = connection.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return NOBODY;
  const named = new Set<string>();
  for (const token of lower.split(',')) {
    const name = token.trim();
    if (name !== '' && !NEVER_NAMED.has(name)) named.add(name);
  }
  return named;
}
