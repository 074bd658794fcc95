/**
 * The one place that turns an outcome into a status. An answer of the upstream passes as it came; everything else
 * becomes an error of ours whose message says what is known and what to do next. One exception: an upstream error that
 * leaves open whether a create took effect is answered 504 `holdfast_outcome_unknown`, because SDKs send a 500 or 502
 * again by themselves and would create twice.
 */

import { type Exchange, effectOfAttempts } from '../core/exchange.ts';
import {
  type AnswerBody,
  type Answered,
  type Failed,
  type HoldfastCode,
  type Outcome,
  type Refused,
  streamOf,
} from '../core/outcome.ts';
import { headerListOf, headerOf, type RawHeaders } from '../core/raw-headers.ts';
import type { Effect } from '../core/verdict.ts';
import { PROXY_ERROR_OF_CODE, PROXY_ERROR_OF_FAILURE, STATUS_OF_CODE } from './codes.ts';
import { errorAnswer } from './error-answer.ts';
import { holdfastHeader } from './holdfast-header.ts';
import type { Refusal } from './refusal.ts';

/** What goes to the client. */
export interface Reply {
  readonly status: number;
  /** Flat; the edge may add to it. */
  readonly headers: string[];
  readonly body: AnswerBody;
  readonly trailers: RawHeaders;
  /** Null when the answer is not an error of ours. */
  readonly code: HoldfastCode | null;
}

/** The answer to a finished exchange. `via` is our pseudonym. */
export function respond(exchange: Exchange, outcome: Outcome, via: string): Reply {
  switch (outcome.kind) {
    case 'answered':
      return leavesCreateOpen(exchange, outcome)
        ? createLeftOpen(exchange, outcome, via)
        : passOn(exchange, outcome, via);
    case 'failed':
      return failed(exchange, outcome, via);
    case 'refused':
      return refused(exchange, outcome, via);
  }
}

/** The answer to a request that never became an exchange, or whose body failed on the way in. */
export function respondRefusal(
  refusal: Refusal,
  exchange: Exchange | null,
  requestId: string,
  accept: string | null,
  via: string,
): Reply {
  const { status, code, message, retryAfterS } = refusal;
  const { headers, bytes } = errorAnswer(
    {
      status,
      code,
      message,
      requestId,
      retryAfterS,
      proxyStatus: `error=${PROXY_ERROR_OF_CODE[code]}`,
      holdfast: {
        from: 'proxy',
        attempts: exchange?.attempts.length ?? 0,
        verdict: 'permanent',
        effect: exchange === null ? 'none' : effectOfAttempts(exchange),
        reason: refusal.reason,
        waitedMs: 0,
        withheld: null,
        operation: null,
      },
    },
    accept,
    via,
  );
  return { status, headers, body: { kind: 'bytes', bytes }, trailers: [], code };
}

/** The upstream's answer cannot be written as HTTP: a status or a field that no client may see. */
export function respondUnwritable(exchange: Exchange, outcome: Outcome, via: string): Reply {
  streamOf(outcome)?.discard();
  return errorReply(exchange, outcome, via, {
    code: 'holdfast_answer_broken',
    message: `The upstream's answer has a status or a header field that HTTP does not allow. ${advice(effectOf(exchange, outcome), exchange)}`,
    retryAfterS: null,
    proxyStatus: 'error=http_protocol_error',
  });
}

function leavesCreateOpen(exchange: Exchange, { from, status, verdict }: Answered): boolean {
  return (
    status >= 400 &&
    from === 'upstream' &&
    verdict.effect === 'unknown' &&
    exchange.operationClass === 'create' &&
    exchange.policy.mode === 'enforce'
  );
}

function createLeftOpen(exchange: Exchange, outcome: Answered, via: string): Reply {
  streamOf(outcome)?.discard();
  const requestId = exchange.attempts.at(-1)?.requestId ?? headerOf(outcome.headers, 'x-request-id');
  const named = requestId === null ? '' : ` (its request id: ${requestId})`;
  return errorReply(exchange, outcome, via, {
    code: 'holdfast_outcome_unknown',
    message: `The upstream answered ${outcome.status}${named}. ${advice('unknown', exchange)}`,
    retryAfterS: null,
    proxyStatus: `received-status=${outcome.status}`,
  });
}

function passOn(exchange: Exchange, outcome: Answered, via: string): Reply {
  const { status, body, trailers, verdict } = outcome;
  const replayed = outcome.from === 'replay';
  const passed = replayed ? withoutQuota(outcome.headers) : outcome.headers;
  const ours = [
    'Holdfast',
    holdfastHeader({
      from: outcome.from,
      attempts: exchange.attempts.length,
      verdict: verdict.class,
      effect: effectOf(exchange, outcome),
      reason: verdict.reason,
      waitedMs: exchange.waitedMs,
      withheld: exchange.withheld,
      operation: operationShown(exchange, outcome),
      deadLetter: exchange.fate?.id ?? null,
    }),
    'Via',
    `1.1 ${via}`,
    'Server-Timing',
    serverTiming(exchange),
  ];
  if (replayed) ours.push('Idempotent-Replayed', 'true');
  if (status >= 400 && verdict.retryAfterMs !== null && exchange.policy.mode === 'enforce') {
    if (headerOf(passed, 'retry-after') === null) ours.push('Retry-After', seconds(verdict.retryAfterMs));
  }
  return { status, headers: passed.concat(ours), body, trailers, code: null };
}

