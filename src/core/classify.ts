/**
 * Classification: one attempt, one verdict (semantics §1). Pure, called once per attempt by the `attempt` layer and by
 * `explain`; everybody else reads the verdict. The order is the endpoint's error map, the shipped map (both stand in
 * `policy.errors`), then the table below. A rule decides the class; the effect stays what the phase and the status prove
 * (semantics §2), because no map entry can know whether a lost write landed. The reason is a metric label: it comes from
 * the configuration or from fixed sets, never from the upstream's text.
 */

import { type BodyCondition, blamesInput, type ErrorFacts } from './error-body.ts';
import type { FailureKind, Sent } from './outcome.ts';
import type { EndpointPolicy, ErrorCondition, ErrorRule } from './policy.ts';
import { headerOf, type RawHeaders } from './raw-headers.ts';
import { effectOfFailure, effectOfStatus, repeatsSafely } from './repeatable.ts';
import { ONE_WINDOW_MS, serverWish } from './retry-after.ts';
import {
  type Effect,
  OK,
  OK_READ,
  type OperationClass,
  type Pauses,
  type Verdict,
  type VerdictClass,
} from './verdict.ts';

/** The answer of an attempt, as far as it was read. */
export interface AnswerFacts {
  readonly status: number;
  readonly headers: RawHeaders;
  /** For 2xx: how the body compares with what the row promises. */
  readonly body: BodyCondition;
  /** The parsed body of an error (400 and up); null when none was read. */
  readonly error: ErrorFacts | null;
}

/** How an attempt broke. */
interface FailureFacts {
  readonly kind: FailureKind;
  readonly sent: Sent;
}

/** Everything that classification looks at. */
export interface AttemptFacts {
  readonly policy: EndpointPolicy;
  /** Of this very request, `idempotent_if` considered. */
  readonly operationClass: OperationClass;
  /** The request's body can be sent once more: none, in memory, or a stream that was not opened. */
  readonly bodyRepeatable: boolean;
  /** An earlier attempt of the operation may have taken effect (`mayHaveTakenEffect`). */
  readonly afterUnknown: boolean;
  /** Null when no head came. Stands beside `failure` when the answer broke off or stalled behind its head. */
  readonly answer: AnswerFacts | null;
  /** Null when the attempt ended cleanly. Never null together with `answer`. */
  readonly failure: FailureFacts | null;
  /** Our wall clock at the head, epoch ms; used when the answer carries no `Date`. */
  readonly receivedAtMs: number;
}

/** What an attempt meant, and how that was found. */
export interface Classification {
  readonly verdict: Verdict;
  /** The rule that decided; null when the table did. */
  readonly rule: ErrorRule | null;
  /** False when an error status was decided by the table alone: nobody has mapped this error. */
  readonly mapped: boolean;
  /** The upstream's first code, for the log; not bounded, never a label. */
  readonly code: string | null;
}

/** How much of an error `body:` patterns search, in characters: a pattern may take quadratic time, and errors say it early. */
export const PATTERN_TEXT_MAX = 8192;

const PLAIN_OK: Classification = Object.freeze({ verdict: OK, rule: null, mapped: true, code: null });
const PLAIN_OK_READ: Classification = Object.freeze({ ...PLAIN_OK, verdict: OK_READ });

/** Classifies one attempt. Total: takes any status and any facts, never throws. Allocates nothing for a plain success. */
export function classify(facts: AttemptFacts): Classification {
  const plain = isPlainSuccess(facts);
  const rule = plain && !namesSuccess(facts.policy.errors) ? null : firstMatch(facts);
  if (plain && rule === null) return facts.operationClass === 'read' ? PLAIN_OK_READ : PLAIN_OK;
  const effect = effectOf(facts);
  const decided = rule === null ? byTable(facts) : { class: rule.verdict, reason: rule.reason, mapped: true };
  return {
    verdict: makeVerdict(facts, rule, decided.class, decided.reason, effect),
    rule,
    mapped: decided.mapped,
    code: facts.answer?.error?.codes[0] ?? null,
  };
}

