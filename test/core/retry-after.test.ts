import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseHttpDate } from '../../src/core/http-date.ts';
import { LONGEST_WISH_MS, serverWish } from '../../src/core/retry-after.ts';

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);
const DATE = 'Sun, 22 Nov 2026 12:00:00 GMT';
const throttled = (...headers: string[]) => serverWish(headers, NOW, true);
const transient = (...headers: string[]) => serverWish(headers, NOW, false);
const wait = (waitMs: number, source: string) => ({ waitMs, source });

describe('§3: Retry-After', () => {
  it.each([
    ['0', 0],
    ['5', 5000],
    [' 5 ', 5000],
    ['1.5', 1500],
    ['120', 120_000],
    ['99999999999999999999999', LONGEST_WISH_MS],
  ])('reads the seconds %j', (value, waitMs) => {
    expect(transient('Retry-After', value)).toEqual(wait(waitMs, 'retry_after'));
  });

  it('measures a date against the Date of the answer, not against our clock', () => {
    const later = 'Sun, 22 Nov 2026 12:00:30 GMT';
    expect(serverWish(['Date', DATE, 'Retry-After', later], NOW - 90_000, false)).toEqual(wait(30_000, 'retry_after'));
    expect(serverWish(['Date', DATE, 'Retry-After', later], NOW + 86_400_000, false)).toEqual(
      wait(30_000, 'retry_after'),
    );
    expect(transient('Retry-After', later)).toEqual(wait(30_000, 'retry_after'));
    expect(transient('Date', 'yesterday', 'Retry-After', later)).toEqual(wait(30_000, 'retry_after'));
  });

  it('a date in the past is zero', () => {
    expect(transient('Retry-After', 'Sun, 22 Nov 2026 11:59:00 GMT')).toEqual(wait(0, 'retry_after'));
  });

  it.each(['', '-1', 'soon', '5 apples 1', '1e9', '0x10', '١', '2026-11-22T12:00:30Z', 'NaN', 'Infinity', '5,5'])(
    'takes %j for garbage',
    (value) => {
      expect(transient('Retry-After', value)).toBeNull();
      expect(throttled('Retry-After', value)).toEqual(wait(10_000, 'one_window'));
    },
  );
});

describe('§3: the order of the wishes', () => {
  const all = ['Date', DATE, 'Retry-After', '3', 'RateLimit', '"default";r=0;t=5', 'X-RateLimit-Reset', '7'];

  it('Retry-After, then RateLimit, then X-RateLimit-Reset, then one window', () => {
    expect(throttled(...all)).toEqual(wait(3000, 'retry_after'));
    expect(throttled(...all.slice(0, 2), ...all.slice(4))).toEqual(wait(5000, 'rate_limit'));
    expect(throttled(...all.slice(0, 2), ...all.slice(6))).toEqual(wait(7000, 'rate_limit_reset'));
    expect(throttled()).toEqual(wait(10_000, 'one_window'));
  });

  it('the reset headers say nothing about an answer that was not throttled', () => {
    expect(transient('RateLimit', '"default";r=0;t=5', 'X-RateLimit-Reset', '7')).toBeNull();
  });

  it('garbage gives way to the next', () => {
    expect(throttled('Retry-After', '?', 'RateLimit', '?', 'X-RateLimit-Reset', '7')).toEqual(
      wait(7000, 'rate_limit_reset'),
    );
  });
});

describe('§3: the reset of the window', () => {
  it.each([
    ['7', 7000],
    [String(NOW / 1000 + 7), 7000],
    [String(NOW + 7000), 7000],
    [String(NOW / 1000 - 60), 0],
    ['1000000000', 0],
    ['999999999999', LONGEST_WISH_MS],
  ])('X-RateLimit-Reset %s means %i ms', (value, waitMs) => {
    expect(throttled('Date', DATE, 'X-RateLimit-Reset', value)).toEqual(wait(waitMs, 'rate_limit_reset'));
  });

  it("an epoch is measured against the server's clock", () => {
    const reset = String(NOW / 1000 + 7);
    expect(serverWish(['Date', DATE, 'X-RateLimit-Reset', reset], NOW - 90_000, true)?.waitMs).toBe(7000);
  });

  it.each([
    ['"default";r=0;t=5', 5000],
    ['"burst";r=3;t=1, "day";r=0;t=60', 60_000],
    ['"a;t=9";r=0;t=5', 5000],
    ['default; r=0; t=4', 4000],
    ['limit=100, remaining=0, reset=8', 8000],
    ['"default";t=5', 5000],
  ])('RateLimit: %s means %i ms', (value, waitMs) => {
    expect(throttled('RateLimit', value)).toEqual(wait(waitMs, 'rate_limit'));
  });

  it('a policy that is not used up holds nobody back', () => {
    expect(throttled('RateLimit', '"default";r=5;t=60')).toEqual(wait(10_000, 'one_window'));
  });

  it('reads several RateLimit lines as one list, and the older RateLimit-Reset', () => {
    expect(throttled('RateLimit', '"a";r=0;t=5', 'ratelimit', '"b";r=0;t=9')).toEqual(wait(9000, 'rate_limit'));
    expect(throttled('RateLimit-Reset', '6')).toEqual(wait(6000, 'rate_limit'));
  });
});

