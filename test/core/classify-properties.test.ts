import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type AttemptFacts, classify } from '../../src/core/classify.ts';
import { type BodyCondition, readErrorBody } from '../../src/core/error-body.ts';
import type { FailureKind, Sent } from '../../src/core/outcome.ts';
import type { ErrorRule } from '../../src/core/policy.ts';
import { LONGEST_WISH_MS } from '../../src/core/retry-after.ts';
import type { Effect, OperationClass, Pauses, VerdictClass } from '../../src/core/verdict.ts';
import { policy } from '../support/exchanges.ts';

const RUNS = { numRuns: 20_000 };
const CLASSES: readonly VerdictClass[] = ['ok', 'throttled', 'transient', 'permanent', 'unauthorized'];
const KINDS: readonly FailureKind[] = ['connect', 'dns', 'tls', 'timeout', 'reset', 'truncated', 'broken'];
const CODES = ['not_found', 'parameter_invalid', 'service_unavailable', 'rate_limit_exceeded', 'new_code'];

const status = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(200, 201, 204, 302, 400, 401, 404, 408, 409, 422, 425, 429, 500, 502, 503, 504),
  },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 599 }) },
  { weight: 1, arbitrary: fc.integer({ min: 600, max: 999 }) },
);

/** Mostly null, so that conditions are loose enough to hold. */
function seldom<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
}

const rule: fc.Arbitrary<ErrorRule> = fc
  .record({
    statuses: seldom(fc.uniqueArray(status, { maxLength: 4, minLength: 1 })),
    codes: seldom(fc.subarray(CODES, { minLength: 1 })),
    message: seldom(fc.constantFrom(/lag/, /exists/)),
    body: seldom(fc.constantFrom(/code/, /html/i)),
    failures: seldom(fc.subarray([...KINDS], { minLength: 1 })),
    afterUnknown: fc.boolean(),
    verdict: fc.constantFrom(...CLASSES),
    reason: fc.constantFrom('rule_a', 'rule_b'),
    retryAfterMs: fc.option(fc.integer({ min: 0, max: 60_000 })),
    pauses: fc.option(fc.constantFrom<Pauses>('nothing', 'endpoint', 'token')),
    deadLetter: fc.option(fc.constant('never' as const)),
  })
  .map(({ statuses, codes, message, body, failures, afterUnknown, ...rest }) => ({
    ...rest,
    origin: 'test:1',
    when: {
      matchesStatus: statuses && ((candidate: number) => statuses.includes(candidate)),
      codes: codes && new Set(codes),
      message,
      body,
      failures: failures && new Set(failures),
      afterUnknown,
    },
  }));

const errorBytes = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.json({ maxDepth: 6 }).map((text) => Buffer.from(text)),
  fc
    .array(
      fc.record({ code: fc.constantFrom(...CODES), message: fc.constantFrom('lag', 'exists', 'Invalid field value') }),
    )
    .map((errors) => Buffer.from(JSON.stringify({ type: 'error.list', errors }))),
  fc.constantFrom('', '<html>502</html>', '{"errors":[{"code":"not_f').map((text) => Buffer.from(text)),
);

const header = fc.oneof(
  fc.constantFrom(
    '5',
    '0',
    '-1',
    'soon',
    '99999999999999999999',
    '1763812800',
    '1763812800000',
    'Sun, 22 Nov 2026 12:00:00 GMT',
  ),
  fc.string({ maxLength: 30 }),
);
const headers = fc
  .array(
    fc.tuple(fc.constantFrom('Retry-After', 'X-RateLimit-Reset', 'RateLimit', 'RateLimit-Reset', 'Date'), header),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.flat());

