/**
 * What the quota machine learns from the end of a call. Two corrections keep its count true without any guess about the
 * order in which the server took our calls: a call whose answer shows an older window is taken out of the current one,
 * and one that was sent before the current window by our clock but counted in it is taken in. The other choice, deciding
 * at send time by the clock alone, is wrong at every edge by as many calls as are in flight.
 */

import { decreased } from './aimd.ts';
import { LONGEST_WINDOW_MS, pauseEnd } from './pause.ts';
import {
  edge,
  foreignSpend,
  type Learned,
  noCalls,
  type OwnCalls,
  type Quota,
  type Recent,
  rolled,
  type Slot,
} from './quota.ts';
import type { RateLimit } from './rate-limit.ts';

/** A rate limit with its reset on our clock. */
export interface LocalRateLimit extends RateLimit {
  /** The safe side of the reset, monotonic ms. */
  readonly resetAtMs: number;
}

/** How a call that took a slot ended. */
export type SlotResult =
  | { readonly kind: 'unsent' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'answered'; readonly rate: LocalRateLimit | null }
  | {
      /** A 429 that pauses its token. */
      readonly kind: 'throttled';
      readonly rate: LocalRateLimit | null;
      /** An explicit `Retry-After`. */
      readonly retryAfterMs: number | null;
      /** Random, [0, 1). */
      readonly jitter: number;
    };

/** What a call's end taught. */
export interface Settled {
  readonly quota: Quota;
  /** Until when all calls of the token pause, monotonic ms; not after now means: probe first. Null: no pause. */
  readonly pauseUntilMs: number | null;
}

/** A reset cut to whole seconds comes up to this much late. */
const WHOLE_SECOND_MS = 1000;
/** How long to stay away when our clock is early although it should not be. */
const EARLY_MS = 250;
/** Deltas become epochs by a `Date` of whole seconds: two of them may name one window a second apart. */
const SAME_RESET_MS = 1500;
/** The safe side of a reset lies up to a `Date`'s second and a slow answer behind the true one. */
const RESET_ERROR_MS = 5000;

/** A call has ended. Call it once per slot. */
export function settled(before: Quota, slot: Slot, result: SlotResult, nowMs: number): Settled {
  const quota = returned(rolled(before, nowMs), slot);
  switch (result.kind) {
    case 'unsent':
      return { quota: takenOut(quota, slot), pauseUntilMs: null };
    case 'lost':
      return { quota, pauseUntilMs: null };
    case 'answered':
      return result.rate === null
        ? { quota: silentAnswer(quota, slot), pauseUntilMs: null }
        : answered(quota, slot, result.rate, nowMs);
    case 'throttled':
      return throttled(quota, slot, result, nowMs);
  }
}

function belongs(quota: Quota, slot: Slot): boolean {
  return slot.ordinal >= quota.own.first;
}

function withOwn(quota: Quota, own: OwnCalls): Quota {
  return { ...quota, own };
}

function returned(quota: Quota, slot: Slot): Quota {
  const back = { ...quota, inFlight: Math.max(0, quota.inFlight - 1), recent: returnedRecent(quota.recent, slot) };
  if (belongs(quota, slot)) {
    return withOwn(back, { ...quota.own, inFlight: Math.max(0, quota.own.inFlight - 1) });
  }
  if (back.kind !== 'learned' || back.doubtful === 0 || slot.generation < back.doubtfulFrom) return back;
  return { ...back, doubtful: back.doubtful - 1 };
}

function returnedRecent(recent: Recent, slot: Slot): Recent {
  if (slot.generation === recent.generation) return { ...recent, inFlight: Math.max(0, recent.inFlight - 1) };
  if (slot.generation !== recent.generation - 1) return recent;
  return { ...recent, inFlightBefore: Math.max(0, recent.inFlightBefore - 1) };
}

