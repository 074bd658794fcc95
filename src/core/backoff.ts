/**
 * How long to stay away when the server did not say: capped exponential backoff with the jitters of the AWS
 * Architecture Blog, "Exponential Backoff And Jitter" (semantics §3). Chance and the previous delay are arguments. The
 * exponent is cut instead of the product, because 0 · 2^1024 is NaN and a retry may well be the thousandth.
 */

import type { Jitter, RetryPolicy } from './policy.ts';

/** 2^52 ms is 140,000 years: any larger exponent meets `maxDelayMs` as well. */
const LARGEST_EXPONENT = 52;

/** Cut by `ceilingMs` but for `decorrelated`, which grows from its own past. All in ms. */
type Draw = (ceilingMs: number, random: number, baseMs: number, previousMs: number) => number;

const DRAWS: Readonly<Record<Jitter, Draw>> = {
  none: (ceilingMs) => ceilingMs,
  full: (ceilingMs, random) => random * ceilingMs,
  equal: (ceilingMs, random) => ((1 + random) * ceilingMs) / 2,
  decorrelated: (_, random, baseMs, previousMs) => baseMs + random * (3 * Math.max(previousMs, baseMs) - baseMs),
};

/**
 * Draws the delay before retry `n` (from 1), in ms: 0 to `maxDelayMs`, never NaN. `random` lies in [0, 1);
 * `previousMs` is the backoff before this one, 0 for none, and matters to `decorrelated` only.
 */
export function backoffMs(policy: RetryPolicy, n: number, random: number, previousMs: number): number {
  const { baseDelayMs, maxDelayMs, jitter } = policy;
  const ceilingMs = Math.min(maxDelayMs, baseDelayMs * 2 ** Math.min(n - 1, LARGEST_EXPONENT));
  return Math.min(maxDelayMs, DRAWS[jitter](ceilingMs, random, baseDelayMs, previousMs));
}
