/** One line of a batch's answer. */

import { parseDictionary } from 'structured-headers';
import type { AnswerBody, AnswerStream } from '../core/outcome.ts';
import { headerOf, type RawHeaders } from '../core/raw-headers.ts';
import type { RecordId } from './batch-record.ts';
import type { Plane } from './plane.ts';

/** The body of a result; null when it broke off, or was too large to be held. */
export type HeldBody = Buffer | null;

/** What a line says. */
export interface Result {
  readonly id: RecordId;
  /** Of the request. */
  readonly line: number;
  readonly status: number;
  /** As an answer of its own would have them. */
  readonly headers: RawHeaders;
  readonly body: HeldBody;
}

/** Fields that tell the caller something; the rest is about the connection or the quota. */
const SHOWN = [
  'content-type',
  'content-encoding',
  'location',
  'link',
  'retry-after',
  'x-request-id',
  'idempotent-replayed',
  'preference-applied',
];

/** Writes a result as one line, its end included. */
export function resultLine({ id, line, status, headers, body }: Result): string {
  const head = JSON.stringify({ id, line, status, holdfast: holdfastOf(headers), headers: shownOf(headers) });
  return `${head.slice(0, -1)},${bodyPart(body, headers)}}\n`;
}

/** The `Holdfast` field as an object, names with underscores. */
function holdfastOf(headers: RawHeaders): Record<string, unknown> {
  const facts: Record<string, unknown> = {};
  for (const [name, [value]] of parseDictionary(headerOf(headers, 'holdfast') ?? '')) {
    facts[name.replaceAll('-', '_')] = typeof value === 'number' || typeof value === 'boolean' ? value : String(value);
  }
  return facts;
}

function shownOf(headers: RawHeaders): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const name of SHOWN) {
    const value = headerOf(headers, name);
    if (value !== null) shown[name] = value;
  }
  return shown;
}

/** JSON as it came, so that no number changes; text as a string; anything else as base64. */
function bodyPart(body: HeldBody, headers: RawHeaders): string {
  if (body === null) return '"body":null,"truncated":true';
  if (body.length === 0) return '"body":null';
  const coded = headerOf(headers, 'content-encoding') !== null;
  const text = coded ? null : decoded(body);
  if (text === null) return `"body_base64":"${body.toString('base64')}"`;
  // Line ends inside a JSON text are only white space: inside its strings they are escaped.
  return `"body":${isJson(text) ? text.replaceAll(/[\r\n]+/g, ' ') : JSON.stringify(text)}`;
}

function decoded(body: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return null;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

type Room = Pick<Plane, 'settings' | 'buffered'>;

/**
 * Holds the body of a result, up to `limits.stored_answer` and as far as `buffered` has room; the room is to be given back.
 * `signal` is aborted with `client_gone` when nobody wants it any more.
 */
export function holdBody(
  body: AnswerBody,
  room: Room,
  signal: AbortSignal,
): Promise<{ readonly held: HeldBody; readonly takenBytes: number }> {
  if (body.kind === 'bytes') return Promise.resolve({ held: body.bytes, takenBytes: 0 });
  return new Promise((resolve) => {
    const end = (held: HeldBody, takenBytes: number): void => resolve({ held, takenBytes });
    collect(body.stream, room, signal, end);
  });
}

function collect(
  stream: AnswerStream,
  { settings, buffered }: Room,
  signal: AbortSignal,
  end: (held: HeldBody, takenBytes: number) => void,
): void {
  const bytesMax = settings().limits.storedAnswerBytes;
  const chunks: Buffer[] = [];
  let takenBytes = 0;
  let over = false;
  const finish = (held: HeldBody): void => {
    if (over) return;
    over = true;
    signal.removeEventListener('abort', onAbort);
    end(held, takenBytes);
  };
  // A stream that was discarded says nothing more, not even that it is over.
  const onAbort = (): void => {
    if (signal.reason !== 'client_gone') return;
    finish(null);
    stream.discard();
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  if (over) return;
  stream.start({
    data: (chunk) => {
      if (over) return;
      if (takenBytes + chunk.length > bytesMax || !buffered.tryTake(chunk.length)) {
        finish(null);
        stream.discard();
        return;
      }
      takenBytes += chunk.length;
      chunks.push(chunk);
    },
    end: () => finish(Buffer.concat(chunks)),
    fail: () => finish(null),
  });
}
