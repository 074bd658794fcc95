/**
 * The head of a request, read in one pass over its raw fields: guarded, hop-by-hop fields taken out, our own understood
 * and taken out, `Via` added. What is left goes to the upstream in the order and case in which it came.
 */

import { namedByConnection } from '../core/hop-by-hop.ts';
import type { HandOverWish } from '../core/queue-ticket.ts';
import { type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import { framingFault, hostFault, startLineFault } from './guard.ts';
import { DEFAULT_PRIORITY, parseContext, parseIdempotencyKey, parsePriority, parseTimeout } from './own-headers.ts';
import { handOverWish, parsePrefer } from './prefer.ts';
import { LOOP, type Refusal } from './refusal.ts';

/** What the edge knows about a request before its body. */
export interface Head {
  readonly kind: 'head';
  /** End-to-end fields as they will be sent. */
  readonly headers: string[];
  /** Zero for none, null when only the end will tell. */
  readonly bodyBytes: number | null;
  /** `Authorization` as it came; null when absent. */
  readonly authorization: string | null;
  /** `Holdfast-Authorization` as it came; null when absent. */
  readonly clientAuthorization: string | null;
  /** Infinity when the caller named none. */
  readonly timeoutMs: number;
  readonly context: Readonly<Record<string, string>> | null;
  readonly priority: number;
  /** Unquoted; null when absent. */
  readonly idempotencyKey: string | null;
  /** `Prefer: respond-async`; null when the caller waits. */
  readonly preference: HandOverWish | null;
}

/** What is done with a field. Fields that are not in the table pass. */
type Handling =
  | 'drop'
  | 'connection'
  | 'host'
  | 'length'
  | 'encoding'
  | 'via'
  | 'authorization'
  | 'own_authorization'
  | 'own_timeout'
  | 'own_context'
  | 'own_key'
  | 'own_priority'
  | 'own_prefer';

const HANDLING: ReadonlyMap<string, Handling> = new Map<string, Handling>([
  ['connection', 'connection'],
  ['keep-alive', 'drop'],
  ['proxy-connection', 'drop'],
  ['proxy-authenticate', 'drop'],
  ['proxy-authorization', 'drop'],
  ['te', 'drop'],
  ['trailer', 'drop'],
  ['upgrade', 'drop'],
  ['http2-settings', 'drop'],
  ['expect', 'drop'],
  ['transfer-encoding', 'encoding'],
  ['content-length', 'length'],
  ['host', 'host'],
  ['via', 'via'],
  ['authorization', 'authorization'],
  ['idempotency-key', 'own_key'],
  ['prefer', 'own_prefer'],
  ['holdfast-authorization', 'own_authorization'],
  ['holdfast-timeout', 'own_timeout'],
  ['holdfast-context', 'own_context'],
  ['priority', 'own_priority'],
]);

/** What of a request `readHead` looks at; an `IncomingMessage` is one. */
export interface RawHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: RawHeaders;
}

/** Reads the head, or says why the request is refused. `via` is our pseudonym. */
export function readHead(request: RawHead, via: string): Head | Refusal {
  const { httpVersion, rawHeaders } = request;
  const lineFault = startLineFault(httpVersion, request.method ?? '', request.url ?? '');
  if (lineFault !== null) return lineFault;
  const reading = new HeadReading();
  for (let i = 0; i < rawHeaders.length; i += 2) reading.field(rawHeaders[i] as string, rawHeaders[i + 1] as string);
  return reading.finish(httpVersion, via);
}

class HeadReading {
  #headers: string[] = [];
  #hosts = 0;
  #host = '';
  #length: string | null = null;
  #encoding: string | null = null;
  #connection: string | null = null;
  #via: string | null = null;
  #authorization: string | null = null;
  #ownAuthorization: string | null = null;
  #timeout: string | null = null;
  #context: string | null = null;
  #priority: string | null = null;
  #key: string | null = null;
  #prefer: string | null = null;

  field(name: string, value: string): void {
    const handling = HANDLING.get(name.toLowerCase());
    if (handling === undefined) {
      this.#headers.push(name, value);
      return;
    }
    switch (handling) {
      case 'drop':
        return;
      case 'connection':
        this.#connection = joined(this.#connection, value);
        return;
      case 'host':
        if (this.#hosts++ === 0) this.#host = value;
        return;
      case 'encoding':
        this.#encoding = joined(this.#encoding, value);
        return;
      case 'own_authorization':
        this.#ownAuthorization = joined(this.#ownAuthorization, value);
        return;
      case 'own_timeout':
        this.#timeout = joined(this.#timeout, value);
        return;
      case 'own_context':
        this.#context = joined(this.#context, value);
        return;
      case 'own_key':
        this.#key = joined(this.#key, value);
        return;
      case 'own_priority':
        this.#priority = joined(this.#priority, value);
        return;
      case 'own_prefer':
        this.#prefer = joined(this.#prefer, value);
        return;
      case 'length':
        this.#length = value;
        break;
      case 'via':
        this.#via = joined(this.#via, value);
        break;
      case 'authorization':
        this.#authorization ??= value;
        break;
    }
    this.#headers.push(name, value);
  }

  finish(httpVersion: string, via: string): Head | Refusal {
    const fault =
      hostFault(httpVersion, this.#hosts, this.#host) ??
      framingFault(httpVersion, this.#encoding, this.#length !== null) ??
      (this.#via !== null && names(this.#via, via) ? LOOP : null);
    if (fault !== null) return fault;
    const timeoutMs = this.#timeout === null ? Infinity : parseTimeout(this.#timeout);
    if (typeof timeoutMs !== 'number') return timeoutMs;
    const context = this.#context === null ? null : parseContext(this.#context);
    if (isRefusal(context)) return context;
    const key = this.#key === null ? null : parseIdempotencyKey(this.#key);
    if (isRefusal(key)) return key;
    const named = this.#connection === null ? null : namedByConnection(this.#connection);
    const headers = named === null || named.size === 0 ? this.#headers : withoutHeaders(this.#headers, named);
    headers.push('Via', `${httpVersion} ${via}`);
    return {
      kind: 'head',
      headers,
      bodyBytes: this.#encoding !== null ? null : this.#length === null ? 0 : Number(this.#length),
      authorization: this.#authorization,
      clientAuthorization: this.#ownAuthorization,
      timeoutMs,
      context,
      priority: this.#priority === null ? DEFAULT_PRIORITY : parsePriority(this.#priority),
      idempotencyKey: key,
      preference: this.#prefer === null ? null : handOverWish(parsePrefer(this.#prefer)),
    };
  }
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

function isRefusal(value: object | string | null): value is Refusal {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'refusal';
}

/** Whether a `Via` list has our pseudonym as the received-by of a member (RFC 9110 §7.6.3). */
function names(list: string, via: string): boolean {
  return list.includes(via) && list.split(',').some((member) => member.trim().split(/[ \t]+/)[1] === via);
}
