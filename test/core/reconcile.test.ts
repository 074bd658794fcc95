import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import type { ProbeRecipe } from '../../src/core/policy.ts';
import {
  answerIdOf,
  beginSearch,
  createdAtMs,
  DIRECT_LOOKS_MS,
  EXTRA_LOOKS_MAX,
  earliestMs,
  idOf,
  isSame,
  judgeSight,
  type LookResult,
  laterLook,
  mayResend,
  nextStep,
  SEARCH_LOOKS_MS,
  textOf,
} from '../../src/core/reconcile.ts';

const RESULTS: readonly LookResult[] = ['landed', 'absent', 'several', 'contested', 'failed'];
const results = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<LookResult>('absent') },
    { weight: 3, arbitrary: fc.constantFrom<LookResult>('contested', 'failed') },
    { weight: 1, arbitrary: fc.constantFrom<LookResult>('landed', 'several') },
  ),
  { minLength: 16, maxLength: 16 },
);
const plans = fc.oneof(
  fc.constantFrom(DIRECT_LOOKS_MS, SEARCH_LOOKS_MS),
  fc
    .uniqueArray(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 6 })
    .map((all) => all.sort((a, b) => a - b)),
);
const ends = new Set<string>();

describe('§7: the plan of a search', () => {
  property.prop([plans, results, fc.integer({ min: 0, max: 120_000 })], { numRuns: 2000 })(
    'ends, looks never early and in order, and says absent only after a look at the horizon that found nothing',
    (looksAtMs, script, elapsedMs) => {
      let search = beginSearch(looksAtMs, elapsedMs);
      let last: LookResult | null = null;
      let nowMs = elapsedMs;
      for (let looks = 0; ; looks += 1) {
        const step = nextStep(search, last, nowMs);
        if (step.kind !== 'look') {
          ends.add(step.kind);
          const horizonMs = looksAtMs.at(-1) ?? 0;
          if (step.kind === 'absent') expect([last, nowMs >= horizonMs]).toEqual(['absent', true]);
          if (step.kind === 'landed') expect(last).toBe('landed');
          if (step.kind === 'undecided') expect(['several', 'contested', 'failed']).toContain(last);
          expect(looks).toBeGreaterThan(0);
          expect(looks).toBeLessThanOrEqual(looksAtMs.length + 1 + EXTRA_LOOKS_MAX);
          return;
        }
        expect(step.atMs).toBeGreaterThanOrEqual(nowMs);
        ({ search } = step);
        nowMs = step.atMs;
        last = script[looks] ?? 'absent';
        expect(RESULTS).toContain(last);
      }
    },
  );

  test('every end was reached', () => {
    expect([...ends].sort()).toEqual(['absent', 'landed', 'undecided']);
  });

  property.prop([fc.nat(4), fc.nat(4), fc.integer({ min: 1, max: 4 })])(
    'a match counts only when there is one for each call at most, and nobody else may have made it',
    (free, onWire, sought) => {
      const expected = free === 0 ? 'absent' : onWire > 0 ? 'contested' : free > sought ? 'several' : 'landed';
      expect(judgeSight({ free, onWire, sought, cut: false })).toBe(expected);
      expect(judgeSight({ free, onWire, sought, cut: true })).toBe(expected === 'absent' ? 'failed' : expected);
    },
  );
});

const answer = (given: unknown) => Buffer.from(JSON.stringify(given));

const recipe = (resendIfAbsent: boolean | number): ProbeRecipe => ({
  kind: 'search',
  request: { method: 'GET', target: [], body: null },
  landed: null,
  as: null,
  more: null,
  full: null,
  holdsFor: null,
  anyAge: false,
  status: 200,
  origin: 'test',
  looksAtMs: SEARCH_LOOKS_MS,
  resendIfAbsent,
});

