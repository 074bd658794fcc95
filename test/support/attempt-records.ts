import type { AttemptRecord, Exchange } from '../../src/core/exchange.ts';
import type { Failed, FailureKind, Outcome, Refused } from '../../src/core/outcome.ts';
import { refusedVerdict, type Verdict } from '../../src/core/verdict.ts';
import { verdict } from './exchanges.ts';

/** The record of an attempt that was answered 503; override any part. */
export function record(overrides: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    n: 1,
    startedAtMs: 0,
    durationMs: 100,
    status: 503,
    failure: null,
    sent: 'yes',
    verdict: 'transient',
    reason: 'status_503',
    effect: 'none',
    waitedMs: 0,
    waitReason: null,
    requestId: null,
    ...overrides,
  };
}

/** A verdict that asks for a retry; override any part. */
export function transient(overrides: Partial<Verdict> = {}): Verdict {
  return verdict({ class: 'transient', reason: 'status_503', effect: 'none', repeatable: true, ...overrides });
}

/** An attempt that broke. */
export function failed(failure: FailureKind, overrides: Partial<Failed> = {}): Failed {
  const sent = failure === 'connect' || failure === 'dns' || failure === 'tls' ? 'no' : 'maybe';
  return { kind: 'failed', failure, sent, detail: 'scripted', verdict: transient({ reason: failure }), ...overrides };
}

/** A layer's refusal. */
export function refused(by: string, overrides: Partial<Refused> = {}): Refused {
  return {
    kind: 'refused',
    by,
    code: 'holdfast_breaker_open',
    message: 'scripted',
    retryAfterMs: 30_000,
    verdict: refusedVerdict('breaker_open', 30_000),
    ...overrides,
  };
}

/** Notes an attempt on the exchange as the `attempt` layer does, wait included, and returns its outcome. */
export function noteAttempt(exchange: Exchange, outcome: Outcome, overrides: Partial<AttemptRecord> = {}): Outcome {
  const wait = exchange.pendingWait;
  exchange.pendingWait = null;
  exchange.attempts.push(
    record({
      n: exchange.attempts.length + 1,
      status: outcome.kind === 'answered' ? outcome.status : null,
      failure: outcome.kind === 'failed' ? outcome.failure : null,
      sent: outcome.kind === 'failed' ? outcome.sent : 'yes',
      verdict: outcome.verdict.class,
      reason: outcome.verdict.reason,
      effect: outcome.verdict.effect,
      waitedMs: wait?.ms ?? 0,
      waitReason: wait?.reason ?? null,
      ...overrides,
    }),
  );
  return outcome;
}
