/**
 * Retry: attempt, look at the verdict, ask the budget, back off, again (semantics §3). The layer executes and decides
 * nothing about safety: `verdict.repeatable` was settled in `attempt`. All counting reads `exchange.attempts`, so an outer
 * layer may call inward twice and restarts nothing.
 *
 * Out goes the last outcome, with two exceptions that keep the answer honest: an answer of the upstream beats a later
 * failure or refusal that proves nothing, and the effect is that of the whole history, not of the last attempt. A request
 * pays into the budget when its first attempt has ended, not when it began: attempts may hang longer than the
 * window, and their own retries would find it empty.
 */

import { AttemptDurations } from '../core/attempt-durations.ts';
import { type Exchange, effectOfAttempts, type WaitReason, type WithheldReason } from '../core/exchange.ts';
import { type Answered, type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import { waitsInLedger } from '../core/queue.ts';
import { serverWish } from '../core/retry-after.ts';
import { decideRetry, type RetryDecision } from '../core/retry-decision.ts';
import type { Layer, Service } from '../core/service.ts';
import type { WaitingRoom } from '../core/waiting-room.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';
import { type Charge, RetryAllowance } from './retry-allowance.ts';
import { BEFORE_DEADLINE_MS } from './wait.ts';

/** What the layer is made of. */
export interface RetryParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  /** Reads our own upstream credential again: whether it changed, or null when callers bring theirs. Never rejects. */
  readonly credentials: { reread(): Promise<boolean | null> };
  readonly waiting: WaitingRoom;
}

interface State extends RetryParts {
  readonly allowance: RetryAllowance;
  readonly durations: AttemptDurations;
  /** Wall time; what was sent before it carried the old credential. */
  credentialChangedAtMs: number;
  rereading: Promise<boolean | null> | null;
}

/** A retry that is decided; without `charge` it waits for cover after its backoff. */
type Plan = Extract<RetryDecision, { retry: true }> & { readonly charge: Charge | null };

/** Sends failed attempts again as long as that is safe, affordable and in time. */
export function retry(parts: RetryParts): Layer {
  const state: State = {
    ...parts,
    allowance: new RetryAllowance(parts.clock, parts.waiting),
    durations: new AttemptDurations(),
    credentialChangedAtMs: -Infinity,
    rereading: null,
  };
  return (inner) => async (exchange) => {
    const before = exchange.attempts.length;
    const outcome = await inner(exchange);
    noteAttempt(state, exchange, before, outcome);
    if (outcome.verdict.class === 'ok') {
      exchange.withheld = null;
      return outcome;
    }
    return outcome.kind === 'refused' ? withEffect(outcome, exchange) : repeat(state, inner, exchange, outcome);
  };
}

/** `before` is how many attempts there were when the call went inward. */
function noteAttempt(state: State, exchange: Exchange, before: number, outcome: Outcome): void {
  const { attempts, policy } = exchange;
  if (attempts.length > before) {
    if (before === 0) state.allowance.dispatched(exchange);
    const last = attempts.at(-1);
    if (last !== undefined && last.status !== null) state.durations.note(policy.name, last.durationMs);
  }
  if (outcome.verdict.class === 'ok') state.allowance.succeeded();
}

type Attempted = Exclude<Outcome, Refused>;

/** From the first failed attempt to the end. */
async function repeat(state: State, inner: Service, exchange: Exchange, first: Attempted): Promise<Outcome> {
  const { clock, events, allowance } = state;
  let outcome = first;
  let answer: Answered | null = null;
  for (;;) {
    const plan = await planRetry(state, exchange, outcome);
    if (plan === null) return conclude(exchange, outcome, answer);

    events.retryScheduled(exchange, plan.waitMs, plan.waitReason, outcome.verdict.reason);
    const last = letGo(outcome);
    if (last.kind === 'answered') answer = last;
    const inTime = await backOff(clock, exchange, plan);
    const charge = inTime ? (plan.charge ?? (await coverLater(state, exchange, plan.cost))) : plan.charge;
    if (!inTime || charge === null) {
      if (charge !== null) allowance.giveBack(charge);
      withhold(state, exchange, exchange.cancel.aborted ? cancelledBy(exchange) : 'budget');
      return stoppedOr(exchange, conclude(exchange, last, answer));
    }

    const before = exchange.attempts.length;
    const next = await inner(exchange);
    noteAttempt(state, exchange, before, next);
    const ok = next.verdict.class === 'ok';
    const sent = exchange.attempts.length > before;
    if (sent) events.retrySent(exchange, last.verdict.reason);
    if (ok || !sent) allowance.giveBack(charge);
    if (ok) {
      exchange.withheld = null;
      return next;
    }
    if (next.kind === 'refused') {
      withhold(state, exchange, refusedBy(exchange, next));
      return concludeRefused(exchange, next, last, answer);
    }
    outcome = next;
  }
}

