import { test as property } from '@fast-check/vitest';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from '../../src/core/backoff.ts';
import type { Jitter, RetryPolicy } from '../../src/core/policy.ts';

const policy = (overrides: Partial<RetryPolicy> = {}): RetryPolicy => ({
  maxRetries: 5,
  baseDelayMs: 1000,
  maxDelayMs: 30_000,
  jitter: 'full',
  maxWaitMs: 60_000,
  ...overrides,
});

const jitters: Jitter[] = ['full', 'equal', 'decorrelated', 'none'];
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const policies = fc.record({
  maxRetries: fc.constantFrom(0, 5, Infinity),
  baseDelayMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60_000 })),
  maxDelayMs: fc.integer({ min: 1, max: 600_000 }),
  jitter: fc.constantFrom(...jitters),
  maxWaitMs: fc.integer({ min: 0, max: 600_000 }),
});
const retryNumbers = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));

describe('§3: the delay before retry n', () => {
  test('doubles from the base up to the cap without jitter', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7].map((n) => backoffMs(policy({ jitter: 'none' }), n, 0.9, 0));
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  test('is uniform from zero to the cap with full jitter', () => {
    expect(backoffMs(policy(), 3, 0, 0)).toBe(0);
    expect(backoffMs(policy(), 3, 0.5, 0)).toBe(2000);
    expect(backoffMs(policy(), 3, 0.999, 0)).toBeCloseTo(3996);
  });

  test('keeps half of the cap with equal jitter', () => {
    expect(backoffMs(policy({ jitter: 'equal' }), 2, 0, 0)).toBe(1000);
    expect(backoffMs(policy({ jitter: 'equal' }), 2, 0.5, 0)).toBe(1500);
  });

  test('grows from the delay before it with decorrelated jitter, and starts at the base', () => {
    const decorrelated = policy({ jitter: 'decorrelated' });
    expect(backoffMs(decorrelated, 1, 0, 0)).toBe(1000);
    expect(backoffMs(decorrelated, 1, 0.5, 0)).toBe(2000);
    expect(backoffMs(decorrelated, 9, 0.5, 4000)).toBe(6500);
    expect(backoffMs(decorrelated, 9, 0.9, 30_000)).toBe(30_000);
  });

  property.prop([policies, retryNumbers, chance, fc.double({ min: 0, max: 1e9, noNaN: true })], { numRuns: 5000 })(
    'lies between zero and max_delay for any n',
    (p, n, random, previous) => {
      const delay = backoffMs(p, n, random, previous);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(p.maxDelayMs);
    },
  );

  property.prop([policies, retryNumbers, chance, chance], { numRuns: 2000 })(
    'never falls when chance or n rises',
    (p, n, a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      expect(backoffMs(p, n, low, 0)).toBeLessThanOrEqual(backoffMs(p, n, high, 0));
      expect(backoffMs(p, n, low, 0)).toBeLessThanOrEqual(backoffMs(p, n + 1, low, 0));
    },
  );
});
