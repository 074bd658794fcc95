import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkCondition, createCondition, createExpression } from '../../src/config/conditions.ts';

const GUARDED = '$boolean(external_id) or ($boolean(email) and $not(role = "lead"))';

describe('a condition over the body', () => {
  test.each([
    [GUARDED, { email: 'a@b.c' }, true],
    [GUARDED, { email: 'a@b.c', role: 'lead' }, false],
    [GUARDED, { external_id: '7', role: 'lead' }, true],
    [GUARDED, { external_id: '' }, false],
    [GUARDED, {}, false],
    ['company_id', { company_id: 'x' }, true],
    ['company_id', { company_id: '' }, false],
    ['company_id', {}, false],
    ['a.b', { a: [{ b: false }, { b: true }] }, true],
    ['a.b', { a: [{ b: false }] }, false],
    ['$count($) > 1', [1, 2], true],
    ['a = 1', 'text', false],
  ])('%s of %j: %j', async (source, body, holds) => {
    expect(await checkCondition(source)).toBeNull();
    expect(await createCondition(source).holds(body)).toBe(holds);
  });

  const field = fc.constantFrom('company_id', 'true', 'and', 'constructor', 'a_1', 'toString');
  const content = fc.oneof(
    fc.constantFrom(
      undefined,
      null,
      '',
      '0',
      ' ',
      'false',
      0,
      -0,
      Number.NaN,
      1,
      true,
      false,
      [],
      [0],
      [false, 1],
      {},
      { a: 0 },
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const document = fc.oneof(
    { weight: 5, arbitrary: fc.dictionary(field, content) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
    { weight: 1, arbitrary: fc.array(fc.dictionary(field, content), { maxLength: 3 }) },
  );

  test('one that asks for a field alone says what JSONata says', async () => {
    await fc.assert(
      fc.asyncProperty(field, fc.boolean(), document, async (name, called, asked) => {
        // Parentheses: the same expression, by the long way.
        const source = called ? `$boolean(${name})` : name;
        const byJsonata = createCondition(`(${source})`);
        expect(await createCondition(source).holds(asked)).toBe(await byJsonata.holds(asked));
      }),
      { numRuns: 1000 },
    );
  });

  test('many at once are each in time', async () => {
    const { result } = createExpression('$sum($map([1..400], function($n) { $n * 2 }))');
    await result(null);
    const all = await Promise.all(Array.from({ length: 100 }, () => result(null)));
    expect(all.filter((one) => one?.value !== 160_400)).toEqual([]);
  });

  test('no body is false, and so is an error while it is evaluated', async () => {
    expect(await createCondition('true').holds(null)).toBe(false);
    expect(await createCondition('$number(a) > 1').holds({ a: 'x' })).toBe(false);
    expect(await createCondition('$error("no")').holds({})).toBe(false);
  });

  test('is bounded in time, depth and length', async () => {
    const from = performance.now();
    expect(await createCondition('($f := function($n) { $f($n + 1) }; $f(0))').holds({})).toBe(false);
    expect(await createCondition('($f := function($n) { 1 + $f($n + 1) }; $f(0))').holds({})).toBe(false);
    expect(await createCondition('$count([1..1000000]) > 0').holds({})).toBe(false);
    expect(performance.now() - from).toBeLessThan(2000);
  });

  test('never throws, whatever the body is', async () => {
    const condition = createCondition(GUARDED);
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (body) => {
        expect(typeof (await condition.holds(body))).toBe('boolean');
      }),
      { numRuns: 1000 },
    );
  });

  test('does not change the body', async () => {
    const body = Object.freeze({ email: 'a', tags: Object.freeze(['x']) });
    expect(await createCondition(GUARDED).holds(body)).toBe(true);
  });
});

test.each([
  ['$now()', /\$now/],
  ['a > $millis()', /\$millis/],
  ['$random() > 0.5', /\$random/],
  ['$shuffle(a)[0]', /\$shuffle/],
  ['$eval(a)', /\$eval/],
  ['($f := $eval; $f(a))', /\$eval/],
  ['a[b = $now()].c ~> $boolean', /\$now/],
  ['$match(a, /(x+)+y/)', /backtrack/],
  ['a and', /not valid JSONata: .*\(at character \d+\)/],
  ['', /not valid JSONata/],
])('%s is refused at load', async (source, message) => {
  expect(await checkCondition(source)).toMatch(message);
});
