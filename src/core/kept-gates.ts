/**
 * What outlives the process of a pause and of a breaker, and how it is taken up again (semantics §§4, 5). Kept is when it
 * was shut by the wall clock and for how long, and not until when: with an end alone a wall clock that was set back
 * between the two would keep the gate shut for as long as it was off. What comes back from a store is input like any
 * other: whatever no machine of ours could have written opens nothing and shuts nothing, and no wait is longer than the
 * machine itself would have made it.
 */

import { type Breaker, type BreakerPolicy, longestOpenMs } from './breaker.ts';
import { LONGEST_PAUSE_MS } from './pause.ts';
import type { GateState } from './store.ts';

/** One moment on both clocks: `nowMs` monotonic, `wallMs` epoch. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** A pause that has ended still wants a probe first, as long as somebody could remember it. */
const DOUBT_KEPT_MS = 60_000;
/** An open circuit stays open until a probe succeeds, however long nobody calls; beyond a day it says nothing any more. */
const BREAKER_KEPT_MS = 86_400_000;
const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** A pause until `untilMs`, monotonic, as a store keeps it. */
export function keptPause(name: string, untilMs: number, at: Moment): GateState {
  const forMs = Math.ceil(Math.max(0, untilMs - at.nowMs));
  const setAtMs = Math.round(at.wallMs);
  return {
    kind: 'pause',
    name,
    value: JSON.stringify({ setAtMs, forMs }),
    expiresAtMs: setAtMs + forMs + DOUBT_KEPT_MS,
  };
}

/** Until when a kept pause goes on, monotonic; not after now: it has ended, and a probe goes first. Null: no pause of ours. */
export function restoredPause(value: string, at: Moment): number | null {
  const kept = parsed(value);
  return kept === null ? null : shutUntil(kept, LONGEST_PAUSE_MS, at);
}

/**
 * A breaker as a store keeps it; null when its row says as much already. Half-open is an open circuit whose time has
 * come, closed is a row that has expired.
 */
export function keptBreaker(name: string, breaker: Breaker, at: Moment): GateState | null {
  switch (breaker.kind) {
    case 'half_open':
      return null;
    case 'closed':
      return { kind: 'breaker', name, value: '{"kind":"closed"}', expiresAtMs: 0 };
    case 'held_open':
    case 'held_closed':
      return { kind: 'breaker', name, value: JSON.stringify({ kind: breaker.kind }), expiresAtMs: NEVER_MS };
    case 'open': {
      const forMs = Math.ceil(Math.max(0, breaker.untilMs - at.nowMs));
      const setAtMs = Math.round(at.wallMs);
      const value = JSON.stringify({ kind: 'open', setAtMs, forMs, opens: breaker.opens });
      return { kind: 'breaker', name, value, expiresAtMs: setAtMs + forMs + BREAKER_KEPT_MS };
    }
  }
}

/** Takes a kept breaker up again; null when it was closed, or is none of ours. */
export function restoredBreaker(value: string, policy: BreakerPolicy, at: Moment): Breaker | null {
  const kept = parsed(value);
  if (kept === null) return null;
  const { kind } = kept;
  if (kind === 'held_open' || kind === 'held_closed') return { kind, epoch: 0 };
  if (kind !== 'open') return null;
  const opens = Number.isSafeInteger(kept['opens']) ? Math.max(1, kept['opens'] as number) : 1;
  const untilMs = shutUntil(kept, longestOpenMs(policy, opens), at);
  return untilMs === null ? null : { kind: 'open', epoch: 0, opens, untilMs };
}

function shutUntil({ setAtMs, forMs }: Kept, longestMs: number, at: Moment): number | null {
  if (!isTime(setAtMs) || !isTime(forMs)) return null;
  const passedMs = Math.max(0, at.wallMs - setAtMs);
  return at.nowMs + Math.min(forMs, longestMs) - passedMs;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

interface Kept {
  readonly [field: string]: unknown;
}

function parsed(value: string): Kept | null {
  try {
    const kept: unknown = JSON.parse(value);
    return typeof kept === 'object' && kept !== null ? (kept as Kept) : null;
  } catch {
    return null;
  }
}