/** Decides, and takes the price from the budget. Null: it ends here, and why is noted. */
async function planRetry(state: State, exchange: Exchange, outcome: Outcome): Promise<Plan | null> {
  const { clock, events } = state;
  const { policy, body } = exchange;
  const { verdict } = outcome;
  const decision = decideRetry({
    policy: policy.retry,
    operationClass: exchange.operationClass ?? policy.operationClass,
    verdict,
    attempts: exchange.attempts,
    failedProbes: exchange.failedProbes,
    bodySpent: body.kind === 'stream' && body.opened,
    credentialRenewed: verdict.class === 'unauthorized' && (await credentialRenewed(state, exchange)),
    wishReason: wishReasonOf(outcome, clock.wall()),
    remainingMs: exchange.deadlineAtMs - clock.now(),
    medianMs: state.durations.medianMs(policy.name),
    random: state.random(),
  });
  if (!decision.retry) {
    if (decision.withheld !== null) withhold(state, exchange, decision.withheld);
    return null;
  }
  if (exchange.cancel.aborted) {
    withhold(state, exchange, cancelledBy(exchange));
    return null;
  }
  if (exchange.queue !== null && waitsInLedger(exchange, decision.waitMs)) {
    exchange.queue = { ...exchange.queue, retryMs: decision.waitMs };
    return null;
  }
  const charge = state.allowance.charge(exchange, decision.cost);
  const delays = policy.breaker.whenOpen === 'wait' && policy.mode === 'enforce';
  if (charge === null && !delays) {
    withhold(state, exchange, 'budget');
    return null;
  }
  if (policy.mode === 'enforce') return { ...decision, charge };
  events.wouldHave(exchange, 'retry', `retry after ${decision.waitMs} ms (${verdict.reason})`);
  return null;
}

/** `when_open: wait`: the budget delays. */
function coverLater({ allowance, durations }: State, exchange: Exchange, cost: number): Promise<Charge | null> {
  const medianMs = durations.medianMs(exchange.policy.name);
  return allowance.wait(exchange, cost, exchange.deadlineAtMs - medianMs - BEFORE_DEADLINE_MS);
}

/**
 * Reads our own credential again, once per exchange. Many calls are rejected together when it expires: they share one
 * look, and who sent his before the change needs none.
 */
async function credentialRenewed(state: State, exchange: Exchange): Promise<boolean> {
  const { credentials, events, clock } = state;
  const rejected = exchange.attempts.filter((attempt) => attempt.verdict === 'unauthorized');
  const sentAtMs = rejected.at(-1)?.startedAtMs ?? -Infinity;
  if (rejected.length > 1) {
    events.credentialRejected(exchange, false);
    return false;
  }
  if (state.credentialChangedAtMs < sentAtMs) {
    state.rereading ??= credentials.reread().finally(() => {
      state.rereading = null;
    });
    const changed = await state.rereading;
    if (changed === null) {
      events.credentialRejected(exchange, null);
      return false;
    }
    if (changed) state.credentialChangedAtMs = clock.wall();
  }
  const renewed = state.credentialChangedAtMs >= sentAtMs;
  events.credentialRejected(exchange, renewed);
  return renewed;
}