function failed(exchange: Exchange, outcome: Failed, via: string): Reply {
  const effect = effectOf(exchange, outcome);
  const code = codeOfFailure(outcome, effect);
  return errorReply(exchange, outcome, via, {
    code,
    message: `${whatFailed(outcome, code)} ${advice(effect, exchange)}`,
    retryAfterS: null,
    proxyStatus: `error=${PROXY_ERROR_OF_FAILURE[outcome.failure]}`,
  });
}

/** Effect and not operation class decides: an earlier attempt of the same call counts as well. */
function codeOfFailure({ failure, sent }: Failed, effect: Effect): HoldfastCode {
  if (failure === 'broken' && sent !== 'no') return 'holdfast_answer_broken';
  if (effect === 'unknown') return 'holdfast_outcome_unknown';
  if (effect === 'applied' || failure === 'truncated') return 'holdfast_answer_broken';
  if (failure === 'timeout' && sent !== 'no') return 'holdfast_upstream_timeout';
  return 'holdfast_upstream_unreachable';
}

function whatFailed({ failure, sent }: Failed, code: HoldfastCode): string {
  if (code === 'holdfast_answer_broken') return "The upstream's answer broke off, or is not what this call promises.";
  if (sent === 'no') return `The upstream could not be reached (${failure}); check upstream.url and the network.`;
  if (failure === 'timeout') return 'The upstream did not answer in time.';
  return `The connection to the upstream was lost before its answer was here (${failure}).`;
}

const ADVICE: Readonly<Record<Effect, string>> = {
  none: 'Nothing was applied: the request may be sent again.',
  applied: 'The write was applied: look at the object before anything is sent again.',
  unknown: 'The write may or may not have been applied: look before it is sent again.',
};

/** What is known and what to do. Where the upstream itself refuses a second create, sending it again finds out. */
function advice(effect: Effect, { guarded, policy }: Exchange): string {
  if (effect !== 'unknown' || !guarded) return ADVICE[effect];
  const forMs = policy.guardedForMs;
  const within = forMs === null ? '' : ` within ${seconds(forMs)} s`;
  return `The write may or may not have been applied. The upstream refuses a second one${within}: sent again it is created, or answered with a conflict that names it.`;
}

function refused(exchange: Exchange, outcome: Refused, via: string): Reply {
  const { code, message, retryAfterMs } = outcome;
  // A 503 of ours always says when to come back (contract).
  const whenMs = retryAfterMs ?? (STATUS_OF_CODE[code] === 503 ? 1000 : null);
  return errorReply(exchange, outcome, via, {
    code,
    message,
    retryAfterS: whenMs === null ? null : Number(seconds(whenMs)),
    proxyStatus: `error=${PROXY_ERROR_OF_CODE[code]}`,
  });
}

interface OwnError {
  readonly code: HoldfastCode;
  readonly message: string;
  readonly retryAfterS: number | null;
  readonly proxyStatus: string;
}

function errorReply(exchange: Exchange, outcome: Outcome, via: string, error: OwnError): Reply {
  const status = STATUS_OF_CODE[error.code];
  const { headers, bytes } = errorAnswer(
    {
      ...error,
      status,
      requestId: exchange.id,
      holdfast: {
        from: 'proxy',
        attempts: exchange.attempts.length,
        verdict: outcome.verdict.class,
        effect: effectOf(exchange, outcome),
        reason: outcome.verdict.reason,
        waitedMs: exchange.waitedMs,
        withheld: exchange.withheld,
        operation: operationShown(exchange, outcome),
        deadLetter: exchange.fate?.id ?? null,
      },
    },
    headerListOf(exchange.headers, 'accept'),
    via,
  );
  headers.push('Server-Timing', serverTiming(exchange));
  return { status, headers, body: { kind: 'bytes', bytes }, trailers: [], code: error.code };
}

/** What the whole call did: a success says it itself, otherwise an earlier attempt may have done more than the last. */
function effectOf(exchange: Exchange, { verdict }: Outcome): Effect {
  if (verdict.class === 'ok' || verdict.effect === 'applied') return verdict.effect;
  const before = effectOfAttempts(exchange);
  return before === 'none' ? verdict.effect : before;
}

/** Where more is to be learned of it, or the answer is that of another call. */
function operationShown(exchange: Exchange, outcome: Outcome): string | null {
  const { operation, attempts } = exchange;
  if (operation === null) return null;
  const plain = outcome.kind === 'answered' && outcome.from === 'upstream' && attempts.length > 0;
  return plain && effectOf(exchange, outcome) !== 'unknown' ? null : operation.id;
}

/** What the quota was when the answer was new says nothing about now. */
function withoutQuota(headers: RawHeaders): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!/^(?:x-)?ratelimit(?:-|$)/i.test(headers[i] as string))
      kept.push(headers[i] as string, headers[i + 1] as string);
  }
  return kept;
}

function serverTiming({ waitedMs, upstreamMs }: Exchange): string {
  // By hand: `toFixed` is a microsecond.
  const tenths = Math.round(upstreamMs * 10);
  return `wait;dur=${Math.round(waitedMs)}, upstream;dur=${Math.floor(tenths / 10)}.${tenths % 10}`;
}

/** Whole seconds, rounded up: never earlier than asked for. */
function seconds(ms: number): string {
  return String(Math.max(Math.ceil(ms / 1000), ms > 0 ? 1 : 0));
}
