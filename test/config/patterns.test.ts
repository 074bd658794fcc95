import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compilePattern, dangerOf } from '../../src/config/patterns.ts';

describe('refuses what can match in too many ways', () => {
  test.each([
    '(a+)+b',
    '(a*)*!',
    '(?:a+)+!',
    '(?<x>a+){2,}!',
    '((a+)b?)+!',
    '(a|a)*!',
    '(a|ab)*!',
    '(.|b)+!',
    '(\\w|\\d)+!',
    '(a|)+!',
    '(a?a)*!',
    '([a-z]+)*!',
    '(a+){1,30}!',
    '(a*){2}!',
    'a*a*!',
    'a.*b[0-9]+c',
    'x.*y.*z',
    '(a?a?a?){9}!',
    'a.{0,20}b.{0,20}c',
  ])('%s', (source) => {
    expect(dangerOf(source)?.message).toMatch(/too many ways/);
  });

  test.each(['.*x', 'a|.+b', '(?:.*)x', '[^x]+y', '\\S+@'])('an open start: %s', (source) => {
    expect(dangerOf(source)?.message).toMatch(/starts with/);
  });
});

describe('takes what people write', () => {
  test.each([
    'already exists with id=',
    'exists with id=(?<id>\\w+)',
    'limit of \\d+ in \\d+_seconds',
    'pending .*export jobs',
    '^Exceeded rate limit',
    '(foo|bar)+x',
    'https?://',
    'code "[^"]*" of "[^"]*" at',
    '(?:ab){3}',
    '(?:[a-z]{2}){4}',
    'a(b+)c',
    '[(+*]+x',
    '\\(a+\\)+',
    'colou?r',
    '(?i:conflict)',
    '(?:try|retry) (?:again|later)',
    'a.{0,99}b',
    'a[0-9]+b.*c',
    '(x(y+)z)*!',
    '\\p{Lu}x',
  ])('%s', (source) => {
    expect(compilePattern(source)).toMatchObject({ ok: true });
  });
});

test.each([
  ['(a', /Unterminated group/],
  ['a**', /Nothing to repeat/],
  ['\\-', /Invalid escape/],
  ['x'.repeat(501), /501 characters/],
])('says what is wrong with %.10s', (source, message) => {
  expect(compilePattern(source)).toMatchObject({ ok: false, message: expect.stringMatching(message) as unknown });
});

test('whatever it takes takes less than 2 s of processor time on 1,000 characters that nearly fit', () => {
  const atom = fc.constantFrom('a', 'b', '.', '\\w', '[ab]', '(a)', '(?:ab)', '(a|b)', '(?:a|ab)', 'a?');
  const quantified = fc
    .tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}', '{0,9}', '{30}', '{3,}'))
    .map((p) => p.join(''));
  const group = fc
    .tuple(fc.array(quantified, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '*', '+', '{2}', '{9,30}'))
    .map(([items, repeat]) => `(${items.join('')})${repeat}`);
  const pattern = fc
    .array(fc.oneof(quantified, group), { minLength: 1, maxLength: 2 })
    .map((items) => `${items.join('')}!`);
  const texts = ['a', 'ab', 'aab', 'ba'].map((unit) => unit.repeat(1000 / unit.length));
  const seen = { taken: 0, refused: 0, invalid: 0 };
  fc.assert(
    fc.property(pattern, (source) => {
      const compiled = compilePattern(source);
      if (!compiled.ok) {
        seen[compiled.message.includes('backtrack') ? 'refused' : 'invalid'] += 1;
        return;
      }
      seen.taken += 1;
      for (const text of texts) {
        const from = process.cpuUsage();
        compiled.pattern.test(text);
        expect(process.cpuUsage(from).user / 1000, source).toBeLessThan(2000);
      }
    }),
    { numRuns: 1000, endOnFailure: true },
  );
  expect(seen.taken).toBeGreaterThan(100);
  expect(seen.refused).toBeGreaterThan(100);
});
