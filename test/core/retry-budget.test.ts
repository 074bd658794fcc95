/**
 * Invariants, against a model that keeps every event:
 * - what retries cost in a window never exceeds what requests paid in that window (and the second before it, since
 *   buckets are whole seconds) plus the floor, for a class and for the process;
 * - a class that is refused had no cover: the model agrees within the bucket's second;
 * - nothing is ever negative, and a refund never makes more than was taken.
 */
import { test as property } from '@fast-check/vitest';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RetryBudgetPolicy } from '../../src/core/policy.ts';
import { createRetryBudget, deposit, refund, withdraw } from '../../src/core/retry-budget.ts';
import type { OperationClass } from '../../src/core/verdict.ts';

const policy: RetryBudgetPolicy = { ratio: 0.2, windowMs: 10_000, floorPerSecond: 1 };
const noFloor: RetryBudgetPolicy = { ...policy, floorPerSecond: 0 };

/** How many retries of price `cost` are granted in a row. */
function granted(take: () => boolean): number {
  let count = 0;
  while (count < 10_000 && take()) count += 1;
  return count;
}

describe('§3: retry budget', () => {
  test('grants the floor of a window to a proxy without traffic', () => {
    const budget = createRetryBudget();
    expect(granted(() => withdraw(budget, 'read', policy, 1, 5000))).toBe(10);
    expect(withdraw(budget, 'read', policy, 1, 14_900)).toBe(false);
    expect(granted(() => withdraw(budget, 'read', policy, 1, 16_000))).toBe(10);
  });

  test('grants one retry for every five requests at a ratio of 0.2', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 500; i += 1) deposit(budget, 'create', policy.ratio, 1000 + i);
    expect(granted(() => withdraw(budget, 'create', noFloor, 1, 2000))).toBe(100);
  });

  test('takes a third for the retry of a throttled attempt', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 50; i += 1) deposit(budget, 'create', policy.ratio, 1000);
    expect(granted(() => withdraw(budget, 'create', noFloor, 1 / 3, 1000))).toBe(30);
  });

  test('forgets deposits when their window has passed', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 100; i += 1) deposit(budget, 'read', policy.ratio, 1000);
    expect(withdraw(budget, 'read', noFloor, 1, 11_900)).toBe(true);
    expect(withdraw(budget, 'read', noFloor, 1, 12_000)).toBe(false);
  });

  test('does not let one class spend what another class paid', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 100; i += 1) deposit(budget, 'read', policy.ratio, 1000);
    expect(withdraw(budget, 'create', noFloor, 1, 1000)).toBe(false);
    expect(withdraw(budget, 'read', noFloor, 1, 1000)).toBe(true);
  });

  test('has one floor for the process, not one for each class', () => {
    const budget = createRetryBudget();
    const classes: OperationClass[] = ['read', 'idempotent', 'create'];
    let turn = 0;
    expect(granted(() => withdraw(budget, classes[turn++ % 3] as OperationClass, policy, 1, 1000))).toBe(10);
  });

  test('gives a price back once, and not when its bucket is long gone', () => {
    const budget = createRetryBudget();
    expect(granted(() => withdraw(budget, 'read', policy, 1, 1000))).toBe(10);
    refund(budget, 'read', 1, 1000, 1500);
    expect(granted(() => withdraw(budget, 'read', policy, 1, 1500))).toBe(1);
    refund(budget, 'read', 1, 1000, 500_000);
    expect(granted(() => withdraw(budget, 'read', policy, 1, 500_000))).toBe(10);
  });

  test('refuses every paid retry at ratio and floor zero, and survives a standing clock', () => {
    const budget = createRetryBudget();
    deposit(budget, 'read', 0, 5000);
    expect(withdraw(budget, 'read', noFloor, 1, 5000)).toBe(false);
    deposit(budget, 'read', 1, 4000);
    expect(withdraw(budget, 'read', noFloor, 1, 4000)).toBe(true);
  });
});

interface Entry {
  atMs: number;
  amount: number;
}

