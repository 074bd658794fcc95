/**
 * Invariants: a retry is repeatable, never comes before the server's wish, never waits for a wish beyond max_wait, and
 * leaves the endpoint's median before the deadline; nothing else ends a repeatable failure.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RetryPolicy } from '../../src/core/policy.ts';
import { decideRetry, type RetryDecision, type RetryFacts } from '../../src/core/retry-decision.ts';
import { record, transient } from '../support/attempt-records.ts';

const policy: RetryPolicy = { maxRetries: 5, baseDelayMs: 1000, maxDelayMs: 30_000, jitter: 'full', maxWaitMs: 60_000 };

function decide(overrides: Partial<RetryFacts> = {}): RetryDecision {
  return decideRetry({
    policy,
    operationClass: 'read',
    verdict: transient(),
    attempts: [record()],
    failedProbes: 0,
    bodySpent: false,
    credentialRenewed: false,
    wishReason: 'retry_after',
    remainingMs: 120_000,
    medianMs: 200,
    random: 0.5,
    ...overrides,
  });
}

const withheld = (reason: string | null) => ({ retry: false, withheld: reason });

describe('§3: whether', () => {
  test('asks nothing of a success and of a permanent failure', () => {
    expect(decide({ verdict: transient({ class: 'ok' }) })).toEqual(withheld(null));
    expect(decide({ verdict: transient({ class: 'permanent' }) })).toEqual(withheld(null));
    expect(decide({ verdict: transient({ class: 'unauthorized' }) })).toEqual(withheld(null));
  });

  test('§2: never repeats what is not repeatable', () => {
    const verdict = transient({ repeatable: false, effect: 'unknown' });
    expect(decide({ operationClass: 'create', verdict })).toEqual(withheld('not_repeatable'));
  });

  test('§2: names the body when the stream alone stands in the way', () => {
    const verdict = transient({ repeatable: false });
    expect(decide({ bodySpent: true, verdict })).toEqual(withheld('body_too_large'));
    const lost = transient({ repeatable: false, effect: 'unknown' });
    expect(decide({ bodySpent: true, verdict: lost, operationClass: 'idempotent' })).toEqual(
      withheld('body_too_large'),
    );
    expect(decide({ bodySpent: true, verdict: lost, operationClass: 'create' })).toEqual(withheld('not_repeatable'));
  });

  test('stops after max_retries retries, whoever made the attempts', () => {
    const five = Array.from({ length: 5 }, (_, i) => record({ n: i + 1 }));
    expect(decide({ attempts: five })).toMatchObject({ retry: true });
    expect(decide({ attempts: [...five, record({ n: 6 })] })).toEqual(withheld('max_retries'));
    expect(decide({ policy: { ...policy, maxRetries: 0 } })).toEqual(withheld('max_retries'));
    expect(decide({ policy: { ...policy, maxRetries: Infinity }, attempts: Array(5000).fill(record()) })).toMatchObject(
      {
        retry: true,
      },
    );
  });

  test('repeats a rejected call at once, free and beyond max_retries when its credential was renewed', () => {
    const verdict = transient({ class: 'unauthorized' });
    expect(decide({ verdict, credentialRenewed: true, policy: { ...policy, maxRetries: 0 } })).toEqual({
      retry: true,
      waitMs: 0,
      waitReason: 'backoff',
      cost: 0,
    });
  });
});

describe('§3: when', () => {
  test('backs off when the server names no time', () => {
    expect(decide()).toEqual({ retry: true, waitMs: 500, waitReason: 'backoff', cost: 1 });
    expect(decide({ attempts: [record(), record()] })).toMatchObject({ waitMs: 1000 });
  });

  test('lets the server wish win, with the jitter on top', () => {
    const verdict = transient({ retryAfterMs: 7000 });
    expect(decide({ verdict })).toEqual({ retry: true, waitMs: 7500, waitReason: 'retry_after', cost: 1 });
    expect(decide({ verdict, policy: { ...policy, jitter: 'none' } })).toMatchObject({ waitMs: 7000 });
  });

  test('takes a wish of zero for zero plus the jitter of the backoff', () => {
    const verdict = transient({ retryAfterMs: 0 });
    expect(decide({ verdict })).toMatchObject({ waitMs: 500, waitReason: 'retry_after' });
    expect(decide({ verdict, attempts: [record(), record(), record()] })).toMatchObject({ waitMs: 2000 });
  });

  test('does not sleep for a wish beyond max_wait', () => {
    expect(decide({ verdict: transient({ retryAfterMs: 60_000 }) })).toMatchObject({ retry: true, waitMs: 60_500 });
    expect(decide({ verdict: transient({ retryAfterMs: 60_001 }) })).toEqual(withheld('max_wait'));
  });

  test('never sleeps past the deadline, nor until too little is left for an attempt', () => {
    expect(decide({ remainingMs: 700 })).toMatchObject({ retry: true, waitMs: 500 });
    expect(decide({ remainingMs: 699 })).toEqual(withheld('deadline'));
    expect(decide({ remainingMs: 500, medianMs: 0 })).toEqual(withheld('deadline'));
    expect(decide({ remainingMs: 5000, verdict: transient({ retryAfterMs: 5000 }) })).toEqual(withheld('deadline'));
  });

  test('feeds decorrelated jitter with the backoff before it and with no other wait', () => {
    const decorrelated = { ...policy, jitter: 'decorrelated' as const };
    const slow = record({ waitedMs: 4000, waitReason: 'backoff' });
    expect(decide({ policy: decorrelated, attempts: [record(), slow] })).toMatchObject({ waitMs: 6500 });
    const paced = record({ waitedMs: 4000, waitReason: 'pacing' });
    expect(decide({ policy: decorrelated, attempts: [record(), paced] })).toMatchObject({ waitMs: 2000 });
  });
});

describe('§3: at what price', () => {
  test('a third for a throttled attempt', () => {
    expect(decide({ verdict: transient({ class: 'throttled' }) })).toMatchObject({ cost: 1 / 3 });
  });

  test('nothing for the first attempt of which nothing was sent, the full price for the second', () => {
    const unsent = record({ sent: 'no', status: null, failure: 'connect' });
    expect(decide({ attempts: [unsent] })).toMatchObject({ cost: 0 });
    expect(decide({ attempts: [record(), unsent] })).toMatchObject({ cost: 0 });
    expect(decide({ attempts: [unsent, unsent] })).toMatchObject({ cost: 1 });
    expect(decide({ attempts: [unsent, record()] })).toMatchObject({ cost: 1 });
  });
});

const facts = fc.record({
  policy: fc.record({
    maxRetries: fc.constantFrom(0, 1, 5, Infinity),
    baseDelayMs: fc.integer({ min: 0, max: 10_000 }),
    maxDelayMs: fc.integer({ min: 1, max: 60_000 }),
    jitter: fc.constantFrom('full' as const, 'equal' as const, 'decorrelated' as const, 'none' as const),
    maxWaitMs: fc.integer({ min: 0, max: 120_000 }),
  }),
  operationClass: fc.constantFrom('read' as const, 'idempotent' as const, 'create' as const),
  verdict: fc
    .record({
      class: fc.constantFrom('ok', 'throttled', 'transient', 'transient', 'permanent', 'unauthorized'),
      effect: fc.constantFrom('none', 'applied', 'unknown'),
      repeatable: fc.boolean(),
      retryAfterMs: fc.option(
        fc.oneof(fc.constant(0), fc.double({ min: 0, max: 130_000, noNaN: true }), fc.constant(86_400_000)),
      ),
    })
    .map((parts) => transient(parts as Parameters<typeof transient>[0])),
  attempts: fc.array(
    fc
      .record({ sent: fc.constantFrom('no', 'maybe', 'yes'), waitedMs: fc.integer({ min: 0, max: 60_000 }) })
      .map((parts) => record({ ...parts, waitReason: 'backoff' })),
    { minLength: 1, maxLength: 8 },
  ),
  failedProbes: fc.constant(0),
  bodySpent: fc.boolean(),
  credentialRenewed: fc.boolean(),
  wishReason: fc.constantFrom('retry_after' as const, 'rate_limit_reset' as const, 'one_window' as const),
  remainingMs: fc.oneof(fc.constant(Infinity), fc.double({ min: -1000, max: 200_000, noNaN: true })),
  medianMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20_000, noNaN: true })),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

test('property: a retry is safe, not early, not late and affordable; every ending is visited', () => {
  const visited = new Set<string>();
  fc.assert(
    fc.property(facts, (given) => {
      const { verdict, policy: p, attempts } = given;
      const decision = decideRetry(given);
      visited.add(decision.retry ? `${decision.waitReason} at ${decision.cost.toFixed(2)}` : String(decision.withheld));
      const wish = verdict.retryAfterMs;
      if (!decision.retry) {
        const renewed = verdict.class === 'unauthorized' && given.credentialRenewed;
        const wants = renewed || verdict.class === 'transient' || verdict.class === 'throttled';
        expect(decision.withheld === null).toBe(!wants);
        return;
      }
      expect(verdict.repeatable).toBe(true);
      expect(['transient', 'throttled', 'unauthorized']).toContain(verdict.class);
      expect(Number.isInteger(decision.waitMs)).toBe(true);
      expect(decision.waitMs).toBeGreaterThanOrEqual(0);
      expect(decision.waitMs + given.medianMs).toBeLessThanOrEqual(given.remainingMs + 1e-6);
      expect(given.remainingMs).toBeGreaterThan(decision.waitMs);
      if (verdict.class === 'unauthorized') return;
      expect(attempts.length).toBeLessThanOrEqual(p.maxRetries);
      expect(decision.waitMs).toBeGreaterThanOrEqual(wish ?? 0);
      expect(wish ?? 0).toBeLessThanOrEqual(p.maxWaitMs);
      expect(decision.waitMs).toBeLessThanOrEqual(Math.ceil(p.maxWaitMs + Math.min(p.baseDelayMs, p.maxDelayMs)));
      expect(decision.waitReason === 'backoff').toBe(wish === null);
    }),
    { numRuns: 20_000 },
  );
  const priced = ['retry_after', 'rate_limit_reset', 'one_window', 'backoff'].flatMap((reason) =>
    ['0.00', '0.33', '1.00'].map((cost) => `${reason} at ${cost}`),
  );
  expect([...visited].sort()).toEqual(
    [...priced, 'null', 'not_repeatable', 'body_too_large', 'max_retries', 'max_wait', 'deadline'].sort(),
  );
});
