/**
 * The offset between the server's clock and ours, bounded by intersection. An answer whose `Date` is d (whole seconds,
 * cut off) was stamped between our send and our receipt, hence offset ∈ [d − received, d + 1 s − sent]. Every answer
 * gives such an interval; their intersection narrows to milliseconds within seconds of traffic. The obvious other
 * choice, averaging `Date − now`, stays wrong by half a second plus half a round trip and tells no error bound.
 *
 * Ours is the monotonic clock: a step of our wall clock changes nothing. Old knowledge is widened with age, because two
 * oscillators drift apart; when intervals stop meeting all the same (the server's clock was stepped) the estimate is
 * dropped and begins again with the newest answer.
 */

/** What is known of the offset: server's epoch ms − our monotonic ms, as it was bounded at `asOfMs`. */
export interface ClockSkew {
  readonly lowMs: number;
  readonly highMs: number;
  readonly asOfMs: number;
}

/** ms per ms. NTP slews a clock by at most 500 ppm, and a worse oscillator would be stepped. */
const DRIFT = 500e-6;
const DATE_STEP_MS = 1000;

/** Narrows the estimate by one answer; `dateMs` is its `Date`, null leaves everything as it is. */
export function observedSkew(
  skew: ClockSkew | null,
  dateMs: number | null,
  sentAtMs: number,
  receivedAtMs: number,
): ClockSkew | null {
  if (dateMs === null || !Number.isFinite(dateMs) || !(receivedAtMs >= sentAtMs)) return skew;
  const low = dateMs - receivedAtMs;
  const high = dateMs + DATE_STEP_MS - sentAtMs;
  if (skew !== null) {
    const drift = driftMs(skew, receivedAtMs);
    const lowMs = Math.max(low, skew.lowMs - drift);
    const highMs = Math.min(high, skew.highMs + drift);
    if (lowMs <= highMs) return { lowMs, highMs, asOfMs: Math.max(receivedAtMs, skew.asOfMs) };
  }
  return { lowMs: low, highMs: high, asOfMs: receivedAtMs };
}

/** The best guess of the offset, server − ours, and how far it may be off; both ms. */
export function offsetOf(skew: ClockSkew, nowMs: number): { readonly offsetMs: number; readonly errorMs: number } {
  return {
    offsetMs: (skew.lowMs + skew.highMs) / 2,
    errorMs: (skew.highMs - skew.lowMs) / 2 + driftMs(skew, nowMs),
  };
}

/**
 * The moment of our monotonic clock at which the server's clock has surely reached `serverMs`. Without an estimate our
 * wall clock is believed: `wallOffsetMs` is wall − monotonic.
 */
export function localTimeOf(skew: ClockSkew | null, serverMs: number, nowMs: number, wallOffsetMs: number): number {
  if (skew === null) return serverMs - wallOffsetMs;
  return serverMs - skew.lowMs + driftMs(skew, nowMs);
}

function driftMs(skew: ClockSkew, nowMs: number): number {
  return Math.max(0, nowMs - skew.asOfMs) * DRIFT;
}
