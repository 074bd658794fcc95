/**
 * What pacing reads from an answer: its window, in the time of our own clock, and what the slot's end was. Holds the
 * estimate of the server's clock, one for the upstream and not one per token: it is the same clock.
 */

import { type ClockSkew, localTimeOf, observedSkew, offsetOf } from '../core/clock-skew.ts';
import { parseHttpDate } from '../core/http-date.ts';
import type { Answered, Outcome } from '../core/outcome.ts';
import type { Slot } from '../core/quota.ts';
import type { LocalRateLimit, SlotResult } from '../core/quota-answers.ts';
import { rateLimitOf } from '../core/rate-limit.ts';
import { headerOf } from '../core/raw-headers.ts';
import type { ClockDifference } from '../core/status.ts';
import type { Clock } from '../ops/clock.ts';

/** A call of which nothing came back. */
export const LOST: SlotResult = { kind: 'lost' };

/** Reads answers, and learns the server's clock from them. */
export class AnswerReading {
  readonly #clock: Clock;
  #skew: ClockSkew | null = null;
  /** Answers of one second carry the same `Date`: parsed once. */
  #date: { readonly text: string; readonly atMs: number | null } = { text: '', atMs: null };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How a call that took a slot ended; `jitter` is random, [0, 1). */
  resultOf(outcome: Outcome, slot: Slot, jitter: number): SlotResult {
    if (outcome.kind === 'refused') return { kind: 'unsent' };
    if (outcome.kind === 'failed') return outcome.sent === 'no' ? { kind: 'unsent' } : LOST;
    const rate = this.#rateOf(outcome, slot);
    const { verdict, headers } = outcome;
    if (verdict.class !== 'throttled' || verdict.pauses !== 'token') return { kind: 'answered', rate };
    // The verdict's wish may be a reset, or a rule's own; only the server's explicit word may be longer than a window.
    const retryAfterMs = headerOf(headers, 'retry-after') === null ? null : verdict.retryAfterMs;
    return { kind: 'throttled', rate, retryAfterMs, jitter };
  }

  /** Null before the first `Date`. */
  clockSkew(): ClockDifference | null {
    if (this.#skew === null) return null;
    const nowMs = this.#clock.now();
    const { offsetMs, errorMs } = offsetOf(this.#skew, nowMs);
    return { seconds: (offsetMs - (this.#clock.wall() - nowMs)) / 1000, errorSeconds: errorMs / 1000 };
  }

  #rateOf(answer: Answered, slot: Slot): LocalRateLimit | null {
    const nowMs = this.#clock.now();
    const dateMs = this.#dateOf(headerOf(answer.headers, 'date'));
    this.#skew = observedSkew(this.#skew, dateMs, slot.sentAtMs, nowMs);
    const wallOffsetMs = this.#clock.wall() - nowMs;
    const rate = rateLimitOf(answer.headers, dateMs ?? nowMs + wallOffsetMs);
    return rate && { ...rate, resetAtMs: localTimeOf(this.#skew, rate.resetMs, nowMs, wallOffsetMs) };
  }

  #dateOf(text: string | null): number | null {
    if (text === null) return null;
    if (text !== this.#date.text) this.#date = { text, atMs: parseHttpDate(text, this.#clock.wall()) };
    return this.#date.atMs;
  }
}
