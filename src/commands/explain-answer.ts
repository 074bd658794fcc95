/**
 * What the proxy would do with an answer: the real attempt layer tries once against a scripted upstream that gives that
 * answer, the real decision says whether it would be sent again, and the real edge says what the caller gets. Nothing is
 * decided here, so that `explain` cannot disagree with `serve`.
 */

import { ByteBudget } from '../core/byte-budget.ts';
import { matches } from '../core/classify.ts';
import { readErrorBody } from '../core/error-body.ts';
import type { AttemptRecord, Exchange, RequestBody, WaitReason } from '../core/exchange.ts';
import { mayHaveTakenEffect } from '../core/exchange.ts';
import { type Outcome, streamOf } from '../core/outcome.ts';
import type { ErrorRule } from '../core/policy.ts';
import type { RawHeaders } from '../core/raw-headers.ts';
import { serverWish } from '../core/retry-after.ts';
import { decideRetry, type RetryDecision } from '../core/retry-decision.ts';
import type { EndpointMatch, Settings } from '../core/settings.ts';
import type { Wire } from '../core/wire.ts';
import { respond } from '../edge/respond.ts';
import { attempt } from '../layers/attempt.ts';
import type { Clock } from '../ops/clock.ts';
import { Events } from '../ops/events.ts';
import { createLog } from '../ops/log.ts';
import { createMetrics } from '../ops/metrics.ts';

/** A request, and the answer that the upstream gives to it. */
export interface Scene {
  readonly settings: Settings;
  readonly match: EndpointMatch;
  readonly method: string;
  readonly target: string;
  readonly requestBody: Buffer | null;
  readonly answer: { readonly status: number; readonly headers: RawHeaders; readonly body: Buffer };
  /** An earlier attempt of the call may have taken effect. */
  readonly afterUnknown: boolean;
  readonly clock: Clock;
}

/** What the proxy would do. */
export interface Explanation {
  readonly exchange: Exchange;
  readonly outcome: Outcome;
  /** The rules that were looked at, in order; the last one decided when `decided`. */
  readonly tried: readonly ErrorRule[];
  readonly decided: boolean;
  /** The shortest and the longest wait that chance allows, ms; null when it is not sent again. */
  readonly waitMs: readonly [number, number] | null;
  readonly decision: RetryDecision;
  /** What the caller gets when this is the last attempt. */
  readonly reply: { readonly status: number; readonly code: string | null; readonly headers: RawHeaders };
}

const UNKNOWN_BEFORE: AttemptRecord = {
  n: 1,
  startedAtMs: 0,
  durationMs: 0,
  status: null,
  failure: 'reset',
  sent: 'maybe',
  verdict: 'transient',
  reason: 'reset',
  effect: 'unknown',
  waitedMs: 0,
  waitReason: null,
  requestId: null,
};

const CHANCE_MOST = 1 - 2 ** -30;

/** Plays the scene. */
export async function explainAnswer(scene: Scene): Promise<Explanation> {
  const { settings, clock, match } = scene;
  const exchange = exchangeOf(scene);
  const service = attempt({
    wire: scriptedWire(scene),
    clock,
    events: new Events(createLog({ level: 'silent', redact: [] }, { write: () => {} }), createMetrics()),
    buffered: new ByteBudget(settings.limits.bufferedBytes),
    limits: () => settings.limits,
    credentials: { current: () => null },
  });
  const { tried, decided } = rulesTried(scene, exchange);
  const outcome = await service(exchange);
  const decide = (random: number): RetryDecision =>
    decideRetry({
      policy: match.policy.retry,
      operationClass: exchange.operationClass ?? match.policy.operationClass,
      verdict: outcome.verdict,
      attempts: exchange.attempts,
      failedProbes: exchange.failedProbes,
      bodySpent: false,
      credentialRenewed: false,
      wishReason: wishReasonOf(scene, outcome),
      remainingMs: exchange.deadlineAtMs - clock.now(),
      medianMs: 0,
      random,
    });
  const [soonest, latest] = [decide(0), decide(CHANCE_MOST)];
  const reply = respond(exchange, outcome, '1.1 holdfast');
  streamOf(outcome)?.discard();
  return {
    exchange,
    outcome,
    tried,
    decided,
    waitMs: soonest.retry && latest.retry ? [soonest.waitMs, latest.waitMs] : null,
    decision: soonest.retry ? latest : soonest,
    reply,
  };
}

function exchangeOf({ match, method, target, requestBody, afterUnknown, clock }: Scene): Exchange {
  const body: RequestBody = requestBody === null ? { kind: 'none' } : { kind: 'bytes', bytes: requestBody };
  return {
    id: 'explain',
    policy: match.policy,
    params: match.params,
    method,
    target,
    headers: [],
    body,
    receivedAtMs: clock.now(),
    deadlineAtMs: clock.now() + match.policy.timeout.totalMs,
    priority: 3,
    credentialRef: 'explain',
    context: null,
    cancel: new AbortController(),
    onInformational: null,
    beforeSend: null,
    uploadingSinceMs: null,
    attempts: afterUnknown ? [UNKNOWN_BEFORE] : [],
    pendingWait: null,
    waitedMs: 0,
    failedProbes: 0,
    upstreamMs: 0,
    operationClass: null,
    guarded: false,
    withheld: null,
  };
}

function scriptedWire({ answer }: Scene): Wire {
  return {
    connection: () => () => {},
    dispatch: (_, handler) => {
      queueMicrotask(() => {
        handler.onStart();
        handler.onHead(answer.status, answer.headers);
        if (answer.body.length > 0) handler.onData(answer.body);
        handler.onEnd([]);
      });
      return { pause: () => {}, resume: () => {}, abort: () => {} };
    },
  };
}

function rulesTried({ match, answer, clock }: Scene, exchange: Exchange): Pick<Explanation, 'tried' | 'decided'> {
  const { errors, operationClass } = match.policy;
  const { status, headers, body } = answer;
  const facts = {
    policy: match.policy,
    operationClass,
    bodyRepeatable: true,
    afterUnknown: mayHaveTakenEffect(exchange),
    answer: { status, headers, body: 'unchecked', error: status >= 400 ? readErrorBody(body) : null },
    failure: null,
    receivedAtMs: clock.wall(),
  } as const;
  const at = errors.findIndex(({ when }) => matches(when, facts));
  return at === -1 ? { tried: errors, decided: false } : { tried: errors.slice(0, at + 1), decided: true };
}

/** As the retry layer names it. */
function wishReasonOf({ answer, clock }: Scene, { verdict }: Outcome): WaitReason {
  if (verdict.retryAfterMs === null) return 'backoff';
  const source = serverWish(answer.headers, clock.wall(), verdict.class === 'throttled')?.source ?? 'retry_after';
  return source === 'rate_limit' ? 'rate_limit_reset' : source;
}
