/**
 * From what was seen on the wire to a verdict and an outcome: the one place that calls `classify` (design, rule 3). A
 * plain success takes the short way, without a promise and without looking at `idempotent_if`; whatever needs decoding,
 * an error body or the class of this very request takes the long one.
 */

import { wordsOf } from '../core/cause-group.ts';
import type { AnswerFacts, Classification } from '../core/classify.ts';
import { classify, matches, PATTERN_TEXT_MAX, requestIdOf } from '../core/classify.ts';
import { type BodyCondition, type ErrorFacts, readErrorBody, wholeJson } from '../core/error-body.ts';
import { excerptOf } from '../core/excerpt.ts';
import { type Conflict, type Exchange, mayHaveTakenEffect } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import type { ErrorCondition, Limits } from '../core/policy.ts';
import { headerOf } from '../core/raw-headers.ts';
import type { OperationClass, Verdict } from '../core/verdict.ts';
import type { Events } from '../ops/events.ts';
import { doneBefore, joined, passOn } from './attempt-answer.ts';
import type { CallParts, Sighting } from './attempt-call.ts';
import { decode } from './attempt-decode.ts';
import { jsonOf, operationClassOf } from './operation-class.ts';

/** What judging needs beside the call itself. */
export interface JudgeParts extends CallParts {
  readonly events: Events;
}

/** When the attempt ran. */
export interface AttemptTimes {
  /** Epoch ms. */
  readonly startedAtMs: number;
  readonly durationMs: number;
}

/** How far the decoded form of a held answer is looked at, in multiples of the limit for the coded one. */
const DECODED_PER_STORED = 8;

/** Judges an attempt, writes it into the history and tells the events. */
export function judge(
  parts: JudgeParts,
  exchange: Exchange,
  seen: Sighting,
  times: AttemptTimes,
): Outcome | Promise<Outcome> {
  const { status, headers, failure } = seen;
  const coded = headerOf(headers, 'content-encoding') !== null;
  if (failure === null && status !== null && status < 400 && (!coded || !isPromised(exchange, seen))) {
    const answer = { status, headers, body: conditionOf(exchange, seen, seen.chunks), error: null };
    const operationClass = exchange.operationClass ?? exchange.policy.operationClass;
    const found = classifyWith(parts, exchange, seen, answer, operationClass);
    if (found.verdict.class === 'ok') return conclude(parts, exchange, seen, times, answer, found);
  }
  return judgeAtLength(parts, exchange, seen, times);
}

async function judgeAtLength(
  parts: JudgeParts,
  exchange: Exchange,
  seen: Sighting,
  times: AttemptTimes,
): Promise<Outcome> {
  const answer = await answerFacts(parts.limits(), exchange, seen);
  const operationClass = await operationClassOf(exchange);
  const found = classifyWith(parts, exchange, seen, answer, operationClass);
  if (operationClass !== 'create') return conclude(parts, exchange, seen, times, answer, found);
  exchange.conflict = conflictOf(exchange, answer);
  const { guardedBy } = exchange.policy;
  const { verdict } = found;
  if (verdict.class === 'ok' || verdict.effect === 'none' || guardedBy === null) {
    return conclude(parts, exchange, seen, times, answer, found);
  }
  exchange.guarded = await guardedBy.holds(jsonOf(exchange.body));
  const repeatable = verdict.repeatable || guardHolds(exchange, times);
  return conclude(parts, exchange, seen, times, answer, { ...found, verdict: { ...verdict, repeatable } });
}

/**
 * Whether the upstream itself will refuse, or drop, the same request (semantics §2). Not without an operation: nobody would
 * tell the caller whose object it is that the repeat ran into.
 */
function guardHolds({ guarded, body, operation, attempts, policy }: Exchange, times: AttemptTimes): boolean {
  if (!guarded || body.kind === 'stream' || operation === null) return false;
  const { guardedForMs, retry } = policy;
  if (guardedForMs === null) return true;
  const firstSentAtMs = operation.sentAtMs ?? attempts[0]?.startedAtMs ?? times.startedAtMs;
  const latestMs = times.startedAtMs + times.durationMs + Math.max(retry.maxDelayMs, retry.maxWaitMs);
  return latestMs - firstSentAtMs <= guardedForMs;
}

/** What a repeat ran into, when it may have been made by an earlier attempt. `reconcile` finds out whether it was. */
function conflictOf(exchange: Exchange, answer: AnswerFacts | null): Conflict | null {
  const { policy, operation } = exchange;
  if (answer === null || answer.error === null || operation === null || !mayHaveTakenEffect(exchange)) return null;
  const facts = { policy, operationClass: 'create', bodyRepeatable: true, afterUnknown: true, answer } as const;
  for (const recipe of policy.reconcile) {
    if (recipe.kind !== 'on_error' || !matches(recipe.when, { ...facts, failure: null, receivedAtMs: 0 })) continue;
    return { recipe, names: namesIn(recipe.when, answer.error) };
  }
  return null;
}

/** The named groups of the patterns that fit. */
function namesIn({ message, body }: ErrorCondition, error: ErrorFacts): Record<string, string> {
  const groups = [
    ...(body === null ? [] : [body.exec(error.text.slice(0, PATTERN_TEXT_MAX))]),
    ...(message === null ? [] : error.messages.map((each) => message.exec(each))),
  ];
  return Object.assign({}, ...groups.map((found) => found?.groups ?? {})) as Record<string, string>;
}