/** The call turned out not to count in the current window. */
function takenOut(quota: Quota, slot: Slot): Quota {
  if (!belongs(quota, slot)) return quota;
  const own = {
    ...quota.own,
    sent: Math.max(0, quota.own.sent - 1),
    urgent: Math.max(0, quota.own.urgent - (slot.urgent ? 1 : 0)),
  };
  if (quota.kind !== 'learned') return withOwn(quota, own);
  return { ...quota, own, used: Math.max(quota.reported, quota.used - 1) };
}

/** The call turned out to count in the current window although it was sent before it by our clock. */
function takenIn(quota: Learned, slot: Slot): Learned {
  if (belongs(quota, slot)) return quota;
  const own = {
    ...quota.own,
    sent: quota.own.sent + 1,
    urgent: quota.own.urgent + (slot.urgent ? 1 : 0),
  };
  return { ...quota, own, used: Math.max(quota.used, own.sent) };
}

function silentAnswer(quota: Quota, slot: Slot): Quota {
  switch (quota.kind) {
    case 'unlearned':
      return { ...quota, kind: 'unpaced' };
    case 'unpaced':
      return quota;
    case 'estimated':
      return quota.before === undefined ? quota : { ...quota, estimate: decreased(quota.before, accepted(quota.own)) };
    case 'learned':
      return belongs(quota, slot) ? { ...quota, silent: quota.silent + 1 } : quota;
  }
}

/** Calls of the window that the server took. */
function accepted(own: OwnCalls): number {
  return Math.max(1, own.sent - own.inFlight - own.refused);
}

/** Which window an answer speaks of. `lagging`: the one that had ended by our clock when the call was sent. */
type Spoken = 'current' | 'next' | 'older' | 'lagging' | 'nonsense';

function spokenOf(quota: Quota, slot: Slot, rate: LocalRateLimit, nowMs: number): Spoken {
  if (!(rate.resetAtMs <= nowMs + LONGEST_WINDOW_MS + RESET_ERROR_MS)) return 'nonsense';
  const lagMs = quota.kind === 'learned' ? quota.lagMs : 0;
  const wasOver = rate.resetAtMs + lagMs <= slot.sentAtMs;
  if (quota.kind !== 'learned') return wasOver ? 'nonsense' : 'next';
  if (quota.resetMs !== null && sameReset(rate.resetMs, quota.resetMs)) return 'current';
  if (rate.resetMs > (quota.resetMs ?? quota.olderMs + SAME_RESET_MS)) return wasOver ? 'nonsense' : 'next';
  const early = quota.resetMs === null && belongs(quota, slot) && sameReset(rate.resetMs, quota.olderMs);
  if (early && lagMs === 0 && slot.sentAtMs - rate.resetAtMs <= WHOLE_SECOND_MS) return 'lagging';
  return wasOver ? 'nonsense' : 'older';
}

function sameReset(a: number, b: number): boolean {
  return Math.abs(a - b) <= SAME_RESET_MS;
}

function answered(quota: Quota, slot: Slot, rate: LocalRateLimit, nowMs: number): Settled {
  switch (spokenOf(quota, slot, rate, nowMs)) {
    case 'nonsense':
      return { quota: silentAnswer(quota, slot), pauseUntilMs: null };
    case 'older':
      return { quota: takenOut(quota, slot), pauseUntilMs: null };
    case 'lagging':
      return { quota: lagging(takenOut(quota, slot), rate, nowMs), pauseUntilMs: null };
    case 'current':
    case 'next': {
      const learned = learnt(quota, slot, rate, nowMs);
      return {
        quota: learned,
        pauseUntilMs: rate.remaining === 0 && learned.endsAtMs > nowMs ? learned.endsAtMs : null,
      };
    }
  }
}

/** The server cuts its reset to whole seconds: the window that we thought over lasts a little longer. */
function lagging(quota: Quota, rate: LocalRateLimit, nowMs: number): Quota {
  if (quota.kind !== 'learned') return quota;
  return { ...quota, lagMs: WHOLE_SECOND_MS, endsAtMs: Math.max(nowMs, rate.resetAtMs + WHOLE_SECOND_MS) };
}

