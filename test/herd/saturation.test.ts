import { expect, test } from 'vitest';
import { saturate } from './saturation.ts';

// Windows of ten seconds as Intercom has them, run faster: every latency and every late timer weighs as many times more.
// Coarse, and tried again, for a machine that does other things as well: the real bounds (99 % of the slots, 0.5 % of
// answers 429) are proven by `npm run proof:herd`.
const LIMITS = [
  { limit: 83, speed: 5, windows: 3 },
  { limit: 333, speed: 2, windows: 2 },
];
const AGAIN = { retry: 2 };

const CLOCKS = [
  { clock: 'a true clock' },
  { clock: 'a clock 90 s ahead that gains', offsetSeconds: 90, drift: 1e-4 },
  { clock: 'a clock 90 s behind that loses', offsetSeconds: -90, drift: -1e-4 },
];

for (const { limit, speed, windows } of LIMITS) {
  const clocks = speed === 5 ? CLOCKS : CLOCKS.slice(0, 1);
  test.for(clocks)(
    `§4: a saturated window of ${limit} is used up without a 429, server with $clock`,
    AGAIN,
    async (clock) => {
      const run = await saturate({ limit, windows, speed, ...clock });
      expect(run.failed).toBe(0);
      expect(run.leastUsed, JSON.stringify(run)).toBeGreaterThanOrEqual(0.95);
      expect(run.throttledShare, JSON.stringify(run)).toBeLessThanOrEqual(0.01);
      expect(run.wallMs, JSON.stringify(run)).toBeLessThanOrEqual(1.25 * run.boundMs);
    },
  );

  test(`§4: a window of ${limit} of which others spend 30 % costs few answers 429`, AGAIN, async () => {
    const foreign = Math.round(limit * 0.3);
    const run = await saturate({ limit, foreign, windows: windows + 1, speed });
    expect(run.failed).toBe(0);
    expect(run.used, JSON.stringify(run)).toBeGreaterThanOrEqual(0.95);
    expect(run.throttledShare, JSON.stringify(run)).toBeLessThanOrEqual(0.03);
  });
}