/** The upstream's name for the attempt: `x-request-id`, else the error body's `request_id`; null when it gave none. */
export function requestIdOf(headers: RawHeaders, error: ErrorFacts | null): string | null {
  return headerOf(headers, 'x-request-id') ?? error?.requestId ?? null;
}

/**
 * Whether a rule's condition holds. A condition without `status` speaks of errors and failures only: it never turns a
 * success into something else. One that names a status and nothing more does not know better than a 5xx whose own words
 * blame the input (semantics §1).
 */
export function matches(when: ErrorCondition, facts: AttemptFacts): boolean {
  const { answer } = facts;
  if (when.afterUnknown && !facts.afterUnknown) return false;
  const kind = failureKindOf(facts);
  if (when.failures !== null && (kind === null || !when.failures.has(kind))) return false;
  if (when.matchesStatus !== null) {
    if (answer === null || !when.matchesStatus(answer.status)) return false;
  } else if (kind === null && (answer === null || answer.status < 400)) {
    return false;
  }
  const error = answer?.error ?? null;
  const { codes, message, body } = when;
  if (codes !== null && !error?.codes.some((code) => codes.has(code))) return false;
  if (message !== null && !error?.messages.some((each) => message.test(each))) return false;
  if (body !== null && (error === null || !body.test(error.text.slice(0, PATTERN_TEXT_MAX)))) return false;
  const bare = codes === null && message === null && body === null && when.failures === null;
  return !(bare && blamed(answer));
}

function blamed(answer: AnswerFacts | null): boolean {
  return answer !== null && answer.status >= 500 && blamesInput(answer.status, answer.error);
}

/** How the attempt failed, a 2xx that is not what its row promises included; null when it did not. */
function failureKindOf({ answer, failure }: AttemptFacts): FailureKind | null {
  if (failure !== null) return failure.kind;
  if (answer === null || answer.status < 200 || answer.status >= 300) return null;
  return answer.body === 'whole' || answer.body === 'unchecked' ? null : 'broken';
}

function firstMatch(facts: AttemptFacts): ErrorRule | null {
  return facts.policy.errors.find((rule) => matches(rule.when, facts)) ?? null;
}

const namingSuccess = new WeakMap<readonly ErrorRule[], boolean>();

/** Whether a list names a status below 400: found out once per list, so that a success does not walk the map. */
function namesSuccess(errors: readonly ErrorRule[]): boolean {
  let names = namingSuccess.get(errors);
  if (names === undefined) {
    names = errors.some(({ when }) => when.matchesStatus !== null && matchesAnySuccess(when.matchesStatus));
    namingSuccess.set(errors, names);
  }
  return names;
}

function matchesAnySuccess(matchesStatus: (status: number) => boolean): boolean {
  for (let status = 200; status < 400; status += 1) if (matchesStatus(status)) return true;
  return false;
}

function isPlainSuccess(facts: AttemptFacts): boolean {
  const status = facts.answer?.status ?? 0;
  return status >= 200 && status < 400 && failureKindOf(facts) === null;
}

interface Decision {
  readonly class: VerdictClass;
  readonly reason: string;
  readonly mapped: boolean;
}

/** The last resort (semantics §1, the table). */
function byTable({ answer, failure }: AttemptFacts): Decision {
  const status = answer?.status ?? 0;
  if (status < 400) {
    if (failure !== null) return { class: 'transient', reason: failure.kind, mapped: true };
    if (status < 200) return { class: 'transient', reason: statusReason(status), mapped: true };
    return { class: 'transient', reason: BROKEN[answer?.body ?? 'empty'], mapped: true };
  }
  if (blamed(answer)) return { class: 'permanent', reason: 'input_refused', mapped: true };
  const byStatus = classOfStatus(status);
  // The code that a rule waits for may stand in the part that was lost.
  if (byStatus === 'permanent' && failure !== null) return { class: 'transient', reason: failure.kind, mapped: true };
  return { class: byStatus, reason: statusReason(status), mapped: false };
}

