/**
 * The quota of one token: how many calls the current window still takes, learned from answers and counted by ourselves.
 * Own sends are counted per window; what an answer reports as used beyond them was spent by others. The obvious other
 * choice, believing `remaining` and subtracting what is in flight, subtracts a call twice that the report had already
 * counted, and wasted 18 % of a small quota in a prototype. Only near the end of a window that is shared with others
 * are calls in flight held against it, until their answers tell: there a guess too high is a 429.
 *
 *     unlearned ──headers──▶ learned ◀──headers──────────┐
 *         └──answer without──▶ unpaced ──429──▶ estimated ┘     (learned, but no headers for a whole window ──▶ unpaced)
 *
 * A window's identity is its reset value; answers of older windows are ignored. Calls are numbered in the order of their
 * sends: a window begins with the first call that an answer shows to belong to it. Whether a 429 pauses everybody is
 * decided in `quota-answers.ts`, how the pause goes on in `pause.ts`.
 */

import { type Estimate, increased } from './aimd.ts';

/** What the configuration says about an endpoint's pacing. */
export interface PacingPolicy {
  readonly enabled: boolean;
  /** The longest wait for a slot; a longer one is refused at once. */
  readonly maxWaitMs: number;
  /** The share of each window that is kept for priorities 0 to 2, 0..1. */
  readonly reserve: number;
}

/** The own calls of one window. */
export interface OwnCalls {
  /** The ordinal of its first call. */
  readonly first: number;
  /** Sent in it; calls whose answer shows another window are taken out again. */
  readonly sent: number;
  /** Of those, urgent ones: they use the reserve up. */
  readonly urgent: number;
  /** Of those, still without result. */
  readonly inFlight: number;
  /** Of those, answered 429. */
  readonly refused: number;
}

/**
 * Calls in flight by age: those sent within the last second or two are the ones that a window's edge leaves in doubt.
 * A generation lasts a second; exact counts, since every slot knows its generation.
 */
export interface Recent {
  readonly generation: number;
  readonly beganAtMs: number;
  readonly inFlight: number;
  /** In flight of the generation before. */
  readonly inFlightBefore: number;
}

interface Common {
  /** The ordinal of the next call. */
  readonly next: number;
  /** All calls without a result, of any window. */
  readonly inFlight: number;
  readonly own: OwnCalls;
  readonly recent: Recent;
  /** When the window ends by our monotonic clock, on the safe side. */
  readonly endsAtMs: number;
}

/** Nothing was answered yet: a few calls go out and find out. */
export type Unlearned = Common & { readonly kind: 'unlearned' };
/** Answers without headers, and no 429 so far: nothing to pace by. */
export type Unpaced = Common & { readonly kind: 'unpaced' };
/** 429s without headers: an estimate stands in. */
export type Estimated = Common & {
  readonly kind: 'estimated';
  readonly estimate: Estimate;
  /** The estimate before this window's first 429: a window lowers it once. Undefined when there was no 429 yet. */
  readonly before: Estimate | null | undefined;
};
/** The server tells. */
export type Learned = Common & {
  readonly kind: 'learned';
  readonly limit: number;
  /** The window's identity, server's epoch ms; null from its beginning by the clock until an answer names it. */
  readonly resetMs: number | null;
  /** The reset value of the window before: its late answers are known by it. */
  readonly olderMs: number;
  /** Used up for sure: what an answer reported last, and one more for each send since. */
  readonly used: number;
  /** The most that an answer reported as used; it includes everybody's calls. */
  readonly reported: number;
  /** In flight since before the window began by our clock, at most this generation old: it may have counted them. */
  readonly doubtful: number;
  readonly doubtfulFrom: number;
  /** Spent by others in the window before: who spends once spends again. */
  readonly foreignBefore: number;
  /** Answers of this window that named nothing. */
  readonly silent: number;
  /** The server refills up to this long after the second it names (it cuts fractions off); learned once, ms. */
  readonly lagMs: number;
};
/** The quota of a token. */
export type Quota = Unlearned | Unpaced | Estimated | Learned;

/** A call that took a slot. */
export interface Slot {
  readonly ordinal: number;
  readonly generation: number;
  readonly urgent: boolean;
  readonly sentAtMs: number;
}

/** Intercom spreads its limits over windows of ten seconds. */
export const WINDOW_MS = 10_000;
const UNLEARNED_IN_FLIGHT = 10;
const GENERATION_MS = 1000;
const NONE_RECENT: Recent = { generation: 0, beganAtMs: -Infinity, inFlight: 0, inFlightBefore: 0 };

/** The quota of a token that nothing is known about. */
export function newQuota(nowMs: number): Quota {
  return { kind: 'unlearned', next: 0, inFlight: 0, own: noCalls(0), recent: NONE_RECENT, endsAtMs: nowMs + WINDOW_MS };
}

/** The own calls of a window that begins with the call `first`. */
export function noCalls(first: number): OwnCalls {
  return { first, sent: 0, urgent: 0, inFlight: 0, refused: 0 };
}

