/**
 * One line of a batch, read into what a request's head and body would have been. It goes through the same `readHead` as
 * every request, so that no rule of the front door has a second door beside it.
 */

import { namedByConnection } from '../core/hop-by-hop.ts';
import { nearest } from '../core/nearest.ts';
import type { Limits } from '../core/policy.ts';
import { headerListOf, type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import { METHODS } from '../ops/node-http.ts';
import { type Head, readHead } from './inbound.ts';
import { badRequest, bodyTooLarge, type Refusal } from './refusal.ts';
import { RESERVED_PREFIX } from './reserved-prefix.ts';

/** How the caller calls a record in its results. */
export type RecordId = string | number | null;

/** One request of a batch. */
export interface BatchRecord {
  readonly kind: 'record';
  readonly id: RecordId;
  readonly method: string;
  readonly target: string;
  readonly head: Head;
  /** Null for none. */
  readonly body: Buffer | null;
}

/** A line that is no request. */
export interface BadRecord {
  readonly kind: 'bad';
  readonly id: RecordId;
  readonly refusal: Refusal;
}

const KEYS = ['id', 'method', 'path', 'headers', 'body', 'key', 'context', 'timeout'];
const ID_CHARS_MAX = 256;
const CONTEXT_ENTRIES_MAX = 32;
const CONTEXT_VALUE_MAX = 1024;

/** Fields of the batch itself; what is left holds for each of its records. */
const OF_THE_BATCH: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'expect',
  'accept',
  'accept-encoding',
  'trailer',
  'te',
  'upgrade',
]);
/** Fields that a record has no say in, or a key of its own for. */
const NOT_IN_A_RECORD: ReadonlyMap<string, string> = new Map([
  ['host', 'it is the upstream’s'],
  ['connection', 'records have no connection'],
  ['content-length', 'it is counted'],
  ['transfer-encoding', 'records have no transfer'],
  ['expect', 'there is nothing to wait for'],
  ['via', 'it is Holdfast’s'],
  ['holdfast-authorization', 'the batch has it'],
  ['idempotency-key', 'use "key"'],
  ['holdfast-context', 'use "context"'],
  ['holdfast-timeout', 'use "timeout"'],
]);

/** The fields of a batch request that hold for its records. */
export function inheritedHeaders(rawHeaders: RawHeaders): string[] {
  const kept = withoutHeaders(rawHeaders, OF_THE_BATCH);
  const connection = headerListOf(rawHeaders, 'connection');
  return connection === null ? kept : withoutHeaders(kept, namedByConnection(connection));
}

/**
 * Reads one line; null is one that was longer than a line may be. `inherited` is from `inheritedHeaders`, `via` our
 * pseudonym. Never throws.
 */
export function recordOf(
  line: Buffer | null,
  inherited: RawHeaders,
  via: string,
  { repeatableBodyBytes, bufferedBytes }: Pick<Limits, 'repeatableBodyBytes' | 'bufferedBytes'>,
): BatchRecord | BadRecord {
  if (line === null) return tooLarge(null, repeatableBodyBytes, 'limits.repeatable_body');
  const record = readRecord(line, inherited, via);
  const fits = record.kind === 'bad' || (record.body?.length ?? 0) <= bufferedBytes;
  return fits ? record : tooLarge(record.id, bufferedBytes, 'limits.buffered');
}

function tooLarge(id: RecordId, limitBytes: number, key: string): BadRecord {
  return { kind: 'bad', id, refusal: bodyTooLarge(limitBytes, key) };
}

function readRecord(line: Buffer, inherited: RawHeaders, via: string): BatchRecord | BadRecord {
  const parsed = parse(line);
  if (parsed === null)
    return bad(null, 'line_not_json', 'The line is no JSON object in UTF-8; one request is one line.');
  const { text, value } = parsed;
  const id = idOf(value['id']);
  const refuse = (reason: string, message: string) => bad(id, reason, message);
  if (id === undefined)
    return bad(
      null,
      'record_id',
      `"id" must be a string of at most ${ID_CHARS_MAX} characters, or a number below 2^53.`,
    );
  const unknown = Object.keys(value).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) {
    const near = nearest(unknown, KEYS);
    return refuse(
      'record_key',
      `A record has no such key; allowed: ${KEYS.join(', ')}${near === null ? '' : `; meant ${near}?`}`,
    );
  }
  const { method, path } = value;
  if (typeof method !== 'string' || !METHODS.includes(method) || method === 'CONNECT') {
    return refuse('record_method', '"method" must be a method in capitals, such as "POST".');
  }
  if (typeof path !== 'string' || !/^\/[\x21-\x7e]*$/.test(path) || path.length > 8192) {
    return refuse(
      'record_path',
      '"path" must be path and query as on the wire, such as "/contacts/123": it starts with "/", is percent-encoded, has no host.',
    );
  }
  if (path.startsWith(RESERVED_PREFIX))
    return refuse('record_path', 'Paths under /.holdfast/ cannot stand in a batch.');
  const fields = fieldsOf(value);
  if (typeof fields === 'string') return refuse('record_headers', fields);
  const context = contextOf(value['context'] ?? null);
  if (typeof context === 'string') return refuse('record_context', context);
  const body = bodyOf(text, value['body']);
  if (typeof body === 'string') return refuse('record_body', body);
  const head = readHead(
    { method, url: path, httpVersion: '1.1', rawHeaders: rawHeadersOf(inherited, fields, body) },
    via,
  );
  if (head.kind === 'refusal') return { kind: 'bad', id, refusal: head };
  const merged = context === null ? head.context : { ...head.context, ...context };
  return { kind: 'record', id, method, target: path, head: { ...head, context: merged }, body };
}