/** Takes over what an answer says of the current window, or of the one that it shows to have begun. */
function learnt(quota: Quota, slot: Slot, rate: LocalRateLimit, nowMs: number): Learned {
  const used = rate.limit - rate.remaining;
  const current = currentOf(quota, rate);
  const learned = takenIn(current, slot);
  return {
    ...learned,
    limit: rate.limit,
    resetMs: learned.resetMs ?? rate.resetMs,
    endsAtMs: Math.min(Math.max(nowMs, rate.resetAtMs + learned.lagMs), nowMs + LONGEST_WINDOW_MS),
    used: Math.max(learned.used, used),
    reported: Math.max(learned.reported, used),
    silent: 0,
  };
}

function currentOf(quota: Quota, rate: LocalRateLimit): Learned {
  if (quota.kind !== 'learned') {
    // Everything sent since we have counted may be of this window: its answers will take out what is not.
    const { next, inFlight, own, recent, endsAtMs } = quota;
    const begun = {
      resetMs: null,
      olderMs: -Infinity,
      doubtful: 0,
      doubtfulFrom: 0,
      foreignBefore: 0,
      silent: 0,
      lagMs: 0,
    };
    const counted = { limit: rate.limit, used: own.sent, reported: 0 };
    return { kind: 'learned', next, inFlight, own, recent, endsAtMs, ...begun, ...counted };
  }
  if (quota.resetMs === null || sameReset(rate.resetMs, quota.resetMs)) return quota;
  // The server's window turned before ours did. What is in flight joins as its answers come.
  return {
    ...quota,
    ...edge(quota.recent),
    own: noCalls(quota.next),
    resetMs: null,
    olderMs: quota.resetMs,
    used: 0,
    reported: 0,
    foreignBefore: foreignSpend(quota),
  };
}

function throttled(
  quota: Quota,
  slot: Slot,
  result: Extract<SlotResult, { readonly kind: 'throttled' }>,
  nowMs: number,
): Settled {
  const { rate, retryAfterMs, jitter } = result;
  const spoken = rate === null ? 'nonsense' : spokenOf(quota, slot, rate, nowMs);
  const wished = (resetAtMs: number | null): number => pauseEnd({ retryAfterMs, resetAtMs }, jitter, nowMs);
  if (rate !== null && (spoken === 'current' || spoken === 'next')) {
    const learned = learnt(quota, slot, rate, nowMs);
    const own = belongs(learned, slot) ? { ...learned.own, refused: learned.own.refused + 1 } : learned.own;
    const over = retryAfterMs === null && learned.endsAtMs <= nowMs;
    return { quota: { ...learned, own }, pauseUntilMs: over ? nowMs : wished(learned.endsAtMs) };
  }
  if (rate !== null && spoken === 'lagging') {
    const lagged = lagging(takenOut(quota, slot), rate, nowMs);
    return { quota: lagged, pauseUntilMs: retryAfterMs === null ? lagged.endsAtMs : wished(lagged.endsAtMs) };
  }
  if (spoken === 'older') {
    // Sent after the window had ended by our clock, and refused in it all the same: we are early by some milliseconds.
    const early = belongs(quota, slot) ? nowMs + EARLY_MS : null;
    return { quota: takenOut(quota, slot), pauseUntilMs: retryAfterMs === null ? early : wished(null) };
  }
  return { quota: refusedSilently(quota), pauseUntilMs: wished(null) };
}

/** A 429 of the current window that names no window. */
function refusedSilently(quota: Quota): Quota {
  const own = { ...quota.own, refused: quota.own.refused + 1 };
  if (quota.kind === 'learned') return { ...quota, own, silent: quota.silent + 1 };
  const before = quota.kind === 'estimated' ? (quota.before ?? quota.estimate) : null;
  return {
    kind: 'estimated',
    next: quota.next,
    inFlight: quota.inFlight,
    own,
    recent: quota.recent,
    endsAtMs: quota.endsAtMs,
    estimate: decreased(before, accepted(own)),
    before,
  };
}
