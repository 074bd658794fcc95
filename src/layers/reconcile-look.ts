/**
 * One look for a lost create: a small read of its own through the inner layers, so that it is paced, classified and counted
 * as every call is, with the headers of the call that it looks for. It is never looked for itself, since reads are not, and
 * it is not repeated: the next look is the repeat.
 */

import { type Exchange, newExchange, type RequestBody } from '../core/exchange.ts';
import { type AnswerBody, type Outcome, streamOf } from '../core/outcome.ts';
import type { EndpointPolicy, LookRequest, ProbeRecipe, ReconcileEntry, RequestPart } from '../core/policy.ts';
import { type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import { isSame, textOf } from '../core/reconcile.ts';
import type { Service } from '../core/service.ts';
import type { EndpointMatch } from '../core/settings.ts';
import type { WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import { jsonOf } from './operation-class.ts';

/** What looks are made of. */
export interface LookParts {
  readonly clock: Clock;
  readonly waiting: WaitingRoom;
  readonly match: (method: string, path: string) => EndpointMatch;
  /** Aborted when the process stops: what stays open is taken up by the next one. */
  readonly stopping: AbortSignal;
}

/** A recipe whose request is filled in for one lost create. */
export interface Question {
  readonly recipe: ReconcileEntry;
  readonly target: string;
  readonly body: Buffer | null;
  /** What the expressions of the recipe may ask for. */
  readonly bindings: Readonly<Record<string, unknown>>;
}

/** What came back. `document` undefined: the upstream says that there is no such thing. */
export type LookAnswer =
  | { readonly ok: true; readonly status: number; readonly document: unknown }
  | { readonly ok: false; readonly status: number | null };

/** The times that the expressions of a recipe see, epoch seconds. */
export interface LookTimes {
  readonly sentAt: number;
  /** The earliest `created_at` that counts. */
  readonly since: number;
}

/** The first probe that speaks of this request, filled in; null when none does. */
export async function firstQuestion(
  exchange: Exchange,
  times: LookTimes,
): Promise<(Question & { readonly recipe: ProbeRecipe }) | null> {
  for (const recipe of exchange.policy.reconcile) {
    if (recipe.kind === 'on_error') continue;
    const question = await questionFor(recipe, exchange, times);
    if (question !== null) return { ...question, recipe };
  }
  return null;
}

/** Fills a recipe in; null when it does not speak of this request. `names` are groups of the error that it met. */
export async function questionFor(
  recipe: ReconcileEntry,
  exchange: Exchange,
  times: LookTimes,
  names: Readonly<Record<string, string>> = {},
): Promise<Question | null> {
  const request = jsonOf(exchange.body);
  const params = Object.fromEntries(Object.entries(exchange.params).map(([name, value]) => [name, decoded(value)]));
  const bindings = { request, params, sent_at: times.sentAt, since: times.since, text: textOf, same: isSame };
  if (recipe.holdsFor !== null && (await recipe.holdsFor.evaluate(request, bindings)) !== true) return null;
  const target = await filled(recipe.request, request, exchange, bindings, names);
  if (target === null) return null;
  const content = recipe.request.body === null ? null : await recipe.request.body.evaluate(request, bindings);
  if (content === undefined) return null;
  const body = content === null ? null : Buffer.from(JSON.stringify(content));
  return { recipe, target, body, bindings };
}

/** The target of a read; null when something that it names is not there. */
async function filled(
  { target }: LookRequest,
  input: unknown,
  exchange: Exchange,
  bindings: Question['bindings'],
  names: Readonly<Record<string, string>>,
): Promise<string | null> {
  const texts: string[] = [];
  for (const part of target) {
    const text = await textOfPart(part, input, exchange, bindings, names);
    if (text === null) return null;
    texts.push(text);
  }
  return texts.join('');
}

/** Values of the path stand there as they came; all others are encoded. Null when there is none. */
async function textOfPart(
  part: RequestPart,
  input: unknown,
  { params }: Exchange,
  bindings: Question['bindings'],
  names: Readonly<Record<string, string>>,
): Promise<string | null> {
  if (part.kind === 'text') return part.text;
  if (part.kind === 'name') {
    const given = names[part.name];
    return params[part.name] ?? (given === undefined ? null : encodeURIComponent(given));
  }
  const value = await part.expression.evaluate(input, bindings);
  const isText = (typeof value === 'string' && value !== '') || typeof value === 'number' || typeof value === 'boolean';
  return isText ? encodeURIComponent(String(value)) : null;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** Asks. Never rejects but for bugs. */
export async function ask(
  parts: LookParts,
  inner: Service,
  exchange: Exchange,
  question: Question,
): Promise<LookAnswer> {
  const { body, target } = question;
  const { method } = question.recipe.request;
  const first = await askOnce(parts, inner, exchange, { method, target, body });
  const { more } = question.recipe;
  if (!first.ok || more === null) return first;
  const further = await more.result(first.document, question.bindings);
  if (further === null) return { ok: false, status: first.status };
  const { value } = further;
  if (typeof value !== 'string' || !value.startsWith('/')) return first;
  return askOnce(parts, inner, exchange, { method, target: value, body });
}

/** A match in the shape of the create's answer; undefined when it could not be brought into that. */
export async function shapeOf(
  parts: LookParts,
  inner: Service,
  exchange: Exchange,
  question: Question,
  match: unknown,
  document: unknown,
): Promise<unknown> {
  const { recipe, bindings } = question;
  const whole = await wholeOf(parts, inner, exchange, question, match);
  return recipe.as === null ? whole : recipe.as.evaluate(whole, { ...bindings, probe: document });
}

/** The whole of a match; what is known of it when that cannot be read. */
async function wholeOf(
  parts: LookParts,
  inner: Service,
  exchange: Exchange,
  { recipe, bindings }: Question,
  match: unknown,
): Promise<unknown> {
  if (recipe.full === null) return match;
  const target = await filled(recipe.full, match, exchange, bindings, {});
  if (target === null) return match;
  const answer = await askOnce(parts, inner, exchange, { method: recipe.full.method, target, body: null });
  return answer.ok && answer.document !== undefined ? answer.document : match;
}

async function askOnce(
  parts: LookParts,
  inner: Service,
  lost: Exchange,
  { method, target, body }: { method: string; target: string; body: Buffer | null },
): Promise<LookAnswer> {
  const [path = ''] = target.split('?');
  const { policy, params } = parts.match(method, path);
  const nowMs = parts.clock.now();
  const requestBody: RequestBody = body === null ? { kind: 'none' } : { kind: 'bytes', bytes: body };
  const look = newExchange({
    id: `${lost.id}-look-${lost.looks.length + 1}`,
    policy: unrepeated(policy),
    params,
    method,
    target,
    headers: headersOf(lost.headers, body),
    body: requestBody,
    receivedAtMs: nowMs,
    deadlineAtMs: nowMs + policy.timeout.attemptMs,
    priority: 0,
    credentialRef: lost.credentialRef,
    scope: lost.scope,
    idempotencyKey: null,
    context: null,
    onInformational: null,
  });
  // As if its client had left: the upstream is not to blame.
  const stop = (): void => look.cancel.abort('client_gone');
  parts.stopping.addEventListener('abort', stop, { once: true });
  try {
    return await answerOf(await inner(look));
  } finally {
    parts.stopping.removeEventListener('abort', stop);
    parts.waiting.ended(look);
  }
}

const once = new WeakMap<EndpointPolicy, EndpointPolicy>();

function unrepeated(policy: EndpointPolicy): EndpointPolicy {
  let found = once.get(policy);
  if (found === undefined) once.set(policy, (found = { ...policy, retry: { ...policy.retry, maxRetries: 0 } }));
  return found;
}

/** What belongs to the body and to the cache of the lost call. The answer is read here, so it comes uncoded. */
const NOT_OURS: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'content-md5',
  'digest',
  'content-digest',
  'accept',
  'accept-encoding',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'range',
]);

function headersOf(headers: RawHeaders, body: Buffer | null): RawHeaders {
  const kept = [...withoutHeaders(headers, NOT_OURS), 'Accept', 'application/json'];
  if (body !== null) kept.push('Content-Type', 'application/json', 'Content-Length', String(body.length));
  return kept;
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

async function answerOf(outcome: Outcome): Promise<LookAnswer> {
  if (outcome.kind !== 'answered') return { ok: false, status: null };
  const { status, body } = outcome;
  if (status === 404) {
    streamOf(outcome)?.discard();
    return { ok: true, status, document: undefined };
  }
  if (status > 299) {
    streamOf(outcome)?.discard();
    return { ok: false, status };
  }
  const bytes = await collected(body);
  try {
    const document: unknown = bytes === null ? null : JSON.parse(bytes.toString());
    if (isFinding(document)) return { ok: true, status, document };
  } catch {
    // Not what it promised; the next look may be.
  }
  return { ok: false, status };
}

/** An object or a list. An error that says 200 (intercom-ruby checks for it) shows nothing absent. */
function isFinding(document: unknown): boolean {
  return typeof document === 'object' && document !== null && !('type' in document && document.type === 'error.list');
}

/** The whole body; null when it broke off or is too large. */
function collected(body: AnswerBody): Promise<Buffer | null> {
  if (body.kind === 'bytes') return Promise.resolve(body.bytes);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.stream.start({
      data: (chunk) => {
        bytes += chunk.length;
        if (bytes <= ANSWER_BYTES_MAX) return void chunks.push(chunk);
        body.stream.discard();
        resolve(null);
      },
      end: () => resolve(bytes > ANSWER_BYTES_MAX ? null : Buffer.concat(chunks)),
      fail: () => resolve(null),
    });
  });
}

/**
 * The matches in a look's answer: none, one, several. An object that is there twice is one. Null: the expression came to no
 * end, and an answer that could not be read through shows nothing absent.
 */
export async function matchesIn({ recipe, bindings }: Question, document: unknown): Promise<unknown[] | null> {
  if (document === undefined) return [];
  const read = recipe.landed === null ? { value: document } : await recipe.landed.result(document, bindings);
  if (read === null) return null;
  const found = read.value;
  if (found === undefined || found === null || found === false) return [];
  return Array.isArray(found) ? [...new Set<unknown>(found)] : [found];
}