/** False when the wait was cut short. The clock is asked again because the runtime's timers may fire early. */
async function backOff(clock: Clock, exchange: Exchange, plan: Plan): Promise<boolean> {
  const { signal } = exchange.cancel;
  const startedAtMs = clock.now();
  const endsAtMs = startedAtMs + plan.waitMs;
  let now = startedAtMs;
  while (now < endsAtMs && !signal.aborted) {
    await sleep(clock, Math.ceil(endsAtMs - now), signal);
    now = clock.now();
  }
  exchange.waitedMs += now - startedAtMs;
  if (signal.aborted) return false;
  exchange.pendingWait = now > startedAtMs ? { ms: now - startedAtMs, reason: plan.waitReason } : null;
  return true;
}

/** Frees the socket for the time of the wait. What flowed from it cannot be handed out any more. */
function letGo(outcome: Outcome): Outcome {
  const stream = streamOf(outcome);
  if (stream === null) return outcome;
  stream.discard();
  const detail = 'the answer was discarded before a retry that did not take place';
  return { kind: 'failed', failure: 'truncated', sent: 'yes', detail, verdict: outcome.verdict };
}

/** An earlier answer says more than a failure that leaves nothing in doubt ("its last answer is passed on"). */
function conclude(exchange: Exchange, outcome: Outcome, answer: Answered | null): Outcome {
  const proves = outcome.kind === 'answered' || outcome.verdict.effect !== 'none';
  return withEffect(proves ? outcome : (answer ?? outcome), exchange);
}

/** Our own end cut the wait short: when nothing was answered or applied, another instance can take the call. */
function stoppedOr(exchange: Exchange, ending: Outcome): Outcome {
  const { verdict } = ending;
  const stopped = exchange.cancel.reason === 'shutdown' && ending.kind === 'failed' && verdict.effect === 'none';
  if (!stopped) return ending;
  const message = 'Holdfast is stopping; nothing was applied: send the request again.';
  return { kind: 'refused', by: 'retry', code: 'holdfast_overloaded', message, retryAfterMs: 1000, verdict };
}

/** The retry was refused: the answer before it goes out, with the time to come back that the refusal knows. */
function concludeRefused(exchange: Exchange, refused: Refused, last: Outcome, answer: Answered | null): Outcome {
  const ending = conclude(exchange, last, answer);
  if (ending.kind !== 'answered' && ending.verdict.effect === 'none') return refused;
  const retryAfterMs = refused.retryAfterMs ?? ending.verdict.retryAfterMs;
  return { ...ending, verdict: { ...ending.verdict, retryAfterMs } };
}

/** What the last attempt did not do, an earlier one may have done. */
function withEffect<T extends Outcome>(outcome: T, exchange: Exchange): T {
  if (outcome.verdict.effect === 'applied') return outcome;
  const effect = effectOfAttempts(exchange);
  if (effect === 'none' || effect === outcome.verdict.effect) return outcome;
  return { ...outcome, verdict: { ...outcome.verdict, effect } };
}

function withhold({ events }: State, exchange: Exchange, reason: WithheldReason): void {
  exchange.withheld = reason;
  events.retryWithheld(exchange, reason);
}

function cancelledBy(exchange: Exchange): WithheldReason {
  return exchange.cancel.reason === 'deadline' ? 'deadline' : 'interrupted';
}

function refusedBy(exchange: Exchange, refused: Refused): WithheldReason {
  if (exchange.cancel.aborted) return cancelledBy(exchange);
  if (refused.code === 'holdfast_overloaded') return 'overloaded';
  if (refused.by === 'breaker') return 'breaker';
  return refused.code === 'holdfast_quota_wait' ? 'max_wait' : 'interrupted';
}

/** Only the name of the wait, for the history; how long it lasts is the verdict's. */
function wishReasonOf(outcome: Outcome, wallMs: number): WaitReason {
  if (outcome.kind !== 'answered' || outcome.verdict.retryAfterMs === null) return 'backoff';
  const wish = serverWish(outcome.headers, wallMs, outcome.verdict.class === 'throttled');
  // Without words of the server's it is the rule's own `retry_after`.
  if (wish === null) return 'retry_after';
  return wish.source === 'rate_limit' ? 'rate_limit_reset' : wish.source;
}
