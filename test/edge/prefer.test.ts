import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { handOverWish, parsePrefer } from '../../src/edge/prefer.ts';

describe('Prefer (RFC 7240)', () => {
  it.each([
    ['respond-async', true, null],
    ['respond-async, wait=10', true, 10_000],
    ['Respond-Async;foo, WAIT = 10', true, 10_000],
    ['wait=10, respond-async', true, 10_000],
    ['wait="5"', false, 5000],
    ['respond-async=""', true, null],
    ['respond-async=yes', false, null],
    ['wait=5, wait=9', false, 5000],
    ['wait=-1, respond-async', true, null],
    ['wait=soon', false, null],
    ['wait=999999999', false, 600_000],
    ['foo="respond-async, wait=3", lenient', false, null],
    ['foo="a\\", respond-async', false, null],
    ['', false, null],
    [', ,;=', false, null],
    [' respond-async ; a=1 , \twait =\t"7" ', true, 7000],
  ])('%s', (value, respondAsync, waitMs) => {
    expect(parsePrefer(value)).toEqual({ respondAsync, waitMs });
  });

  it('is a wish only with respond-async', () => {
    expect(handOverWish(parsePrefer('wait=10'))).toBeNull();
    expect(handOverWish(parsePrefer('wait=10, respond-async'))).toEqual({ waitMs: 10_000 });
  });

  it('takes time linear in its length: whoever knows no credential can send one', () => {
    const space = ' '.repeat(16_000);
    const startedAtMs = performance.now();
    for (const value of [`a${space}(`, `a=${space}(`, `a${space}=${space}(`, `${space}(`]) parsePrefer(value);
    // Backtracking took more than a second.
    expect(performance.now() - startedAtMs).toBeLessThan(200);
  });

  test.prop([fc.string({ size: 'large' })])('is never an error, whatever it holds', (value) => {
    const { waitMs } = parsePrefer(value);
    expect(waitMs === null || (waitMs >= 0 && waitMs <= 600_000)).toBe(true);
  });
});