/** Begins the next window when the current one has ended by the clock. */
export function rolled(quota: Quota, nowMs: number): Quota {
  if (nowMs < quota.endsAtMs) return quota;
  const begun = { own: noCalls(quota.next), recent: aged(quota.recent, nowMs), endsAtMs: nowMs + WINDOW_MS };
  switch (quota.kind) {
    case 'unlearned':
      return { ...quota, endsAtMs: begun.endsAtMs };
    case 'unpaced':
      return { ...quota, ...begun };
    case 'estimated': {
      const clean = quota.before === undefined;
      const estimate = clean ? increased(quota.estimate, quota.own.sent) : quota.estimate;
      return { ...quota, ...begun, estimate, before: undefined };
    }
    case 'learned':
      if (quota.resetMs === null && quota.silent > 0) {
        return { kind: 'unpaced', next: quota.next, inFlight: quota.inFlight, ...begun };
      }
      return {
        ...quota,
        ...begun,
        resetMs: null,
        olderMs: quota.resetMs ?? quota.olderMs,
        ...edge(begun.recent),
        used: 0,
        reported: 0,
        foreignBefore: quota.resetMs === null ? quota.foreignBefore : foreignSpend(quota),
        silent: 0,
      };
  }
}

function aged(recent: Recent, nowMs: number): Recent {
  const ageMs = nowMs - recent.beganAtMs;
  if (ageMs < GENERATION_MS) return recent;
  const kept = ageMs < 2 * GENERATION_MS;
  return {
    generation: recent.generation + (kept ? 1 : 2),
    beganAtMs: nowMs,
    inFlight: 0,
    inFlightBefore: kept ? recent.inFlight : 0,
  };
}

/** The calls that a window beginning now may have counted although they were sent before it. */
export function edge(recent: Recent): { readonly doubtful: number; readonly doubtfulFrom: number } {
  return { doubtful: recent.inFlight + recent.inFlightBefore, doubtfulFrom: recent.generation - 1 };
}

/** Slots of the window that nobody has used, as far as we know; Infinity when there is nothing to count against. */
export function freeSlots(quota: Quota): number {
  switch (quota.kind) {
    case 'unlearned':
      return Math.max(0, UNLEARNED_IN_FLIGHT - quota.inFlight);
    case 'unpaced':
      return Infinity;
    case 'estimated':
      return Math.max(0, quota.estimate.limit - quota.own.sent);
    case 'learned': {
      const shared = foreignSpend(quota) > 0 || quota.foreignBefore > 0;
      const open = quota.doubtful + (shared ? quota.own.inFlight : 0);
      const used =
        open === 0 ? quota.used : Math.max(quota.used, quota.own.sent + quota.doubtful, quota.reported + open);
      return Math.max(0, quota.limit - used);
    }
  }
}

/** What others spent of the current window, as far as it is proven: a call that was refused spent nothing itself. */
export function foreignSpend(quota: Quota): number {
  return quota.kind === 'learned' ? Math.max(0, quota.used - quota.own.sent + quota.own.refused) : 0;
}

/** Whether nothing may be sent before the window ends: what follows it begins with a probe. */
export function usedUp(quota: Quota): boolean {
  return (quota.kind === 'learned' || quota.kind === 'estimated') && freeSlots(quota) === 0;
}

/** Calls that one window takes; Infinity when unknown. */
export function windowSize(quota: Quota): number {
  if (quota.kind === 'learned') return quota.limit;
  return quota.kind === 'estimated' ? quota.estimate.limit : Infinity;
}

/**
 * When a call may be sent: `nowMs`; or the time at which the clock will allow it; Infinity when only an answer to a call
 * in flight can. Ask after `rolled`. `reserve` holds back calls that are not urgent until the last tenth of the window.
 */
export function slotAt(quota: Quota, urgent: boolean, reserve: number, nowMs: number): number {
  const free = freeSlots(quota);
  if (free === 0) return quota.kind === 'unlearned' ? Infinity : quota.endsAtMs;
  if (urgent || reserve <= 0 || quota.kind === 'unlearned' || quota.kind === 'unpaced') return nowMs;
  const opensAtMs = quota.endsAtMs - WINDOW_MS / 10;
  if (nowMs >= opensAtMs) return nowMs;
  const reserved = Math.max(0, Math.floor(windowSize(quota) * reserve) - quota.own.urgent);
  return free > reserved ? nowMs : opensAtMs;
}

/** The earliest time at which a call with `ahead` others before it can be sent; never too late, so refusals are honest. */
export function earliestAt(quota: Quota, ahead: number, pausedUntilMs: number, nowMs: number): number {
  const start = Math.max(nowMs, pausedUntilMs);
  const size = windowSize(quota);
  if (size === Infinity) return start;
  const free = start >= quota.endsAtMs ? size : freeNowAtBest(quota);
  if (ahead < free) return start;
  const perWindow = quota.kind === 'learned' ? Math.max(1, size - quota.foreignBefore) : size;
  const nextWindow = start >= quota.endsAtMs ? start + WINDOW_MS : quota.endsAtMs;
  return nextWindow + Math.floor((ahead - free) / perWindow) * WINDOW_MS;
}

/** Slots as they would be if everything in flight turned out to be counted already. */
function freeNowAtBest(quota: Quota): number {
  return quota.kind === 'learned' ? Math.max(0, quota.limit - quota.used) : freeSlots(quota);
}

/** Takes a slot. */
export function sent(quota: Quota, urgent: boolean, nowMs: number): { readonly quota: Quota; readonly slot: Slot } {
  const own = {
    ...quota.own,
    sent: quota.own.sent + 1,
    urgent: quota.own.urgent + (urgent ? 1 : 0),
    inFlight: quota.own.inFlight + 1,
  };
  const age = aged(quota.recent, nowMs);
  const recent = { ...age, inFlight: age.inFlight + 1 };
  const counted = { next: quota.next + 1, inFlight: quota.inFlight + 1, own, recent };
  return {
    quota: quota.kind === 'learned' ? { ...quota, ...counted, used: quota.used + 1 } : { ...quota, ...counted },
    slot: { ordinal: quota.next, generation: recent.generation, urgent, sentAtMs: nowMs },
  };
}
