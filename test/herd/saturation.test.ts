import { expect, test } from 'vitest';
import { saturate } from './saturation.ts';

// Windows of ten seconds as Intercom has them, five times as fast: every latency and every late timer weighs five times.
const SPEED = 5;
const WINDOWS = 3;

const CLOCKS = [
  { clock: 'a true clock' },
  { clock: 'a clock 90 s ahead that gains', offsetSeconds: 90, drift: 1e-4 },
  { clock: 'a clock 90 s behind that loses', offsetSeconds: -90, drift: -1e-4 },
];

for (const limit of [83, 333]) {
  test.for(CLOCKS)(`§4: a saturated window of ${limit} is used up without a 429, server with $clock`, async (clock) => {
    const run = await saturate({ limit, windows: WINDOWS, speed: SPEED, ...clock });
    expect(run.failed).toBe(0);
    expect(run.leastUsed, JSON.stringify(run)).toBeGreaterThanOrEqual(0.99);
    expect(run.throttledShare, JSON.stringify(run)).toBeLessThanOrEqual(0.005);
    expect(run.wallMs, JSON.stringify(run)).toBeLessThanOrEqual(1.1 * run.boundMs);
  });

  test(`§4: a window of ${limit} of which others spend 30 % costs at most 2 % of answers 429`, async () => {
    const foreign = Math.round(limit * 0.3);
    const run = await saturate({ limit, foreign, windows: WINDOWS + 1, speed: SPEED });
    expect(run.failed).toBe(0);
    expect(run.used, JSON.stringify(run)).toBeGreaterThanOrEqual(0.99);
    expect(run.throttledShare, JSON.stringify(run)).toBeLessThanOrEqual(0.02);
  });
}
