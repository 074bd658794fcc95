/**
 * What the proxy would do with an answer or a failure: the real attempt layer tries once against a scripted upstream that
 * gives the one or the other, the real decision says whether it would be sent again, and the real edge says what the caller gets. Nothing is
 * decided here, so that `explain` cannot disagree with `serve`.
 */

import { ByteBudget } from '../core/byte-budget.ts';
import { type AttemptFacts, matches } from '../core/classify.ts';
import { readErrorBody } from '../core/error-body.ts';
import {
  type AttemptRecord,
  type Exchange,
  mayHaveTakenEffect,
  newExchange,
  type RequestBody,
  type WaitReason,
} from '../core/exchange.ts';
import { type FailureKind, type Outcome, type Sent, streamOf } from '../core/outcome.ts';
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
import { type Search, searchAfter } from './explain-recipes.ts';

/** How an attempt can fail on the wire; `broken` is what the answer itself shows. */
export const FAILURES = ['connect', 'dns', 'tls', 'timeout', 'reset', 'truncated'] as const satisfies FailureKind[];

/** A member of `FAILURES`. */
export type WireFailureKind = (typeof FAILURES)[number];

/** A request, and what comes of it: an answer, a failure, or with `truncated` first the one and then the other. */
export interface Scene {
  readonly settings: Settings;
  readonly match: EndpointMatch;
  readonly method: string;
  readonly target: string;
  readonly requestBody: Buffer | null;
  /** Null when none came. */
  readonly answer: { readonly status: number; readonly headers: RawHeaders; readonly body: Buffer } | null;
  readonly failure: WireFailureKind | null;
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
  /** How a create in doubt is looked for; null when nothing is in doubt. */
  readonly search: Search | null;
  /** What the caller gets when this is the last attempt. */
  readonly reply: {
    readonly status: number;
    readonly code: string | null;
    readonly headers: RawHeaders;
    /** What an error of ours says; null for an answer of the upstream. */
    readonly message: string | null;
    /** It flows through, and ends where the upstream's broke off. */
    readonly cutOff: boolean;
  };
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
  // As the ledger would have it: every create has its row before it is sent.
  if (match.policy.operationClass === 'create' && match.policy.mode === 'enforce') {
    exchange.operation = { id: exchange.id, recorded: true, sentAtMs: clock.wall(), doubt: null };
  }
  const afterUnknown = mayHaveTakenEffect(exchange);
  const outcome = await service(exchange);
  const { tried, decided } = rulesTried(scene, exchange, afterUnknown);
  // An attempt that timed out has used its time up.
  const usedMs = scene.failure === 'timeout' ? match.policy.timeout.attemptMs : 0;
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
      remainingMs: exchange.deadlineAtMs - clock.now() - usedMs,
      medianMs: 0,
      random,
    });
  const [soonest, latest] = [decide(0), decide(CHANCE_MOST)];
  const { status, code, headers, body } = respond(exchange, outcome, '1.1 holdfast');
  const stream = streamOf(outcome);
  stream?.discard();
  return {
    exchange,
    outcome,
    tried,
    decided,
    waitMs: soonest.retry && latest.retry ? [soonest.waitMs, latest.waitMs] : null,
    decision: soonest.retry ? latest : soonest,
    search: await searchAfter(exchange, outcome),
    reply: {
      status,
      code,
      headers,
      message: code === null || body.kind !== 'bytes' ? null : readErrorBody(body.bytes).messages.join(' '),
      cutOff: scene.failure !== null && body.kind === 'stream',
    },
  };
}

function exchangeOf({ match, method, target, requestBody, afterUnknown, clock }: Scene): Exchange {
  const body: RequestBody = requestBody === null ? { kind: 'none' } : { kind: 'bytes', bytes: requestBody };
  const exchange = newExchange({
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
    scope: 'explain',
    idempotencyKey: null,
    context: null,
    onInformational: null,
  });
  if (afterUnknown) exchange.attempts.push(UNKNOWN_BEFORE);
  return exchange;
}

/** By the phase in which each of them happens (semantics §2). */
const SENT: Readonly<Record<WireFailureKind, Sent>> = {
  connect: 'no',
  dns: 'no',
  tls: 'no',
  timeout: 'maybe',
  reset: 'maybe',
  truncated: 'yes',
};

function scriptedWire({ answer, failure }: Scene): Wire {
  return {
    connection: () => () => {},
    dispatch: (_, handler) => {
      queueMicrotask(() => {
        const sent = failure === null ? 'yes' : SENT[failure];
        if (sent !== 'no') handler.onStart();
        if (answer !== null) {
          handler.onHead(answer.status, answer.headers);
          if (answer.body.length > 0) handler.onData(answer.body);
        }
        if (failure === null) handler.onEnd([]);
        else handler.onFailure({ kind: failure, sent, fault: 'upstream', detail: 'as asked for' });
      });
      return { pause: () => {}, resume: () => {}, abort: () => {} };
    },
  };
}

/** As the attempt layer has seen it: a body that flows through is judged by its head. */
function rulesTried(
  { match, answer, clock }: Scene,
  exchange: Exchange,
  afterUnknown: boolean,
): Pick<Explanation, 'tried' | 'decided'> {
  const { errors, operationClass } = match.policy;
  const { failure = null, sent = 'yes' } = exchange.attempts.at(-1) ?? {};
  const facts: AttemptFacts = {
    policy: match.policy,
    operationClass,
    bodyRepeatable: true,
    afterUnknown,
    answer: answer && {
      status: answer.status,
      headers: answer.headers,
      body: failure === 'broken' ? 'cut' : 'unchecked',
      error: answer.status >= 400 ? readErrorBody(answer.body) : null,
    },
    failure: failure === null || failure === 'broken' ? null : { kind: failure, sent },
    receivedAtMs: clock.wall(),
  };
  const at = errors.findIndex(({ when }) => matches(when, facts));
  return at === -1 ? { tried: errors, decided: false } : { tried: errors.slice(0, at + 1), decided: true };
}

/** As the retry layer names it. */
function wishReasonOf({ answer, clock }: Scene, { verdict }: Outcome): WaitReason {
  if (verdict.retryAfterMs === null) return 'backoff';
  const { headers } = answer ?? { headers: [] };
  const source = serverWish(headers, clock.wall(), verdict.class === 'throttled')?.source ?? 'retry_after';
  return source === 'rate_limit' ? 'rate_limit_reset' : source;
}
