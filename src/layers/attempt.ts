/**
 * The innermost service: one try on the wire. A connection first, then whatever must be durable before the wire, then the
 * call, then one verdict that everybody else reads. Its limits belong to this try alone; the total time is the deadline
 * layer's, and waiting for a connection or for the ledger counts as that and not as the attempt's own time.
 */

import type { Cancel } from '../core/cancel.ts';
import type { HoldfastCode, Refused } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import { refusedVerdict } from '../core/verdict.ts';
import { callUpstream } from './attempt-call.ts';
import { type JudgeParts, judge } from './attempt-judge.ts';

/** What the service is made of. */
export type AttemptParts = JudgeParts;

const STORE_RETRY_AFTER_MS = 1000;

/** Tries an exchange once. Every attempt that got as far as the wire ends in `exchange.attempts`, once. */
export function attempt(parts: AttemptParts): Service {
  return async (exchange) => {
    const { cancel, policy } = exchange;
    if (policy.idempotentIf === null) exchange.operationClass ??= policy.operationClass;
    const place = parts.wire.connection(cancel);
    const release = place instanceof Promise ? await place : place;
    if (release === null) return interrupted(cancel);
    if (!isPointless(cancel) && exchange.beforeSend !== null) {
      try {
        await exchange.beforeSend();
      } catch {
        release();
        return refused('holdfast_store_unavailable', 'store_unavailable', NOT_STORED, STORE_RETRY_AFTER_MS);
      }
    }
    if (isPointless(cancel)) {
      release();
      return interrupted(cancel);
    }
    const startedAtMs = parts.clock.wall();
    const from = parts.clock.now();
    const seen = await callUpstream(parts, exchange, release);
    return judge(parts, exchange, seen, { startedAtMs, durationMs: parts.clock.now() - from });
  };
}

const NOT_STORED = 'This call must be recorded before it is sent, and that failed; nothing was sent. Send it again.';

/** Nobody wants the answer any more. A shutdown is no such reason: what needs no waiting may still be done. */
function isPointless({ reason }: Cancel): boolean {
  return reason !== null && reason !== 'shutdown';
}

function interrupted({ reason }: Cancel): Refused {
  return reason === 'deadline'
    ? refused('holdfast_deadline', 'deadline', 'The time for this call was up before it could be sent.', null)
    : refused('holdfast_overloaded', 'interrupted', 'Holdfast is stopping; nothing was sent. Send it again.', 1000);
}

function refused(code: HoldfastCode, reason: string, message: string, retryAfterMs: number | null): Refused {
  return { kind: 'refused', by: 'attempt', code, message, retryAfterMs, verdict: refusedVerdict(reason, retryAfterMs) };
}
