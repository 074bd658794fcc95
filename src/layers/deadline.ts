/**
 * The total time of a call, retries and waits included (semantics §3). When it is up, or the client has left, every wait
 * inside ends through `exchange.cancel`; what still runs is a write on the wire, which may finish. The caller is answered
 * at once and the true ending follows as `settled`. Hand-made and not `Promise.race`: a race leaves its reactions
 * on promises that live on, and the normal case is one timer and one listener, both set and cleared. The deadline moves
 * while a streamed body is written, so the timer looks at it when it fires.
 */

import type { CancelListener } from '../core/cancel.ts';
import { type CancelReason, type Exchange, effectOfAttempts } from '../core/exchange.ts';
import { type HoldfastCode, type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import type { Layer, Service } from '../core/service.ts';
import { type Effect, refusedVerdict } from '../core/verdict.ts';
import type { WaitingRoom } from '../core/waiting-room.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

/** What the layer is made of. */
export interface DeadlineParts {
  /** Calls leave it here when they have ended: every way into the stack leads through this layer. */
  readonly waiting: WaitingRoom;
  readonly clock: Clock;
  readonly events: Events;
}

type Cut = 'deadline' | 'client_gone';

/** A deadline that was nearly over when the upload began is looked at no more often than this while it runs. */
const LOOK_AGAIN_MS = 100;

/** Answers when the deadline passes or the client is gone, whatever runs inside. */
export function deadline(parts: DeadlineParts): Layer {
  return (inner) => (exchange) => {
    if (exchange.deadlineAtMs <= parts.clock.now()) return Promise.resolve(refusal(exchange, 'deadline', null, false));
    if (isGone(exchange)) return Promise.resolve(refusal(exchange, 'client_gone', null, false));
    return new Promise((resolve, reject) => new Race(parts, exchange, resolve, reject).run(inner));
  };
}

/** One call between its inner service and the clock. */
class Race implements CancelListener {
  readonly #parts: DeadlineParts;
  readonly #exchange: Exchange;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #reject: (error: unknown) => void;
  #cancelTimer: CancelTimer | null = null;
  #cut: Cut | null = null;
  #answered = false;
  #settle: ((late: Outcome | Promise<Outcome>) => void) | null = null;

  constructor(
    parts: DeadlineParts,
    exchange: Exchange,
    resolve: (outcome: Outcome) => void,
    reject: (error: unknown) => void,
  ) {
    this.#parts = parts;
    this.#exchange = exchange;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  run(inner: Service): void {
    this.#watch(this.#exchange.deadlineAtMs - this.#parts.clock.now());
    this.#exchange.cancel.listen(this);
    inner(this.#exchange).then(
      (outcome) => this.#onEnd(outcome),
      (error: unknown) => this.#onBug(error),
    );
  }

  #watch(leftMs: number): void {
    this.#cancelTimer = this.#parts.clock.timer(leftMs, () => this.#onTimer());
  }

  #onTimer(): void {
    const { deadlineAtMs, uploadingSinceMs } = this.#exchange;
    if (uploadingSinceMs !== null) this.#watch(Math.max(deadlineAtMs - uploadingSinceMs, LOOK_AGAIN_MS));
    else if (deadlineAtMs > this.#parts.clock.now()) this.#watch(deadlineAtMs - this.#parts.clock.now());
    else this.#stop('deadline');
  }

  /** On `shutdown` waits end by themselves and running attempts finish: nothing to answer yet. */
  cancelled(reason: CancelReason): void {
    if (reason === 'client_gone') this.#stop('client_gone');
  }

  /** Ends the waits and gives the inner service one turn to end with them. */
  #stop(cut: Cut): void {
    this.#clear();
    this.#cut = cut;
    this.#exchange.cancel.abort(cut);
    this.#cancelTimer = this.#parts.clock.timer(0, () => this.#onTurnOver());
  }

  #onTurnOver(): void {
    this.#answered = true;
    const { promise: settled, resolve } = Promise.withResolvers<Outcome>();
    this.#settle = resolve;
    this.#resolve({ ...refusal(this.#exchange, this.#cut ?? 'deadline', null, true), settled });
  }

  #onEnd(outcome: Outcome): void {
    this.#clear();
    this.#parts.waiting.ended(this.#exchange);
    if (this.#settle !== null) {
      streamOf(outcome)?.discard();
      // An ending that was itself early has its true one behind it.
      this.#settle(outcome.settled ?? outcome);
    } else if (this.#cut === null || outcome.kind === 'answered') {
      this.#resolve(outcome);
    } else {
      const { settled } = outcome;
      const told = refusal(this.#exchange, this.#cut, outcome, false);
      this.#resolve(settled === undefined ? told : { ...told, settled });
    }
  }

  #onBug(error: unknown): void {
    this.#clear();
    this.#parts.waiting.ended(this.#exchange);
    if (!this.#answered) {
      this.#reject(error);
      return;
    }
    this.#parts.events.bug(error, 'behind the deadline');
    this.#settle?.(refusal(this.#exchange, this.#cut ?? 'deadline', null, true));
  }

  #clear(): void {
    this.#cancelTimer?.();
    this.#exchange.cancel.unlisten(this);
  }
}

function isGone(exchange: Exchange): boolean {
  return exchange.cancel.reason === 'client_gone';
}

/**
 * Says what is known. `running`: the inner service goes on although every wait was cancelled, so an attempt is on the
 * wire. `ended` is how it ended because of the cut; null when it goes on or was never called.
 */
function refusal(exchange: Exchange, cut: Cut, ended: Outcome | null, running: boolean): Refused {
  const isRead = exchange.policy.operationClass === 'read';
  const effect = isRead ? 'none' : effectSoFar(exchange, ended, running);
  const code = codeOf(exchange, effect, running);
  const retryAfterMs = ended?.verdict.retryAfterMs ?? null;
  const verdict = { ...refusedVerdict(cut, retryAfterMs), effect, repeatable: effect === 'none' };
  return { kind: 'refused', by: 'deadline', code, message: MESSAGES[code], retryAfterMs, verdict };
}

function effectSoFar(exchange: Exchange, ended: Outcome | null, running: boolean): Effect {
  const past = effectOfAttempts(exchange);
  if (past === 'applied' || ended?.verdict.effect === 'applied') return 'applied';
  return running || past === 'unknown' || ended?.verdict.effect === 'unknown' ? 'unknown' : 'none';
}

type DeadlineCode = Extract<
  HoldfastCode,
  'holdfast_deadline' | 'holdfast_upstream_timeout' | 'holdfast_outcome_unknown'
>;

function codeOf({ attempts }: Exchange, effect: Effect, running: boolean): DeadlineCode {
  if (effect !== 'none') return 'holdfast_outcome_unknown';
  const asked = running || attempts.length > 0;
  return asked && attempts.every(({ failure }) => failure === 'timeout')
    ? 'holdfast_upstream_timeout'
    : 'holdfast_deadline';
}

const MESSAGES: Readonly<Record<DeadlineCode, string>> = {
  holdfast_deadline: 'The time for this call is over and nothing was applied. Send it again, or allow it more time.',
  holdfast_upstream_timeout: 'The upstream did not answer any attempt in time. This call only reads: send it again.',
  holdfast_outcome_unknown:
    'The time for this call is over while a write was under way; it may or may not have been applied. Look before you send it again.',
};
