import { describe, expect, it } from 'vitest';
import {
  earliestAt,
  foreignSpend,
  freeSlots,
  newQuota,
  type Quota,
  rolled,
  type Slot,
  sent,
  slotAt,
  usedUp,
} from '../../src/core/quota.ts';
import { type LocalRateLimit, settled } from '../../src/core/quota-answers.ts';
import { rateLimitOf } from '../../src/core/rate-limit.ts';

/** The reset at 11 s of our clock, as the server names it. */
const RESET = 1_700_000_000_000;
const rate = (remaining: number, windows = 0, limit = 83): LocalRateLimit => ({
  limit,
  remaining,
  resetMs: RESET + windows * 10_000,
  resetAtMs: 11_000 + windows * 10_000,
});

function take(quota: Quota, count: number, nowMs: number, urgent = false): { quota: Quota; slots: Slot[] } {
  const slots: Slot[] = [];
  let current = quota;
  for (let i = 0; i < count; i++) {
    const taken = sent(current, urgent, nowMs);
    current = taken.quota;
    slots.push(taken.slot);
  }
  return { quota: current, slots };
}

/** A token whose first call showed the window that ends at 11 s. */
function learned(remaining = 82, limit = 83): Quota {
  const { quota, slots } = take(newQuota(1000), 1, 1000);
  return settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(remaining, 0, limit) }, 1100).quota;
}

const throttle = (retryAfterMs: number | null, given: LocalRateLimit | null): number | null => {
  const { quota, slots } = take(learned(), 1, 1200);
  return settled(quota, slots[0] as Slot, { kind: 'throttled', rate: given, retryAfterMs, jitter: 0.5 }, 1300)
    .pauseUntilMs;
};

const read = (limit: string, remaining: string, reset: string) =>
  rateLimitOf(['X-RateLimit-Limit', limit, 'X-RateLimit-Remaining', remaining, 'X-RateLimit-Reset', reset], 5000);

describe('§4: before the first answer', () => {
  it('lets ten calls out and holds the eleventh until one is answered', () => {
    const { quota, slots } = take(newQuota(0), 10, 0);
    expect(slotAt(quota, false, 0, 0)).toBe(Infinity);
    const opened = settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(73) }, 100).quota;
    expect(freeSlots(opened)).toBe(73);
  });

  it('does not hang when its calls are lost: a lost call frees its place', () => {
    const { quota, slots } = take(newQuota(0), 10, 0);
    expect(slotAt(settled(quota, slots[3] as Slot, { kind: 'lost' }, 50).quota, false, 0, 50)).toBe(50);
  });

  it('paces nothing after an answer without headers, until a 429', () => {
    const { quota, slots } = take(newQuota(0), 2, 0);
    const unpaced = settled(quota, slots[0] as Slot, { kind: 'answered', rate: null }, 100).quota;
    expect(freeSlots(unpaced)).toBe(Infinity);
    const refused = settled(
      unpaced,
      slots[1] as Slot,
      { kind: 'throttled', rate: null, retryAfterMs: null, jitter: 0 },
      100,
    );
    expect(refused.quota.kind).toBe('estimated');
    expect(refused.pauseUntilMs).toBe(10_100);
  });
});

describe('§4: own sends are counted, others are derived', () => {
  it('never subtracts calls in flight from a report that counted them', () => {
    const { quota, slots } = take(learned(), 10, 1200);
    const answered = settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(72) }, 1300).quota;
    expect(freeSlots(answered)).toBe(72);
    expect(foreignSpend(answered)).toBe(0);
  });

  it('counts what others spent, and holds calls in flight back once the window is shared', () => {
    const { quota, slots } = take(learned(), 10, 1200);
    const answered = settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(47) }, 1300).quota;
    expect(foreignSpend(answered)).toBe(25);
    expect(freeSlots(answered)).toBe(47 - 9);
  });

  it('takes a refused call for a sign of others, who spent what it did not', () => {
    const { quota, slots } = take(learned(), 82, 1200);
    const result = { kind: 'throttled', rate: rate(0), retryAfterMs: null, jitter: 0 } as const;
    const refused = settled(quota, slots[81] as Slot, result, 1300).quota;
    expect(foreignSpend(refused)).toBe(1);
    expect(rolled(refused, 11_000)).toMatchObject({ foreignBefore: 1 });
  });

  it('gives a slot back that was never sent', () => {
    const { quota, slots } = take(learned(), 1, 1200);
    expect(freeSlots(settled(quota, slots[0] as Slot, { kind: 'unsent' }, 1250).quota)).toBe(82);
  });

  it('waits 0 ms while the window has slots, and until its end when it has none', () => {
    expect(slotAt(learned(1), false, 0, 1200)).toBe(1200);
    const full = take(learned(), 82, 1200).quota;
    expect(usedUp(full)).toBe(true);
    expect(slotAt(full, false, 0, 1200)).toBe(11_000);
    expect(slotAt(rolled(full, 11_000), false, 0, 11_000)).toBe(11_000);
  });
});