function bad(id: RecordId | undefined, reason: string, message: string): BadRecord {
  return { kind: 'bad', id: id ?? null, refusal: badRequest(reason, message) };
}

type JsonObject = Readonly<Record<string, unknown>>;

function parse(line: Buffer): { text: string; value: JsonObject } | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(line);
    const value: unknown = JSON.parse(text);
    return isObject(value) ? { text, value } : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined: it is there and cannot be used. */
function idOf(value: unknown): RecordId | undefined {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : undefined;
  return typeof value === 'string' && value.length <= ID_CHARS_MAX ? value : undefined;
}

/** The record's own fields, `key` and `timeout` among them; a text says what is wrong. */
function fieldsOf({ headers, key, timeout }: JsonObject): string[] | string {
  const fields: string[] = [];
  if (headers !== undefined && headers !== null) {
    if (!isObject(headers)) return '"headers" must be an object of names and values.';
    for (const [name, value] of Object.entries(headers)) {
      const why = NOT_IN_A_RECORD.get(name.toLowerCase());
      if (why !== undefined) return `"headers" must not have ${name}: ${why}.`;
      const isField = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(name);
      if (!isField || typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
        return '"headers" must have names that HTTP allows and strings without control characters.';
      }
      fields.push(name, value);
    }
  }
  if (key !== undefined && key !== null) {
    if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key))
      return '"key" must be 1 to 255 printable ASCII characters.';
    fields.push('Idempotency-Key', `"${key.replace(/["\\]/g, (character) => `\\${character}`)}"`);
  }
  if (timeout !== undefined && timeout !== null) {
    if (typeof timeout !== 'string') return '"timeout" must be a duration such as "30s".';
    fields.push('Holdfast-Timeout', timeout);
  }
  return fields;
}

function contextOf(context: unknown): Record<string, string> | string | null {
  if (context === null) return null;
  const allowed = `"context" must be an object of at most ${CONTEXT_ENTRIES_MAX} keys such as workflow, with strings or numbers of at most ${CONTEXT_VALUE_MAX} characters.`;
  if (!isObject(context) || Object.keys(context).length > CONTEXT_ENTRIES_MAX) return allowed;
  const read: Record<string, string> = {};
  for (const [key, value] of Object.entries(context)) {
    const isPlain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
    if (!/^[a-z*][a-z0-9_.*-]{0,63}$/.test(key) || !isPlain || String(value).length > CONTEXT_VALUE_MAX) return allowed;
    read[key] = String(value);
  }
  return read;
}

/** A string goes as it is; anything else as JSON. A text says what is wrong. */
function bodyOf(text: string, body: unknown): Buffer | string | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return Buffer.from(body);
  try {
    return Buffer.from(JSON.stringify(/\d{16}|\d[.eE]/.test(text) ? exactBody(text) : body));
  } catch {
    // What `JSON.parse` reads without recursion, writing it takes a stack for.
    return '"body" is nested too deeply; as a string it goes as it is.';
  }
}

/** Numbers that JavaScript cannot hold (long ids, `1.0`) are kept as they were written. */
function exactBody(text: string): unknown {
  return (JSON.parse(text, exact) as { body: unknown }).body;
}

function exact(_key: string, value: unknown, { source }: { source?: string } = {}): unknown {
  return typeof value === 'number' && source !== undefined && String(value) !== source ? rawJson(source) : value;
}

/** ECMAScript 2026, in Node since 22; not in the compiler's library yet. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON: (text: string) => unknown };

function rawHeadersOf(inherited: RawHeaders, fields: readonly string[], body: Buffer | null): string[] {
  const own = new Set(fields.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()));
  // The batch's fields are written over, not added to.
  const raw = ['Host', 'batch', ...withoutHeaders(inherited, own), ...fields];
  if (!own.has('accept')) raw.push('Accept', 'application/json');
  if (body !== null) {
    if (!own.has('content-type')) raw.push('Content-Type', 'application/json');
    raw.push('Content-Length', String(body.length));
  }
  return raw;
}
