import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CauseFacts, causeFacts, causeGroup } from '../../src/core/cause-group.ts';
import { record, refused } from '../support/attempt-records.ts';
import { answered } from '../support/exchanges.ts';

function facts(message: string | null, overrides: Partial<CauseFacts> = {}): CauseFacts {
  return { endpoint: 'POST /contacts', status: 422, failure: null, code: 'field_required', message, ...overrides };
}

const group = (message: string | null, overrides: Partial<CauseFacts> = {}) => causeGroup(facts(message, overrides));

describe('§9: the label says what a person would', () => {
  test.each<[string, string]>([
    ['company_name is required', 'company_name is required'],
    ["Field 'company_name' can't be blank", "Field company_name can't be blank"],
    [
      'A contact matching those details already exists with id=5da6f6e1a2',
      'A contact matching those details already exists with id=…',
    ],
    ['Email john@acme.io is invalid', 'Email … is invalid'],
    ['Company "Acme & Sons" not found (id: 42)', 'Company … not found id …'],
    ['Exceeded rate limit of 83 in 10_seconds', 'Exceeded rate limit of … in …'],
    ['Retry at 2026-11-22T10:00:00Z', 'Retry at …'],
    ['Retry after Sun, 22 Nov 2026 10:00:00 GMT', 'Retry after … GMT'],
    ['see https://x.example/a?b=c for more', 'see … for more'],
    ['token deadbeefcafe was revoked', 'token … was revoked'],
    ['custom_attributes.plan_tier is of a wrong type', 'custom_attributes.plan_tier is of a wrong type'],
    ['tags 1, 2, 3 unknown', 'tags … unknown'],
  ])('%s', (message, words) => {
    expect(group(message).label).toBe(`POST /contacts 422 field_required: ${words}`);
  });

  test('names of fields tell causes apart, values do not', () => {
    expect(group("attribute 'plan' is unknown").id).not.toBe(group("attribute 'tier' is unknown").id);
    expect(group("company 'acme' is unknown").id).toBe(group("company 'globex' is unknown").id);
  });

  test('ten rows of field_required: company_name are one group', () => {
    const ids = Array.from(
      { length: 10 },
      (_, i) => group(`company_name is required (request 5f${i}e-${i * 7919})`).id,
    );
    expect(new Set(ids).size).toBe(1);
  });

  test('endpoint, status, failure and code each make another group', () => {
    const all = [
      group('x'),
      group('x', { endpoint: 'POST /companies' }),
      group('x', { status: 400 }),
      group('x', { code: 'parameter_invalid' }),
      group('x', { status: null, failure: 'timeout' }),
      group('y'),
    ];
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  test('a code that is only the status or the failure is not said twice', () => {
    expect(group(null, { status: 503, code: 'status_503' }).label).toBe('POST /contacts 503');
    expect(group(null, { status: null, failure: 'timeout', code: 'timeout' }).label).toBe('POST /contacts timeout');
  });
});

describe('§9: what a cause is made of', () => {
  test('the last attempt, with the code and the words of its error', () => {
    const attempts = [
      record(),
      record({ n: 2, status: 422, reason: 'input_refused', code: 'field_required', excerpt: 'x is required' }),
    ];
    expect(causeFacts('POST /contacts', attempts, answered(422))).toEqual(facts('x is required'));
  });

  test('a broken attempt is its failure and not the status that it began with', () => {
    const attempts = [record({ status: 200, failure: 'truncated', reason: 'truncated' })];
    expect(causeFacts('e', attempts, answered(200))).toMatchObject({ status: null, failure: 'truncated' });
  });

  test('a call that was never sent is the reason of its refusal', () => {
    expect(causeGroup(causeFacts('POST /contacts', [], refused('breaker'))).label).toBe(
      'POST /contacts refused breaker_open',
    );
  });
});

const digits = fc.integer({ min: 0 }).map(String);
const value = fc.oneof(
  digits,
  fc.uuid(),
  fc.stringMatching(/^[a-z][a-z0-9.+-]{0,10}@[a-z]{2,8}\.(?:com|io)$/),
  fc.webUrl().filter((url) => !/["'`]/.test(url)),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.stringMatching(/^[0-9a-f]{24}$/),
  fc.stringMatching(/^[^"\p{C}]{1,60}$/u).map((text) => `"${text}"`),
);
const word = fc.constantFrom('contact', 'with', 'company_name', 'is', 'not', 'found', 'the', "can't", 'exists');

describe('§9: properties of the grouping', () => {
  test('two messages that differ only in values are one group', () => {
    const parts = fc.array(
      fc.oneof(
        word.map((text) => ({ text, twin: text })),
        fc.tuple(value, value).map(([text, twin]) => ({ text, twin })),
      ),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    fc.assert(
      fc.property(parts, (given) => {
        // A quoted name of a field is kept: no value.
        fc.pre(given.every(({ text, twin }) => !/^"[a-z_.0-9]+"$/i.test(text) && !/^"[a-z_.0-9]+"$/i.test(twin)));
        const one = group(given.map(({ text }) => text).join(' '));
        expect(group(given.map(({ twin }) => twin).join(' '))).toEqual(one);
      }),
      { numRuns: 1000 },
    );
  });

  test('it never throws, is stable, and its label is short and printable', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 5000, size: 'max' }),
        fc.string({ unit: 'binary' }),
        (message, code) => {
          const { id, label } = group(message, { code });
          expect(group(message, { code }).id).toBe(id);
          expect(id).toMatch(/^[0-9a-f]{12}$/);
          expect(label.length).toBeLessThanOrEqual(300);
          expect(label).not.toMatch(/\p{Cc}/u);
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each(['"', "'", 'a"', "' ", 'a_', 'a.', '=', '<', 'id=', '0', 'a', 'é', '“', '…', '\u{1F600}'])(
    'takes linear time on two megabytes of %s',
    (piece) => {
      const hostile = piece.repeat(2_000_000 / piece.length);
      const from = performance.now();
      for (let i = 0; i < 20; i += 1) group(hostile, { code: hostile });
      expect(performance.now() - from).toBeLessThan(3000);
    },
  );
});
