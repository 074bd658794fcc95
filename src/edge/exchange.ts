/** Makes exchanges, and the outcomes that no service gave: it threw, or its client was not waited for. */

import { type Exchange, newExchange, type RequestBody } from '../core/exchange.ts';
import type { Failed, Refused } from '../core/outcome.ts';
import type { EndpointMatch } from '../core/settings.ts';
import { refusedVerdict } from '../core/verdict.ts';
import type { Head } from './inbound.ts';

/** What is known when the body is here. */
export interface ExchangeFacts {
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly head: Head;
  readonly match: EndpointMatch;
  readonly body: RequestBody;
  /** Monotonic ms: when the head was here. */
  readonly receivedAtMs: number;
  /** Monotonic ms. */
  readonly nowMs: number;
  readonly credentialRef: string;
  readonly scope: string;
  readonly onInformational: Exchange['onInformational'];
}

/**
 * A new exchange. Its time starts when its body is here, or begins to flow: a slow upload is the client's own time, and
 * bounded by `body_idle`.
 */
export function exchangeOf(facts: ExchangeFacts): Exchange {
  const { head, match, nowMs } = facts;
  const { policy } = match;
  const totalMs = policy.mode === 'observe' ? Infinity : Math.min(policy.timeout.totalMs, head.timeoutMs);
  const exchange = newExchange({
    id: facts.id,
    policy,
    params: match.params,
    method: facts.method,
    target: facts.target,
    headers: head.headers,
    body: facts.body,
    receivedAtMs: facts.receivedAtMs,
    deadlineAtMs: nowMs + totalMs,
    priority: head.priority,
    credentialRef: facts.credentialRef,
    scope: facts.scope,
    idempotencyKey: head.idempotencyKey,
    context: head.context,
    onInformational: facts.onInformational,
  });
  // A read has to be answered, and what is only observed is not changed: a preference may be ignored (RFC 7240 §2).
  if (policy.mode === 'enforce' && policy.operationClass !== 'read') exchange.preference = head.preference;
  return exchange;
}

/** The client of a call is gone. What was handed over is no longer its to end by leaving. */
export function clientLeft({ queue, cancel }: Exchange): void {
  if (queue?.stage !== 'accepted') cancel.abort('client_gone');
}

/** A bug says nothing about the upstream: a read is harmless, a write may have been applied. */
export function outcomeOfBug({ policy }: Exchange): Failed {
  const isRead = policy.operationClass === 'read';
  return {
    kind: 'failed',
    failure: 'reset',
    sent: 'maybe',
    detail: 'the service threw',
    verdict: {
      class: 'transient',
      reason: 'bug',
      effect: isRead ? 'none' : 'unknown',
      repeatable: isRead,
      retryAfterMs: null,
      countsAgainstBreaker: false,
      pauses: 'nothing',
    },
  };
}

/** A read whose client left while the process was stopping; for the log, there is nobody to send it to. */
export function outcomeOfClientGone(): Refused {
  return {
    kind: 'refused',
    by: 'edge',
    code: 'holdfast_deadline',
    message: 'The client left.',
    retryAfterMs: null,
    verdict: refusedVerdict('client_gone', null),
  };
}