const BROKEN: Readonly<Record<BodyCondition, string>> = {
  cut: 'broken_cut',
  not_json: 'broken_not_json',
  empty: 'broken_empty',
  whole: 'ok',
  unchecked: 'ok',
};

/** Unknown 4xx count as 400, unknown 5xx and everything from 600 on as 500 (RFC 9110 §15). */
function classOfStatus(status: number): VerdictClass {
  if (status === 401) return 'unauthorized';
  if (status === 429) return 'throttled';
  if (status < 500) return status === 408 || status === 425 ? 'transient' : 'permanent';
  return status === 501 || status === 505 ? 'permanent' : 'transient';
}

const STATUS_REASONS = Array.from({ length: 600 }, (_, status) => `status_${status}`);

function statusReason(status: number): string {
  return (status >= 100 ? STATUS_REASONS[status] : undefined) ?? 'status_other';
}

function effectOf(facts: AttemptFacts): Effect {
  const { answer, failure, operationClass } = facts;
  if (answer === null || answer.status < 200) return effectOfFailure(failure?.sent ?? 'maybe', operationClass);
  const { status, body, error, headers } = answer;
  // A page or nothing in the place of the promised JSON may come from a proxy that never asked Intercom.
  if (status < 300 && (body === 'not_json' || body === 'empty')) return effectOfFailure('maybe', operationClass);
  if (status < 500) return effectOfStatus(status, operationClass, NOT_REFUSED);
  return effectOfStatus(status, operationClass, {
    turnedAway: headerOf(headers, 'retry-after') !== null || (error?.codes.includes('service_unavailable') ?? false),
    blamesInput: blamed(answer),
  });
}

const NOT_REFUSED = { turnedAway: false, blamesInput: false };

function makeVerdict(
  facts: AttemptFacts,
  rule: ErrorRule | null,
  verdictClass: VerdictClass,
  reason: string,
  effect: Effect,
): Verdict {
  const { answer, operationClass } = facts;
  const status = answer?.status ?? 0;
  if (verdictClass === 'ok') {
    // The second attempt was told that the first had done it.
    const applied = rule?.when.afterUnknown === true && operationClass !== 'read';
    return { ...OK, reason, effect: applied ? 'applied' : effect, repeatable: operationClass === 'read' };
  }
  const wishes = verdictClass === 'throttled' || verdictClass === 'transient';
  const wish = wishes && answer !== null ? wishOf(facts, answer, rule, verdictClass) : null;
  return {
    class: verdictClass,
    reason,
    effect,
    repeatable: facts.bodyRepeatable && repeatsSafely(effect, operationClass),
    retryAfterMs: wish ?? (wishes ? (rule?.retryAfterMs ?? null) : null),
    // A 4xx that a rule calls passing (lag, an open scroll) comes from an upstream in good health.
    countsAgainstBreaker: verdictClass === 'transient' && !(status >= 400 && status < 500 && status !== 408),
    pauses: rule?.pauses ?? usualPause(verdictClass, answer),
    ...(rule?.deadLetter === 'never' ? NEVER_KEPT : {}),
  };
}

const NEVER_KEPT = { deadLetter: 'never' } as const;

/** The server's own words, then the rule's, then one window for a throttled call. */
function wishOf(
  facts: AttemptFacts,
  answer: AnswerFacts,
  rule: ErrorRule | null,
  verdictClass: VerdictClass,
): number | null {
  const wish = serverWish(answer.headers, facts.receivedAtMs, verdictClass === 'throttled');
  if (wish === null) return null;
  return wish.source === 'one_window' ? (rule?.retryAfterMs ?? ONE_WINDOW_MS) : wish.waitMs;
}

function usualPause(verdictClass: VerdictClass, answer: AnswerFacts | null): Pauses {
  if (verdictClass === 'throttled') return 'token';
  const turnedAway = verdictClass === 'transient' && answer?.status === 503;
  return turnedAway && headerOf(answer.headers, 'retry-after') !== null ? 'endpoint' : 'nothing';
}