async function answerFacts(limits: Limits, exchange: Exchange, seen: Sighting): Promise<AnswerFacts | null> {
  const { status, headers, chunks, failure } = seen;
  if (status === null) return null;
  const coding = headerOf(headers, 'content-encoding');
  if (status >= 400) {
    const raw = joined(chunks).subarray(0, limits.errorBodyBytes);
    const decoded = coding === null ? { bytes: raw } : await decode(raw, coding, limits.errorBodyBytes);
    const error = decoded === null ? null : readErrorBody(decoded.bytes);
    return { status, headers, body: 'unchecked', error };
  }
  if (coding === null || failure !== null || !isPromised(exchange, seen)) {
    return { status, headers, body: conditionOf(exchange, seen, chunks), error: null };
  }
  const decoded = await decode(joined(chunks), coding, limits.storedAnswerBytes * DECODED_PER_STORED);
  const body: BodyCondition =
    decoded === null || decoded.end === 'more'
      ? 'unchecked'
      : decoded.end === 'cut'
        ? 'cut'
        : conditionOf(exchange, seen, [decoded.bytes]);
  return { status, headers, body, error: null };
}

/** A success that its row promises to be JSON, held because of that. */
function isPromised({ method, policy }: Exchange, { status, flow, bytes }: Sighting): boolean {
  if (status === null || status > 299 || flow !== null || method === 'HEAD') return false;
  if (policy.answer.kind !== 'json' && policy.answer.kind !== 'template') return false;
  // An empty body is whole for these (semantics §1).
  return bytes > 0 || (status !== 202 && status !== 204 && status !== 205);
}

function conditionOf(exchange: Exchange, seen: Sighting, chunks: readonly Buffer[]): BodyCondition {
  if (!isPromised(exchange, seen)) return 'unchecked';
  if (seen.failure === null) return wholeJson(joined(chunks), exchange.policy.whole);
  // It broke off; a beginning that is no JSON may still show that something else than Intercom was speaking.
  const coded = headerOf(seen.headers, 'content-encoding') !== null;
  return !coded && wholeJson(joined(chunks), 'ends') === 'not_json' ? 'not_json' : 'cut';
}

function isBroken(body: BodyCondition): boolean {
  return body === 'cut' || body === 'not_json' || body === 'empty';
}

function classifyWith(
  parts: JudgeParts,
  exchange: Exchange,
  { failure }: Sighting,
  answer: AnswerFacts | null,
  operationClass: OperationClass,
): Classification {
  return classify({
    policy: exchange.policy,
    operationClass,
    bodyRepeatable: exchange.body.kind !== 'stream' || !exchange.body.opened,
    afterUnknown: mayHaveTakenEffect(exchange),
    answer,
    failure,
    receivedAtMs: parts.clock.wall(),
  });
}

function conclude(
  parts: JudgeParts,
  exchange: Exchange,
  seen: Sighting,
  times: AttemptTimes,
  answer: AnswerFacts | null,
  found: Classification,
): Outcome {
  const { failure } = seen;
  const broken = failure === null && answer !== null && found.verdict.class !== 'ok' && isBroken(answer.body);
  // When the caller broke off, the upstream has not failed.
  const verdict: Verdict =
    failure?.fault === 'caller'
      ? { ...found.verdict, reason: 'interrupted', countsAgainstBreaker: false }
      : found.verdict;
  const own = parts.credentials.current();
  const fields = own === null ? exchange.headers : [...exchange.headers, 'authorization', own];
  const excerpt = answer?.error ? excerptOf(answer.error, fields) : null;
  const record = {
    n: exchange.attempts.length + 1,
    startedAtMs: times.startedAtMs,
    durationMs: times.durationMs,
    status: seen.status,
    failure: failure?.kind ?? (broken ? 'broken' : null),
    sent: failure?.sent ?? 'yes',
    verdict: verdict.class,
    reason: verdict.reason,
    effect: verdict.effect,
    waitedMs: exchange.pendingWait?.ms ?? 0,
    waitReason: exchange.pendingWait?.reason ?? null,
    requestId: requestIdOf(seen.headers, answer?.error ?? null),
    ...excerpt,
  } as const;
  exchange.pendingWait = null;
  exchange.attempts.push(record);
  exchange.upstreamMs += times.durationMs;
  parts.events.attemptFinished(exchange, record);
  if (!found.mapped && exchange.policy.known && seen.status !== null) {
    // For the log: no values, and least of all a credential that came back.
    const words = wordsOf(excerpt?.excerpt ?? '');
    parts.events.unmappedError(exchange, seen.status, found.code, words, parts.clock.now());
  }
  if (answer !== null && exchange.policy.mode === 'observe') return passOn(parts, seen, answer.status, verdict);
  const status = seen.status ?? 0;
  // Before the failure: the status alone says that it was done, also when the words behind it break off.
  if (found.rule?.when.afterUnknown === true && verdict.class === 'ok' && status >= 400 && exchange.conflict === null) {
    return doneBefore(parts, exchange, seen, verdict);
  }
  if (failure !== null || broken) {
    parts.buffered.giveBack(seen.bytes);
    const { kind, sent, detail } = failure ?? {
      kind: 'broken',
      sent: 'yes',
      detail: `a ${seen.status} with ${answer?.body}`,
    };
    return { kind: 'failed', failure: kind, sent, detail, verdict };
  }
  return passOn(parts, seen, status, verdict);
}