describe('§7: what is absent', () => {
  test.each([
    [true, 1, 0, true],
    [false, 9, 1e9, false],
    [900_000, 1, 900_000, false],
    [900_000, 2, 899_999, false],
    [900_000, 2, 900_000, true],
  ])('resend_if_absent %s, %i looks, %i ms after it was sent: %s', (given, looks, passedMs, may) => {
    expect(mayResend(recipe(given), looks, 1000, 1000 + passedMs)).toBe(may);
  });

  test('the queue looks again when the time has come, and never for what is never sent again', () => {
    expect(laterLook([recipe(900_000)], 5, 1000, 2000)).toEqual({ dueAtMs: 901_000, maySend: true });
    expect(laterLook([recipe(900_000)], 0, 1000, 2_000_000)).toEqual({ dueAtMs: 2_000_000, maySend: false });
    expect(laterLook([recipe(true), recipe(false)], 5, 1000, 2000)).toBeNull();
    expect(laterLook([], 5, 1000, 2000)).toBeNull();
  });
});

describe('§7: a match', () => {
  test('is older or younger by the upstream’s clock', () => {
    expect(earliestMs(100_000, null)).toBe(95_000);
    expect(earliestMs(100_000, { seconds: 30, errorSeconds: 0.5 })).toBe(128_500);
    expect(createdAtMs({ created_at: 7 })).toBe(7000);
    expect(createdAtMs({ created_at: '7' })).toBe(7000);
    expect(createdAtMs({ created_at: '1970-01-01T00:00:07Z' })).toBe(7000);
    for (const none of [null, [], {}, { created_at: null }, { created_at: 'soon' }])
      expect(createdAtMs(none)).toBeNull();
  });

  test.each([
    ['<p>Q&amp;A &lt; 5</p>', 'Q&A < 5'],
    ['<p>one</p>\n<p>two&nbsp;three</p>', 'one two three'],
    ['a<br/>b &#39;c&#x27;', "a b 'c'"],
    ['1 < 2 and 3 > 2', '1 < 2 and 3 > 2'],
    ['&unknown; &#99999999;', '&unknown; &#99999999;'],
    [null, ''],
  ])('has the text of %j: %j', (html, text) => {
    expect(textOf(html)).toBe(text);
  });

  property.prop([fc.string({ maxLength: 300, unit: 'binary' })])('has a text whatever it holds, in time', (body) => {
    const escaped = body.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    expect(typeof textOf(body)).toBe('string');
    expect(textOf(`<p>${escaped}</p>`)).toBe(body.replaceAll(/\s+/g, ' ').trim());
  });

  test('a body that is made to be slow is not', () => {
    const from = performance.now();
    textOf('<a'.repeat(100_000));
    textOf('&#'.repeat(100_000));
    expect(performance.now() - from).toBeLessThan(2000);
  });

  test.each([
    [7, '7', true],
    ['7', 7, true],
    ['x', undefined, true],
    [undefined, 'x', false],
    [null, 0, false],
    ['<p>a</p>', 'a', true],
    ['1', ['1'], true],
    [['1', '2'], ['2', '1'], false],
    [{ a: 1, b: 2 }, { a: '1' }, true],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: { b: ['x'] } }, { a: { b: 'x' } }, true],
    ['x', { a: 1 }, false],
  ])('%j is what was wanted with %j: %s', (found, wanted, same) => {
    expect(isSame(found, wanted)).toBe(same);
  });

  test('is named by its id; the answer of a create where its row says', () => {
    expect(idOf({ id: 7 })).toBe('7');
    expect(idOf({})).toBeNull();
    expect(answerIdOf(['id'], answer({ id: 'a' }))).toBe('a');
    expect(
      answerIdOf(['parts', 'parts', 'id'], answer({ id: 'a', parts: { parts: [{ id: '1' }, { id: '2' }] } })),
    ).toBe('2');
    expect(answerIdOf(['parts', 'id'], answer({ id: 'a', parts: [] }))).toBeNull();
    expect(answerIdOf(['id'], Buffer.from('{"id":'))).toBeNull();
  });
});