const answer = fc.record({
  status,
  headers,
  body: fc.constantFrom<BodyCondition>('whole', 'cut', 'not_json', 'empty', 'unchecked'),
  error: fc.option(errorBytes.map((bytes) => readErrorBody(bytes))),
});
const failure = fc.record({ kind: fc.constantFrom(...KINDS), sent: fc.constantFrom<Sent>('no', 'maybe', 'yes') });
const end = fc.oneof(
  { weight: 4, arbitrary: answer.map((a) => ({ answer: a, failure: null })) },
  { weight: 2, arbitrary: failure.map((f) => ({ answer: null, failure: f })) },
  {
    weight: 1,
    arbitrary: fc.tuple(answer, failure).map(([a, f]) => ({ answer: a, failure: { ...f, sent: 'yes' as const } })),
  },
);

const attempt: fc.Arbitrary<AttemptFacts> = fc
  .record({
    end,
    errors: fc.array(rule, { maxLength: 4 }),
    operationClass: fc.constantFrom<OperationClass>('read', 'idempotent', 'create'),
    bodyRepeatable: fc.boolean(),
    afterUnknown: fc.boolean(),
    receivedAtMs: fc.integer({ min: 0, max: 4e12 }),
  })
  .map(({ end: ended, errors, ...rest }) => ({ ...rest, ...ended, policy: policy({ errors }) }));

const FIXED_REASONS = new Set<string>([
  ...KINDS,
  'ok',
  'input_refused',
  'broken_cut',
  'broken_not_json',
  'broken_empty',
  'status_other',
  'rule_a',
  'rule_b',
  ...Array.from({ length: 500 }, (_, i) => `status_${100 + i}`),
]);

it('§§1-3: every attempt gets a verdict that keeps the invariants, and every class and effect is reached', () => {
  const classes = new Set<string>();
  fc.assert(
    fc.property(attempt, (facts) => {
      const found = classify(facts);
      const { verdict, rule: by } = found;
      const seen = facts.answer?.status ?? 0;
      classes.add(`${facts.operationClass} ${verdict.class} ${verdict.effect} ${verdict.repeatable}`);
      // No create with an open effect, and no body that is gone, is ever called repeatable.
      if (facts.operationClass === 'create' && verdict.effect !== 'none') expect(verdict.repeatable).toBe(false);
      if (!facts.bodyRepeatable && verdict.class !== 'ok') expect(verdict.repeatable).toBe(false);
      // Only a rule turns an error or a failure into a success.
      if (verdict.class === 'ok' && (seen >= 400 || facts.failure !== null)) expect(by?.verdict).toBe('ok');
      if (by === null && seen >= 400) expect(verdict.class).not.toBe('ok');
      // An after_unknown rule needs an earlier attempt.
      if (by?.when.afterUnknown) expect(facts.afterUnknown).toBe(true);
      // A read changes nothing; what was not sent changed nothing.
      if (facts.operationClass === 'read') expect(verdict.effect).toBe('none');
      if (facts.answer === null && facts.failure?.sent === 'no' && verdict.class !== 'ok')
        expect(verdict.effect).toBe('none');
      // A metric label stays bounded.
      expect(FIXED_REASONS.has(verdict.reason)).toBe(true);
      if (verdict.retryAfterMs !== null) {
        expect(verdict.retryAfterMs).toBeGreaterThanOrEqual(0);
        expect(verdict.retryAfterMs).toBeLessThanOrEqual(LONGEST_WISH_MS);
      }
      if (verdict.class === 'throttled' && facts.answer !== null) expect(verdict.retryAfterMs).not.toBeNull();
      if (verdict.class !== 'transient') expect(verdict.countsAgainstBreaker).toBe(false);
      if (by !== null) expect(facts.policy.errors).toContain(by);
      if (seen < 400) expect(found.mapped).toBe(true);
    }),
    RUNS,
  );
  const effects: readonly Effect[] = ['none', 'applied', 'unknown'];
  for (const verdictClass of CLASSES) {
    for (const effect of effects) {
      expect(
        [...classes].some((each) => each.includes(` ${verdictClass} ${effect} `)),
        `${verdictClass} ${effect}`,
      ).toBe(true);
    }
  }
});

it('§1: the same facts give the same verdict', () => {
  fc.assert(
    fc.property(attempt, (facts) => {
      expect(classify(facts)).toEqual(classify(facts));
    }),
    { numRuns: 2000 },
  );
});