describe('§4: a window is its reset value', () => {
  it('ignores what answers of an older window say, and takes their calls out of the count', () => {
    const { quota, slots } = take(rolled(learned(), 11_000), 2, 11_010);
    const next = settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(82, 1) }, 11_050).quota;
    const late = settled(next, slots[1] as Slot, { kind: 'answered', rate: { ...rate(0), resetAtMs: 11_020 } }, 11_060);
    expect(late.pauseUntilMs).toBeNull();
    expect(freeSlots(late.quota)).toBe(82);
  });

  it('takes a call in that was sent before the window by our clock and counted in it', () => {
    const { quota, slots } = take(learned(), 2, 10_990);
    const turned = settled(rolled(quota, 11_000), slots[0] as Slot, { kind: 'answered', rate: rate(81, 1) }, 11_050);
    const both = settled(turned.quota, slots[1] as Slot, { kind: 'answered', rate: rate(81, 1) }, 11_060).quota;
    expect(freeSlots(both)).toBe(81);
    expect(foreignSpend(both)).toBe(0);
  });

  it('holds calls of the last second or two against a new window until their answers tell, older ones not', () => {
    const old = take(learned(), 1, 1200);
    const before = take(old.quota, 1, 9500);
    const { quota } = take(before.quota, 1, 10_600);
    const turned = rolled(quota, 11_000);
    expect(freeSlots(turned)).toBe(81);
    const told = settled(
      turned,
      before.slots[0] as Slot,
      { kind: 'answered', rate: { ...rate(70), resetAtMs: 11_050 } },
      11_040,
    );
    expect(freeSlots(told.quota)).toBe(82);
  });

  it('begins a window that the server began before our clock did', () => {
    const { quota, slots } = take(learned(40), 1, 10_500);
    const next = settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(82, 1) }, 10_600).quota;
    expect(freeSlots(next)).toBe(82);
    expect(next.endsAtMs).toBe(21_000);
  });

  it('learns once that a reset was cut to whole seconds, from a 429 of the window that seemed over', () => {
    const { quota, slots } = take(rolled(take(learned(), 82, 1200).quota, 11_000), 1, 11_000);
    const refused = settled(
      quota,
      slots[0] as Slot,
      { kind: 'throttled', rate: rate(0), retryAfterMs: null, jitter: 0.9 },
      11_080,
    );
    expect(refused.pauseUntilMs).toBe(12_000);
    expect(refused.quota).toMatchObject({ lagMs: 1000, endsAtMs: 12_000 });
  });
});

describe('§4: what pauses the token', () => {
  it('a 429: until the reset, or for 10 s plus jitter when it named none', () => {
    expect(throttle(null, rate(0))).toBe(11_000);
    expect(throttle(null, null)).toBe(11_800);
  });

  it('a Retry-After longer than the window, plus jitter', () => {
    expect(throttle(30_000, rate(0))).toBe(31_800);
    expect(throttle(2000, rate(0))).toBe(11_000);
  });

  it('an answer with nothing remaining and a reset ahead', () => {
    const { quota, slots } = take(learned(), 1, 1200);
    expect(settled(quota, slots[0] as Slot, { kind: 'answered', rate: rate(0) }, 1300).pauseUntilMs).toBe(11_000);
  });

  it('no reset beyond a minute, in the past, or by a broken clock', () => {
    for (const resetAtMs of [100_000, 1e15, Infinity, Number.NaN, -1e15, 0]) {
      const until = throttle(null, { ...rate(0), resetMs: RESET + 1e9, resetAtMs });
      expect(until).toBe(11_800);
    }
  });
});

describe('§4: reserve', () => {
  const reserved = take(learned(10, 20), 0, 1200).quota;

  it('keeps its share for urgent calls, and what they used of it frees the rest', () => {
    expect(slotAt(reserved, false, 0.5, 1200)).toBe(10_000);
    expect(slotAt(reserved, true, 0.5, 1200)).toBe(1200);
    expect(slotAt(take(reserved, 5, 1200, true).quota, false, 0.5, 1200)).toBe(10_000);
    expect(slotAt(reserved, false, 0.4, 1200)).toBe(1200);
  });

  it('is given to everyone in the last tenth of the window', () => {
    expect(slotAt(reserved, false, 0.5, 10_000)).toBe(10_000);
  });
});

describe('§4: honest refusals', () => {
  it('tells the earliest time for a place in the line, window by window', () => {
    const quota = take(learned(), 80, 1200).quota;
    expect(earliestAt(quota, 1, 0, 1200)).toBe(1200);
    expect(earliestAt(quota, 2, 0, 1200)).toBe(11_000);
    expect(earliestAt(quota, 2 + 83, 0, 1200)).toBe(21_000);
    expect(earliestAt(quota, 0, 15_000, 1200)).toBe(15_000);
    expect(earliestAt(quota, 83, 15_000, 1200)).toBe(25_000);
  });
});

describe('rate limit headers', () => {
  it('tells epoch seconds, milliseconds and deltas apart', () => {
    expect(read('83', '5', '1700000000')?.resetMs).toBe(1_700_000_000_000);
    expect(read('83', '5', '1700000000123')?.resetMs).toBe(1_700_000_000_123);
    expect(read('83', '5', '7')?.resetMs).toBe(12_000);
  });

  it('takes all three or nothing, and nothing that is no number', () => {
    for (const bad of ['', 'soon', 'NaN', '-5', '1e9', '0x10', '99999999999999999999', '5 5']) {
      expect(read('83', '5', bad)).toBeNull();
    }
    expect(read('0', '0', '1700000000')).toBeNull();
    expect(rateLimitOf(['X-RateLimit-Limit', '83', 'X-RateLimit-Remaining', '5'], 0)).toBeNull();
  });

  it('bounds a contradictory remaining by 0 and the limit', () => {
    expect(read('83', '-4', '1700000000')?.remaining).toBe(0);
    expect(read('83', '900', '1700000000')?.remaining).toBe(83);
  });
});
