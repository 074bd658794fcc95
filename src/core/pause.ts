/**
 * The pause that all callers of a token (or of one endpoint) share after a 429. It is only ever extended, and when it
 * ends one probe goes first: had we misread the server's clock, one call would pay for it, not 200. The obvious other
 * choice, every call sleeping by itself, wakes them all at the same instant. Kept apart from the quota machine because
 * it must outlive everything that may be evicted, and the process (`kept-gates.ts`).
 *
 *     open ──extended──▶ paused ──until──▶ probing ──probe answered──▶ open
 *       └───doubted────────────────────────▲  └──probe throttled──▶ paused
 */

/** The pause of a token or an endpoint. Times are monotonic ms. */
export type Pause =
  | { readonly kind: 'open' }
  | { readonly kind: 'paused'; readonly untilMs: number }
  | {
      readonly kind: 'probing';
      /** The first call let through since; the answer of any call from this ordinal on ends the doubt. */
      readonly first: number | null;
      /** The probe under way. */
      readonly out: { readonly ordinal: number; readonly sentAtMs: number } | null;
    };

/** No pause. */
export const OPEN: Pause = { kind: 'open' };
const DOUBT: Pause = { kind: 'probing', first: null, out: null };

/** One window of Intercom's: what a 429 is worth that names no end. */
const ONE_WINDOW_MS = 10_000;
const JITTER_MS = 1000;
/** A server that answers 429 with `Retry-After: 0` for ever is asked once a second, not in a spin. */
const SHORTEST_MS = 1000;
/**
 * The longest window that Intercom ever named is a minute. A reset beyond that is a broken header; believing it would
 * silence a token for hours, while one probe a minute against a true one costs one 429 a minute.
 */
export const LONGEST_WINDOW_MS = 60_000;
/** An explicit `Retry-After` is the server's own word and is kept longer, but a broken one must not outlive a coffee. */
const LONGEST_RETRY_AFTER_MS = 600_000;
/** No pause of ours is longer. */
export const LONGEST_PAUSE_MS = LONGEST_RETRY_AFTER_MS + JITTER_MS;
/** A slow probe does not hold the others: another one goes each second. */
const PROBE_PATIENCE_MS = 1000;

/** Until when a 429 pauses. `resetAtMs` is our monotonic time, null when none was given; `jitter` is in [0, 1). */
export function pauseEnd(
  asked: { readonly retryAfterMs: number | null; readonly resetAtMs: number | null },
  jitter: number,
  nowMs: number,
): number {
  const { retryAfterMs, resetAtMs } = asked;
  const reset =
    resetAtMs !== null && resetAtMs > nowMs ? Math.min(resetAtMs, nowMs + LONGEST_WINDOW_MS) : Number.NEGATIVE_INFINITY;
  if (retryAfterMs !== null && retryAfterMs >= 0) {
    const wish = nowMs + Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS) + jitter * JITTER_MS;
    return Math.max(wish, reset, nowMs + SHORTEST_MS);
  }
  return reset > nowMs ? reset : nowMs + ONE_WINDOW_MS + jitter * JITTER_MS;
}

/** Pauses until then, or longer when it was paused for longer already. */
export function extended(pause: Pause, untilMs: number): Pause {
  if (!Number.isFinite(untilMs)) return pause;
  if (pause.kind === 'paused' && pause.untilMs >= untilMs) return pause;
  return { kind: 'paused', untilMs };
}

/** The next call goes alone: a window that was used up has ended by our clock, and nobody else's word confirms it. */
export function doubted(pause: Pause): Pause {
  return pause.kind === 'open' ? DOUBT : pause;
}

/** Ends a pause whose time has come. */
export function advanced(pause: Pause, nowMs: number): Pause {
  return pause.kind === 'paused' && pause.untilMs <= nowMs ? DOUBT : pause;
}

/** When the next call may pass: `nowMs` or a later time. Ask after `advanced`. */
export function passAt(pause: Pause, nowMs: number): number {
  switch (pause.kind) {
    case 'open':
      return nowMs;
    case 'paused':
      return Math.max(pause.untilMs, nowMs);
    case 'probing':
      return pause.out === null ? nowMs : Math.max(pause.out.sentAtMs + PROBE_PATIENCE_MS, nowMs);
  }
}

/** A call has passed. Ordinals grow with every call of the token. */
export function passed(pause: Pause, ordinal: number, nowMs: number): Pause {
  if (pause.kind !== 'probing') return pause;
  return { kind: 'probing', first: pause.first ?? ordinal, out: { ordinal, sentAtMs: nowMs } };
}

/** A call that passed has ended: `answered` ends the doubt, `nothing` (no answer, 429, never sent) lets the next probe go. */
export function probed(pause: Pause, ordinal: number, result: 'answered' | 'nothing'): Pause {
  if (pause.kind !== 'probing' || pause.first === null || ordinal < pause.first) return pause;
  if (result === 'answered') return OPEN;
  return pause.out?.ordinal === ordinal ? { ...pause, out: null } : pause;
}
