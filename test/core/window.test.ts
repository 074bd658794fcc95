/** Invariant: W1 the window is exactly the last `last` outcomes younger than `windowMs`, as a full history has them. */
import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { expired, failuresIn, type OutcomeWindow, recorded } from '../../src/core/window.ts';

const bounds = { last: 5, windowMs: 1000 };

describe('§5: the sliding window', () => {
  test.prop(
    [
      fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 700 }), failed: fc.boolean() }), {
        size: 'max',
        maxLength: 100,
      }),
    ],
    { numRuns: 1000 },
  )('W1', (list) => {
    let nowMs = 0;
    let window: OutcomeWindow = [];
    const history: { atMs: number; failed: boolean }[] = [];
    for (const { waitMs, failed } of list) {
      nowMs += waitMs;
      window = recorded(window, failed, bounds, nowMs);
      history.push({ atMs: nowMs, failed });
      const expectedNow = history.slice(-bounds.last).filter((stamp) => nowMs - stamp.atMs < bounds.windowMs);
      expect(window).toEqual(expectedNow);
      expect(failuresIn(window)).toBe(expectedNow.filter((stamp) => stamp.failed).length);
    }
    expect(expired(window, bounds, nowMs + 1000)).toEqual([]);
  });

  it('drops an outcome at the very age of the window, and obeys smaller bounds after a reload', () => {
    const window = recorded(recorded([], true, bounds, 0), true, bounds, 500);
    expect(expired(window, bounds, 999)).toHaveLength(2);
    expect(expired(window, bounds, 1000)).toHaveLength(1);
    expect(expired(window, { last: 1, windowMs: 1000 }, 500)).toHaveLength(1);
  });
});