const classOf = fc.constantFrom<OperationClass>('read', 'idempotent', 'create');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('deposit' as const), operationClass: classOf }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('withdraw' as const), operationClass: classOf, third: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('refund' as const), pick: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 3000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 3000, max: 200_000 }) }),
  },
);
const budgets = fc.record({
  ratio: fc.constantFrom(0, 0.1, 0.2, 0.5, 1),
  windowMs: fc.constantFrom(1000, 2500, 10_000, 60_000),
  floorPerSecond: fc.constantFrom(0, 0.1, 1, 3),
});

test('property: retries never cost more than requests paid plus the floor, and every state is visited', () => {
  const visited = new Set<string>();
  fc.assert(
    fc.property(budgets, fc.array(step, { maxLength: 300, size: 'max' }), (p, steps) => {
      const budget = createRetryBudget();
      const paid: (Entry & { operationClass: OperationClass })[] = [];
      const taken: (Entry & { operationClass: OperationClass })[] = [];
      let now = 777.7;
      const sum = (entries: typeof paid, own: OperationClass | null, sinceMs: number): number =>
        entries
          .filter((e) => e.atMs >= sinceMs && (own === null || e.operationClass === own))
          .reduce((total, e) => total + e.amount, 0);
      const floor = (p.floorPerSecond * p.windowMs) / 1000;
      const widest = (p.windowMs / 1000 + 2) * 1000;

      for (const s of steps) {
        if (s.kind === 'pass') {
          now += s.ms;
          if (s.ms > 65_000) visited.add('ring passed over');
        } else if (s.kind === 'deposit') {
          deposit(budget, s.operationClass, p.ratio, now);
          paid.push({ atMs: now, amount: p.ratio, operationClass: s.operationClass });
        } else if (s.kind === 'refund') {
          const entry = taken[s.pick % Math.max(taken.length, 1)];
          if (entry === undefined || entry.amount === 0) continue;
          refund(budget, entry.operationClass, entry.amount, entry.atMs, now);
          visited.add(now - entry.atMs > 65_000 ? 'refunded too late' : 'refunded');
          entry.amount = 0;
        } else {
          const cost = s.third ? 1 / 3 : 1;
          const ok = withdraw(budget, s.operationClass, p, cost, now);
          if (ok) taken.push({ atMs: now, amount: cost, operationClass: s.operationClass });
          for (const own of [s.operationClass, null]) {
            const spent = sum(taken, own, now - p.windowMs);
            const most = floor + sum(paid, own, now - widest) + 1e-6;
            if (ok) expect(spent).toBeLessThanOrEqual(most);
          }
          if (ok) {
            visited.add(sum(paid, s.operationClass, now - p.windowMs) === 0 ? 'granted by the floor' : 'granted');
          } else {
            const isShort = [s.operationClass, null].some(
              (own) => floor + sum(paid, own, now - p.windowMs) - sum(taken, own, now - widest) < cost + 1e-6,
            );
            expect(isShort).toBe(true);
            const ownShort =
              floor + sum(paid, s.operationClass, now - p.windowMs) - sum(taken, s.operationClass, now - widest) < cost;
            visited.add(ownShort ? 'class exhausted' : 'process exhausted');
          }
        }
      }
    }),
    { numRuns: 1500 },
  );
  expect([...visited].sort()).toEqual([
    'class exhausted',
    'granted',
    'granted by the floor',
    'process exhausted',
    'refunded',
    'refunded too late',
    'ring passed over',
  ]);
});
property.prop([fc.integer({ min: 1, max: 2000 })], { numRuns: 200 })(
  'a full outage adds at most the ratio plus the floor',
  (requests) => {
    const budget = createRetryBudget();
    let retries = 0;
    for (let i = 0; i < requests; i += 1) {
      deposit(budget, 'read', policy.ratio, 5000 + i);
      while (withdraw(budget, 'read', policy, 1, 5000 + i)) retries += 1;
    }
    expect(retries).toBeLessThanOrEqual(requests * policy.ratio + 10 + 1e-6);
    expect(retries).toBeGreaterThanOrEqual(Math.floor(requests * policy.ratio + 10 - 1e-6));
  },
);
