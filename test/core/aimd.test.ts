/** Invariants: A1 the estimate is a whole number in 1..1e6. A2 a 429 never raises it, a clean window never lowers it. */
import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { decreased, type Estimate, increased } from '../../src/core/aimd.ts';

describe('§4: the estimate without headers', () => {
  test.prop(
    [
      fc.array(fc.record({ down: fc.boolean(), count: fc.integer({ min: 0, max: 2e6 }) }), {
        size: 'max',
        minLength: 1,
        maxLength: 200,
      }),
    ],
    { numRuns: 1000 },
  )('A1 and A2', (list) => {
    let estimate: Estimate | null = null;
    for (const { down, count } of list) {
      const before: Estimate | null = estimate;
      estimate = down || before === null ? decreased(before, count) : increased(before, count);
      expect(Number.isSafeInteger(estimate.limit) && estimate.limit >= 1 && estimate.limit <= 1e6).toBe(true);
      expect(estimate.step).toBeGreaterThanOrEqual(1);
      if (before !== null && down) expect(estimate.limit).toBeLessThanOrEqual(before.limit);
      if (before !== null && !down) expect(estimate.limit).toBeGreaterThanOrEqual(before.limit);
    }
  });

  it('circles a constant limit with at least 80 % of it in use', () => {
    let estimate = decreased(null, 83);
    let used = 0;
    for (let window = 0; window < 100; window++) {
      used += Math.min(estimate.limit, 83);
      estimate = estimate.limit > 83 ? decreased(estimate, 83) : increased(estimate, estimate.limit);
    }
    expect(used / 8300).toBeGreaterThan(0.8);
  });

  it('rises only when it was used up', () => {
    expect(increased({ limit: 50, step: 3 }, 49)).toEqual({ limit: 50, step: 3 });
    expect(increased({ limit: 50, step: 3 }, 50)).toEqual({ limit: 53, step: 3 });
  });
});
