/**
 * The names under which operations are found again (semantics §6): the hash of a key within its scope, the fingerprint
 * that a second request under the same key must equal, and the identity that a hold compares. Large bodies are hashed by
 * WebCrypto on another thread, and taken raw: parsing a megabyte in order to sort its members would hold up every other
 * call. Small JSON is compared by value, because a client that sends again may well serialize again.
 *
 * Every name that reaches the disk is keyed: with a plain hash whoever has the ledger, but not its key, could try who is in it.
 */

import { isUtf8 } from 'node:buffer';
import { createHmac, hash, type KeyObject, subtle } from 'node:crypto';
import type { Exchange, RequestBody } from './exchange.ts';
import { headerListOf } from './raw-headers.ts';

/** Up to here a body is hashed where it stands (about 90 µs) and JSON is compared by value. */
export const SMALL_BODY_BYTES = 64 * 1024;

/** A body as it counts in names: `exact` for the identity, `meant` for the fingerprint. */
export interface BodyHashes {
  readonly exact: string;
  readonly meant: string;
}

/** The keyed hash of which names are made, 64 hex digits. */
export function nameOf(namesKey: KeyObject, text: string): string {
  return createHmac('sha256', namesKey).update(text).digest('hex');
}

/** Of an idempotency key within its scope. */
export function keyHashOf(namesKey: KeyObject, scope: string, key: string): string {
  return nameOf(namesKey, `${scope}\nkey\n${key}`);
}

/**
 * The key of a call that sent none, from what `derive` found in its body. Null when any part is undefined, null, "", an
 * array or an object: records would be taken for one another. The fingerprint is part of it, so that another body under
 * the same parts is an operation of its own, and a pipeline that sends both runs into both again.
 */
export function derivedKeyHashOf(
  namesKey: KeyObject,
  { scope, policy }: Exchange,
  parts: readonly unknown[],
  fingerprint: string,
): string | null {
  if (parts.length === 0 || !parts.every(isPart)) return null;
  const key = hash('sha256', `${policy.name}\n${JSON.stringify(parts)}`, 'hex');
  return nameOf(namesKey, `${scope}\nderived\n${key}\n${fingerprint}`);
}

function isPart(part: unknown): boolean {
  return (typeof part === 'string' && part !== '') || typeof part === 'boolean' || Number.isFinite(part);
}

/** The hashes of a small body, at once; null for one that must be hashed elsewhere. */
export function smallBodyHashes(body: RequestBody, meant: boolean): BodyHashes | null {
  if (body.kind === 'none') return { exact: 'none', meant: 'none' };
  // A stream is not read before it is sent: its length is all that is known of it.
  if (body.kind === 'stream') return { exact: 'stream', meant: `stream ${body.lengthBytes}` };
  if (body.bytes.length > SMALL_BODY_BYTES) return null;
  const exact = hash('sha256', body.bytes, 'hex');
  const sorted = meant ? canonicalJson(body.bytes) : null;
  return { exact, meant: sorted === null ? exact : `json ${hash('sha256', sorted, 'hex')}` };
}

/** The hashes of a body of any size. */
export async function bodyHashes(body: RequestBody, meant: boolean): Promise<BodyHashes> {
  const small = smallBodyHashes(body, meant);
  if (small !== null || body.kind !== 'bytes') return small ?? { exact: 'none', meant: 'none' };
  // Only shared memory is refused by WebCrypto, and a body never is that.
  const bytes = body.bytes as Buffer<ArrayBuffer>;
  const exact = Buffer.from(await subtle.digest('SHA-256', bytes)).toString('hex');
  return { exact, meant: exact };
}

/** In the place of a scope: names that are the same with every credential. */
export const NO_SCOPE = '';

/** What a hold compares: scope, method, target, and the body byte for byte. */
export function identityOf(
  namesKey: KeyObject,
  { scope, method, target }: Pick<Exchange, 'scope' | 'method' | 'target'>,
  { exact }: Pick<BodyHashes, 'exact'>,
): string {
  return nameOf(namesKey, `${scope}\nidentity\n${method}\n${target}\n${exact}`);
}

/** What a second request under the same key must equal: method, path, sorted query, version, content type, body. */
export function fingerprintOf(
  namesKey: KeyObject,
  { method, target, headers }: Exchange,
  { meant }: BodyHashes,
): string {
  const version = headerListOf(headers, 'intercom-version') ?? '';
  const type = (headerListOf(headers, 'content-type') ?? '').toLowerCase();
  return nameOf(namesKey, `fingerprint\n${method}\n${sortedQuery(target)}\n${version}\n${type}\n${meant}`);
}

function sortedQuery(target: string): string {
  const at = target.indexOf('?');
  if (at === -1) return target;
  const parts = target.slice(at + 1).split('&');
  return `${target.slice(0, at)}?${parts.sort().join('&')}`;
}

/** Members sorted, no space. Null for what is no JSON, or would lose a difference when it is parsed. */
function canonicalJson(bytes: Buffer): string | null {
  const first = bytes[0];
  // A cheap look before the parse: objects and arrays, or the space before them.
  if (first === undefined || (first !== 0x7b && first !== 0x5b && first > 0x20) || !isUtf8(bytes)) return null;
  try {
    return canonical(JSON.parse(bytes.toString()));
  } catch {
    return null;
  }
}

function canonical(value: unknown): string {
  if (typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new RangeError('two different numbers could read as this one');
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}
