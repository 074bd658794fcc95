/**
 * Makes the answer that goes outward out of what was seen. A small body that came in pieces, or as a small part of what
 * was read from the socket, is copied: a slice pins all of it for as long as a client takes to read. Large ones that were held flow out of memory, so that a slow reader
 * keeps its share of the byte budget until it has read.
 */

import type { ByteBudget } from '../core/byte-budget.ts';
import type { Exchange } from '../core/exchange.ts';
import type { AnswerBody, Answered } from '../core/outcome.ts';
import { type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import type { Verdict } from '../core/verdict.ts';
import type { Clock } from '../ops/clock.ts';
import type { Sighting } from './attempt-call.ts';
import { AnswerFlow } from './attempt-flow.ts';

const HANDED_WHOLE_BYTES_MAX = 64 * 1024;
const EMPTY = Buffer.alloc(0);

/** What is needed to let a held body flow. */
export interface AnswerParts {
  readonly clock: Clock;
  readonly buffered: ByteBudget;
}

/** All held bytes in one piece; no copy when there is one piece only. */
export function joined(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? (chunks[0] as Buffer) : chunks.length === 0 ? EMPTY : Buffer.concat(chunks);
}

/** The upstream's answer as it came, also when it broke off: then it breaks off for the reader too. */
export function passOn(parts: AnswerParts, seen: Sighting, status: number, verdict: Verdict): Answered {
  const { headers } = seen;
  return {
    kind: 'answered',
    from: 'upstream',
    status,
    headers,
    body: bodyOf(parts, seen),
    trailers: seen.trailers,
    verdict,
  };
}

function bodyOf({ clock, buffered }: AnswerParts, { flow, failure, chunks, bytes, trailers }: Sighting): AnswerBody {
  if (flow !== null) return { kind: 'stream', stream: flow };
  if (failure === null && bytes <= HANDED_WHOLE_BYTES_MAX) {
    buffered.giveBack(bytes);
    return { kind: 'bytes', bytes: bytes === 0 ? EMPTY : whole(chunks, bytes) };
  }
  const stream = new AnswerFlow({
    clock,
    call: null,
    abort: () => {},
    idleMs: Infinity,
    chunks,
    ending: failure === null ? { kind: 'end', trailers } : { kind: 'failure', failure: failure.kind },
    onOver: () => buffered.giveBack(bytes),
  });
  return { kind: 'stream', stream };
}

/** How much of a chunk may be something else: a head, nearly always. */
const SHARE_MIN = 0.25;

function whole(chunks: readonly Buffer[], bytes: number): Buffer {
  const [first] = chunks;
  const keepsLittleElse = chunks.length === 1 && first !== undefined && bytes >= first.buffer.byteLength * SHARE_MIN;
  return keepsLittleElse ? first : Buffer.concat(chunks, bytes);
}

const CONTENT_FIELDS: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
  'etag',
  'last-modified',
]);

/**
 * The answer to a call whose earlier attempt did it, as the upstream's refusal of the repeat proves (semantics §1,
 * `after_unknown`): what the row says that a success carries, else an empty 204. Other fields stay, the quota's among them.
 */
export function doneBefore(parts: AnswerParts, exchange: Exchange, seen: Sighting, verdict: Verdict): Answered {
  if (seen.flow === null) parts.buffered.giveBack(seen.bytes);
  else seen.flow.discard();
  const { answer } = exchange.policy;
  const kept = withoutHeaders(seen.headers, CONTENT_FIELDS);
  const from = { kind: 'answered', from: 'upstream', trailers: [], verdict } as const;
  if (answer.kind !== 'template') return { ...from, status: 204, headers: kept, body: { kind: 'bytes', bytes: EMPTY } };
  const bytes = Buffer.from(JSON.stringify(filled(answer.template, exchange.params)));
  const headers: RawHeaders = [...kept, 'Content-Type', 'application/json', 'Content-Length', String(bytes.length)];
  return { ...from, status: 200, headers, body: { kind: 'bytes', bytes } };
}

type Template = Readonly<Record<string, string | number | boolean>>;

function filled(template: Template, params: Readonly<Record<string, string>>): Template {
  const out: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(template)) {
    out[key] =
      typeof value === 'string' ? value.replace(/\{(\w+)\}/g, (_, name: string) => decoded(params[name])) : value;
  }
  return out;
}

function decoded(value: string | undefined): string {
  try {
    return decodeURIComponent(value ?? '');
  } catch {
    return value ?? '';
  }
}
