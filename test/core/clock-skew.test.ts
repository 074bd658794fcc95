/**
 * Invariants of the clock estimate, for honest answers with any delays:
 *
 * C1 the true offset lies within the bounds, and within errorMs of the middle.
 * C2 the bounds only narrow, but for the drift that age allows.
 * C3 a reset is never believed to have come before it has.
 * C4 a server clock that was stepped is followed within two answers.
 */
import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type ClockSkew, localTimeOf, observedSkew, offsetOf } from '../../src/core/clock-skew.ts';

const answers = fc.array(
  fc.record({ waitMs: fc.integer({ min: 0, max: 5000 }), there: fc.integer({ min: 0, max: 800 }), back: fc.nat(800) }),
  { size: 'max', minLength: 1, maxLength: 80 },
);
const offsets = fc.integer({ min: -90_000, max: 90_000 }).map((ms) => 1.7e12 + ms + 0.25);

const dateAt = (localMs: number, offsetMs: number): number => Math.floor((localMs + offsetMs) / 1000) * 1000;

describe('§4: clock skew', () => {
  test.prop([answers, offsets, fc.integer({ min: -400, max: 400 })], { numRuns: 1000 })(
    'C1 to C3',
    (list, offset, ppm) => {
      let skew: ClockSkew | null = null;
      let nowMs = 5000;
      const trueOffset = (): number => offset + (nowMs * ppm) / 1e6;
      for (const { waitMs, there, back } of list) {
        nowMs += waitMs;
        const sentAt = nowMs;
        nowMs += there;
        const date = dateAt(nowMs, trueOffset());
        nowMs += back;
        const before = skew;
        skew = observedSkew(skew, date, sentAt, nowMs) as ClockSkew;
        const { offsetMs, errorMs } = offsetOf(skew, nowMs);
        // The clock went on while the answer travelled: the drift of that time is the estimate's only sin.
        const slack = 1600 * 500e-6;
        expect(Math.abs(offsetMs - trueOffset())).toBeLessThanOrEqual(errorMs + slack);
        expect(localTimeOf(skew, trueOffset() + nowMs + 500, nowMs, 0)).toBeGreaterThanOrEqual(nowMs + 500 - slack);
        if (before !== null) {
          const aged = (nowMs - before.asOfMs) * 500e-6 * 2;
          expect(skew.highMs - skew.lowMs).toBeLessThanOrEqual(before.highMs - before.lowMs + aged + 1e-3);
        }
      }
    },
  );

  it('converges to milliseconds', () => {
    let skew: ClockSkew | null = null;
    for (let i = 0; i < 400; i++) {
      const sentAt = i * 37.3;
      skew = observedSkew(skew, dateAt(sentAt + 5, 1.7e12 - 12_345), sentAt, sentAt + 10);
    }
    const { offsetMs, errorMs } = offsetOf(skew as ClockSkew, 400 * 37.3);
    expect(errorMs).toBeLessThan(30);
    expect(Math.abs(offsetMs - (1.7e12 - 12_345))).toBeLessThan(30);
  });

  it('C4: drops the estimate when the intervals stop meeting', () => {
    let skew = observedSkew(null, 1_000_000, 100, 200);
    skew = observedSkew(skew, 1_090_000, 300, 400);
    expect(skew).toEqual({ lowMs: 1_090_000 - 400, highMs: 1_091_000 - 300, asOfMs: 400 });
  });

  it('is not moved by an answer without a Date, a broken one, or times that run backwards', () => {
    const skew = observedSkew(null, 1_000_000, 100, 200);
    for (const date of [null, Number.NaN, Infinity]) expect(observedSkew(skew, date, 300, 400)).toBe(skew);
    expect(observedSkew(skew, 1_000_000, 400, 300)).toBe(skew);
  });

  it('believes our wall clock as long as it knows nothing', () => {
    expect(localTimeOf(null, 1_000_500, 0, 1_000_000)).toBe(500);
  });
});
