/**
 * The durable queue (semantics §8): whether a call that did not succeed runs again, and when. Between its runs a call waits
 * in the ledger and not in memory, so its patience is a day and not a deadline, and no restart shortens it. A run makes
 * the retries of its endpoint, and ends where one would have to wait: who asks sees what was tried, and can take it back
 * while nothing is on the wire. After the retries this backoff counts, with the server's wish before it. What a create in doubt may do is
 * not decided here: its next run looks first, and `reconcile` sends it only where that is safe.
 */

import { type Exchange, effectOfAttempts } from './exchange.ts';
import type { EndingKind } from './operation-record.ts';
import type { Outcome } from './outcome.ts';
import type { NextRun, QueuePlace } from './queue-ticket.ts';
import { laterLook } from './reconcile.ts';
import { isDetectable } from './recovery.ts';
import { resourceOf } from './resource.ts';

/** How long the queue tries, from the hand-over, ms. */
export const PATIENCE_MS = 86_400_000;
/** Ceilings of the backoff between runs, ms: the first one, and all. */
const FIRST_MS = 5000;
const LONGEST_MS = 900_000;
/** On top of a server's wish, so that a lane does not come as one. */
const SPREAD_MS = 5000;
const LARGEST_EXPONENT = 20;
const REFUSED_MS_MAX = 5000;

/** When and by what chance the next run is chosen. */
export interface NextRunFacts {
  /** Epoch ms. */
  readonly nowMs: number;
  /** In [0, 1). */
  readonly random: number;
}

/**
 * The next run of a call that ended like this; null when this was the last one. A call that nobody handed over runs no
 * more, but a lost create of it may be looked for later (semantics §7, "search probe").
 */
export function nextRun(exchange: Exchange, outcome: Outcome, kind: EndingKind, facts: NextRunFacts): NextRun | null {
  if (kind === 'succeeded') return null;
  const isCreate = (exchange.operationClass ?? exchange.policy.operationClass) === 'create';
  const { queue, fate } = exchange;
  // Called over a moment ago: two readings of the clock at the end of its day must not give two answers.
  if (fate !== null && queue !== null && queue.stage !== 'look') return null;
  const startedAtMs = queue?.createdAtMs ?? exchange.operation?.sentAtMs ?? facts.nowMs;
  const untilMs = startedAtMs + PATIENCE_MS;
  if (facts.nowMs >= untilMs) return null;
  const within = (run: NextRun | null): NextRun | null =>
    run === null ? null : { ...run, dueAtMs: Math.min(run.dueAtMs, untilMs) };
  if (kind === 'unknown' && isCreate) return within(ofLostCreate(exchange, outcome, facts));
  if (queue === null || queue.stage === 'look' || !mayPass(outcome)) return null;
  return within({ state: 'waiting', dueAtMs: facts.nowMs + waitMs(exchange, outcome, facts.random) });
}

/** The same call may fare better later. A limit on what runs at once is permanent only for whoever waits for it. */
function mayPass(outcome: Outcome): boolean {
  const { verdict } = outcome;
  if (verdict.class === 'transient' || verdict.class === 'throttled') return true;
  return outcome.kind === 'answered' && outcome.status === 429;
}

function waitMs(exchange: Exchange, { kind, verdict }: Outcome, random: number): number {
  if (exchange.cancel.reason === 'shutdown') return 0;
  const retryMs = exchange.queue?.retryMs;
  if (retryMs !== undefined) return retryMs;
  const wishMs = verdict.retryAfterMs ?? 0;
  // What one of our own layers refused is asked again soon: the lane knows what it costs, and a breaker may close early.
  if (kind === 'refused' && wishMs > 0) return Math.min(wishMs, REFUSED_MS_MAX);
  if (wishMs > 0) return Math.ceil(wishMs + random * SPREAD_MS);
  const n = Math.max(exchange.attempts.length, 1);
  return Math.ceil(random * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(n - 1, LARGEST_EXPONENT)));
}

/** Shorter waits between two attempts are not worth two commits, ms. */
const IN_MEMORY_MS_MAX = 1000;

/** Whether the wait before a retry is spent in the ledger. A create in doubt would be looked for first, and goes on as it is. */
export function waitsInLedger(exchange: Exchange, retryMs: number): boolean {
  if (exchange.queue?.stage !== 'accepted' || retryMs <= IN_MEMORY_MS_MAX) return false;
  const isCreate = (exchange.operationClass ?? exchange.policy.operationClass) === 'create';
  return !isCreate || effectOfAttempts(exchange) === 'none';
}

function ofLostCreate(exchange: Exchange, outcome: Outcome, { nowMs, random }: NextRunFacts): NextRun | null {
  const { policy, queue, operation, looks } = exchange;
  const last = looks.at(-1)?.result;
  // There are several that it may have made: only a person can tell.
  if (last === 'several') return null;
  const soonMs = nowMs + waitMs(exchange, outcome, random);
  const sentAtMs = operation?.sentAtMs ?? nowMs;
  const absent = (operation?.doubt?.looks ?? 0) + looks.filter(({ result }) => result === 'absent').length;
  const later = laterLook(policy.reconcile, absent, sentAtMs, nowMs);
  if (later !== null && !exchange.guarded) {
    // With the index's lag behind it, looking more often than this finds nothing sooner.
    return { state: 'unknown', dueAtMs: Math.max(later.dueAtMs, soonMs) };
  }
  if (queue?.stage !== 'accepted' && queue?.stage !== 'offered') return null;
  if (!isDetectable(policy)) return null;
  const wasAbsentForGood =
    last === 'absent' && !exchange.guarded && !policy.reconcile.some((r) => r.kind !== 'on_error' && r.resendIfAbsent);
  return wasAbsentForGood ? null : { state: 'unknown', dueAtMs: soonMs };
}

/** Whether the dead letters have to wait: this call will be tried again, also if its record is made a little later. */
export function goesOn(exchange: Exchange, outcome: Outcome, kind: EndingKind, nowMs: number): boolean {
  const lastMs = nowMs + RECORDED_WITHIN_MS;
  return exchange.queue !== null && nextRun(exchange, outcome, kind, { nowMs: lastMs, random: 0 }) !== null;
}

const RECORDED_WITHIN_MS = 10_000;

/** Lane and resource of a call. What fails together waits together, and keeps nobody else waiting. */
export function placeOf(exchange: Exchange): QueuePlace {
  const { policy, context, credentialRef } = exchange;
  const lane = `${policy.name} | ${context?.['workflow'] ?? ''} | ${credentialRef}`;
  return { lane, resource: resourceOf(exchange) };
}