it('§3: a wish is never negative, never NaN, never over a day, whatever the headers', () => {
  const name = fc.constantFrom('Date', 'Retry-After', 'RateLimit', 'RateLimit-Reset', 'X-RateLimit-Reset');
  const httpDate = fc
    .date({ min: new Date(0), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true })
    .map((date) => date.toUTCString());
  const value = fc.oneof(
    fc.string(),
    httpDate,
    fc.integer().map(String),
    fc.bigInt().map(String),
    fc.double().map(String),
    fc.tuple(fc.integer(), fc.integer()).map(([r, t]) => `"p";r=${r};t=${t}`),
    fc.stringMatching(/^[-0-9.,;=" a-z]{0,40}$/),
  );
  const sources = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, value), { maxLength: 6 }),
      fc.integer(),
      fc.boolean(),
      (pairs, now, isThrottled) => {
        const wish = serverWish(pairs.flat(), now, isThrottled);
        sources.add(wish?.source ?? 'none');
        if (isThrottled) expect(wish).not.toBeNull();
        if (wish === null) return;
        expect(wish.waitMs).toBeGreaterThanOrEqual(0);
        expect(wish.waitMs).toBeLessThanOrEqual(LONGEST_WISH_MS);
      },
    ),
    { numRuns: 20_000 },
  );
  expect([...sources].sort()).toEqual(['none', 'one_window', 'rate_limit', 'rate_limit_reset', 'retry_after']);
});

it('stays quick on long and hostile values', () => {
  const before = performance.now();
  for (const value of [
    '"'.repeat(60_000),
    ';t='.repeat(20_000),
    ' '.repeat(60_000),
    '9'.repeat(60_000),
    '\\"'.repeat(30_000),
  ]) {
    serverWish(['RateLimit', value, 'Retry-After', value, 'X-RateLimit-Reset', value, 'Date', value], NOW, true);
  }
  expect(performance.now() - before).toBeLessThan(200);
});

describe('HTTP-date, RFC 9110 §5.6.7', () => {
  it.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
    'reads %s',
    (value) => {
      expect(parseHttpDate(value, NOW)).toBe(Date.UTC(1994, 10, 6, 8, 49, 37));
    },
  );

  it('reads back every IMF-fixdate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        expect(parseHttpDate(new Date(seconds * 1000).toUTCString(), NOW)).toBe(seconds * 1000);
      }),
    );
  });

  it('a two-digit year more than 50 years ahead is in the past', () => {
    expect(parseHttpDate('Sunday, 06-Nov-70 08:49:37 GMT', NOW)).toBe(Date.UTC(2070, 10, 6, 8, 49, 37));
    expect(parseHttpDate('Sunday, 06-Nov-80 08:49:37 GMT', NOW)).toBe(Date.UTC(1980, 10, 6, 8, 49, 37));
  });

  it.each([
    'Sun, 31 Feb 2026 08:49:37 GMT',
    'Sun, 00 Nov 2026 08:49:37 GMT',
    'Sun, 06 Foo 2026 08:49:37 GMT',
    'Sun, 06 Nov 2026 24:00:00 GMT',
    'Sun, 06 Nov 2026 08:60:00 GMT',
    'Sun, 06 Nov 2026 08:49:37 +0100',
    '2026-11-22',
    '1',
    '',
  ])('%j is none', (value) => {
    expect(parseHttpDate(value, NOW)).toBeNull();
  });
});
