/**
 * An estimate of a token's limit while the server names none: additive increase, multiplicative decrease, per window of
 * 10 s. It begins with what the server was seen to accept. Gentler than TCP's halving, since the limit of a workspace
 * is a constant that we circle, not a shared link: a fifth down, a twentieth up, so that one window in about five
 * touches the limit. It never falls below what goes out before the first answer: the pause and its one probe hold back
 * whoever must wait longer, and a single refused call would otherwise leave one call per window. NaN cannot arise.
 */

/** Calls per window, and by how much a window that used it up raises it. */
export interface Estimate {
  readonly limit: number;
  readonly step: number;
}

const DECREASE = 0.8;
const STEP = 0.05;
/** Semantics §4: before the first answer 10 in flight. */
const LOWEST = 10;
const HIGHEST = 1_000_000;

/** The first estimate, and each later decrease: the window had accepted `accepted` calls when a 429 came. */
export function decreased(estimate: Estimate | null, accepted: number): Estimate {
  const seen = estimate === null ? accepted : Math.min(estimate.limit, accepted);
  const limit = Math.min(Math.max(LOWEST, Math.floor(seen * DECREASE)), HIGHEST);
  return { limit, step: Math.max(1, Math.ceil(limit * STEP)) };
}

/** A window has ended without a 429; only one that was used up proves anything. */
export function increased(estimate: Estimate, used: number): Estimate {
  if (used < estimate.limit || estimate.limit >= HIGHEST) return estimate;
  return { limit: Math.min(estimate.limit + estimate.step, HIGHEST), step: estimate.step };
}
