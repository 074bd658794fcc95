/**
 * Invariants of the breaker, for any policy and any sequence of calls, ends, waits and hands:
 *
 * B1 it opens only upon a failure, with at least min_requests outcomes younger than window, of the last `last`, and at
 *    least failure_ratio of them failed; and then it does open.
 * B2 open admits nobody before its time; the time is open_for to 1.1 × min(open_for · 2^(n-1), max_open_for), or as long
 *    as a Retry-After asked (at most 10 min). `wait` never grows.
 * B3 half-open has at most half_open_probes under way (one with `wait`), closes when that many succeeded, re-opens on one
 *    failure, and goes on when a probe says nothing.
 * B4 a result of an older epoch changes nothing; every change of kind raises the epoch.
 * B5 held is held: only a hand changes it.
 * B6 without events a breaker that is not held admits a call again: it is never stuck.
 */
import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import {
  admitted,
  type Breaker,
  type BreakerPolicy,
  type BreakerResult,
  countsOf,
  ended,
  held,
  newBreaker,
} from '../../src/core/breaker.ts';

const DEFAULTS: BreakerPolicy = {
  failureRatio: 0.5,
  minRequests: 10,
  last: 20,
  windowMs: 60_000,
  openForMs: 30_000,
  maxOpenForMs: 300_000,
  halfOpenProbes: 2,
  whenOpen: 'fail',
  maxWaitMs: null,
};

const policies: fc.Arbitrary<BreakerPolicy> = fc.record({
  failureRatio: fc.constantFrom(0.2, 0.5, 1),
  minRequests: fc.constantFrom(1, 3, 5),
  last: fc.constantFrom(5, 20),
  windowMs: fc.constantFrom(1000, 10_000),
  openForMs: fc.constantFrom(750, 2000),
  maxOpenForMs: fc.constantFrom(2000, 30_000),
  halfOpenProbes: fc.constantFrom(1, 2, 3),
  whenOpen: fc.constantFrom('fail' as const, 'wait' as const),
  maxWaitMs: fc.constant(null),
});

type Command =
  | { readonly kind: 'call' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'end'; readonly which: number; readonly result: BreakerResult }
  | { readonly kind: 'hand'; readonly order: 'open' | 'close' | 'auto' };

const results: fc.Arbitrary<BreakerResult> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<BreakerResult>({ kind: 'success' }) },
  { weight: 1, arbitrary: fc.constant<BreakerResult>({ kind: 'neutral' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('failure' as const),
      retryAfterMs: fc.option(fc.constantFrom(0, 1000, 20_000, 1e12), { freq: 1, nil: null }),
      jitter: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
  },
);
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: fc.constant<Command>({ kind: 'call' }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('end' as const), which: fc.nat(100), result: results }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 1500 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('hand' as const),
        order: fc.constantFrom('open' as const, 'close' as const, 'auto' as const, 'auto' as const),
      }),
    },
  ),
  { size: 'max', maxLength: 300 },
);

const visited = new Set<string>();

/** The rule of §5 written down once more, over a full history, as the oracle of B1. */
function shouldOpen(
  history: readonly { atMs: number; failed: boolean }[],
  policy: BreakerPolicy,
  nowMs: number,
): boolean {
  const counted = history.slice(-policy.last).filter((one) => nowMs - one.atMs < policy.windowMs);
  const failures = counted.filter((one) => one.failed).length;
  return counted.length >= policy.minRequests && failures >= policy.failureRatio * counted.length;
}

function checkOpen(breaker: Extract<Breaker, { kind: 'open' }>, policy: BreakerPolicy, nowMs: number): void {
  const forMs = breaker.untilMs - nowMs;
  const grown = Math.min(policy.openForMs * 2 ** (breaker.opens - 1), Math.max(policy.openForMs, policy.maxOpenForMs));
  const base = policy.whenOpen === 'wait' ? policy.openForMs : grown;
  expect(forMs).toBeGreaterThanOrEqual(base - 1e-6);
  expect(forMs).toBeLessThanOrEqual(Math.max(base * 1.1, 600_000) + 1e-6);
}

function checkHalfOpen(
  before: Extract<Breaker, { kind: 'half_open' }>,
  after: Breaker,
  result: BreakerResult,
  policy: BreakerPolicy,
): void {
  if (result.kind === 'failure') expect(after).toMatchObject({ kind: 'open', opens: before.opens + 1 });
  else if (result.kind === 'neutral') expect(after).toEqual({ ...before, out: before.out - 1 });
  else if (before.succeeded + 1 < policy.halfOpenProbes) expect(after.kind).toBe('half_open');
  else expect(after).toMatchObject({ kind: 'closed', outcomes: [] });
}

describe('§5: the breaker under any sequence', () => {
  test.prop([policies, commands], { numRuns: 2000 })('B1 to B6', (policy, list) => {
    let nowMs = 0;
    let breaker = newBreaker();
    let history: { atMs: number; failed: boolean }[] = [];
    const out: number[] = [];
    for (const command of list) {
      const before = breaker;
      if (command.kind === 'wait') nowMs += command.ms;
      else if (command.kind === 'hand') breaker = held(breaker, command.order);
      else if (command.kind === 'call') {
        const admission = admitted(breaker, policy, nowMs);
        breaker = admission.breaker;
        if (admission.admitted) out.push(admission.epoch);
        else expect(admission.againAtMs).toBeGreaterThan(nowMs);
        if (before.kind === 'open') expect(admission.admitted).toBe(nowMs >= before.untilMs);
        if (before.kind.startsWith('held')) expect(breaker).toBe(before);
      } else if (out.length > 0) {
        const epoch = out.splice(command.which % out.length, 1)[0] as number;
        breaker = ended(breaker, epoch, command.result, policy, nowMs);
        if (epoch !== before.epoch) expect(breaker).toBe(before);
        else if (before.kind === 'closed' && command.result.kind !== 'neutral') {
          const failed = command.result.kind === 'failure';
          history.push({ atMs: nowMs, failed });
          expect(breaker.kind).toBe(failed && shouldOpen(history, policy, nowMs) ? 'open' : 'closed');
        } else if (before.kind === 'half_open') checkHalfOpen(before, breaker, command.result, policy);
        if (before.kind !== 'open' && breaker.kind === 'open') checkOpen(breaker, policy, nowMs);
      }
      visited.add(`${before.kind}→${breaker.kind}`);
      if (before.kind !== breaker.kind) expect(breaker.epoch).toBeGreaterThan(before.epoch);
      if (breaker.kind === 'closed' && before.kind !== 'closed') history = [];
      if (breaker.kind === 'half_open') {
        expect(breaker.out).toBeLessThanOrEqual(policy.whenOpen === 'wait' ? 1 : policy.halfOpenProbes);
      }
    }
    for (const epoch of out) breaker = ended(breaker, epoch, { kind: 'neutral' }, policy, nowMs);
    if (breaker.kind !== 'held_open') expect(admitted(breaker, policy, nowMs + 601_000).admitted).toBe(true);
  });

  afterAll(() => {
    const ways = ['closed→open', 'open→half_open', 'half_open→open', 'half_open→closed', 'half_open→half_open'];
    const hands = [
      'closed→held_open',
      'open→held_closed',
      'held_open→closed',
      'held_closed→closed',
      'half_open→held_open',
    ];
    for (const way of [...ways, ...hands]) expect(visited).toContain(way);
  });
});

const failure = (retryAfterMs: number | null = null, jitter = 0): BreakerResult => ({
  kind: 'failure',
  retryAfterMs,
  jitter,
});

function opened(policy = DEFAULTS, result = failure()): Breaker {
  let breaker = newBreaker();
  for (let i = 0; i < 10; i++) breaker = ended(breaker, breaker.epoch, result, policy, 0);
  return breaker;
}

/** Lets `n` calls through, or fails the test. */
function admit(breaker: Breaker, nowMs: number, policy = DEFAULTS): { breaker: Breaker; epoch: number } {
  const admission = admitted(breaker, policy, nowMs);
  if (!admission.admitted) throw new Error('refused');
  return admission;
}

describe('§5: the breaker', () => {
  it('opens at the tenth outcome of which half failed, not at the ninth', () => {
    let breaker = newBreaker();
    for (let i = 0; i < 5; i++) breaker = ended(breaker, 0, { kind: 'success' }, DEFAULTS, i);
    for (let i = 0; i < 4; i++) breaker = ended(breaker, 0, failure(), DEFAULTS, i);
    expect(breaker.kind).toBe('closed');
    expect(ended(breaker, 0, failure(), DEFAULTS, 10).kind).toBe('open');
  });

  it('expires outcomes by time before it counts', () => {
    let breaker = newBreaker();
    for (let i = 0; i < 9; i++) breaker = ended(breaker, 0, failure(), DEFAULTS, 0);
    breaker = ended(breaker, 0, failure(), DEFAULTS, 60_000);
    expect(breaker.kind).toBe('closed');
    expect(countsOf(breaker, DEFAULTS, 60_000)).toEqual({ requests: 1, failures: 1 });
  });

  it('does not take throttled and refused calls for outcomes', () => {
    let breaker = newBreaker();
    for (let i = 0; i < 50; i++) breaker = ended(breaker, 0, { kind: 'neutral' }, DEFAULTS, 0);
    expect(countsOf(breaker, DEFAULTS, 0).requests).toBe(0);
  });

  it('doubles open_for at each re-open, up to max_open_for', () => {
    let breaker = opened();
    let nowMs = 0;
    const lengths: number[] = [];
    for (let i = 0; i < 6; i++) {
      const untilMs = (breaker as Extract<Breaker, { kind: 'open' }>).untilMs;
      lengths.push(untilMs - nowMs);
      nowMs = untilMs;
      const probe = admit(breaker, nowMs);
      breaker = ended(probe.breaker, probe.epoch, failure(), DEFAULTS, nowMs);
    }
    expect(lengths).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
  });

  it('does not grow with when_open: wait, and sends one probe at a time', () => {
    const patient = { ...DEFAULTS, whenOpen: 'wait' as const, openForMs: 750 };
    let breaker = opened(patient);
    const probe = admit(breaker, 750, patient);
    expect(admitted(probe.breaker, patient, 750).admitted).toBe(false);
    breaker = ended(probe.breaker, probe.epoch, failure(), patient, 800);
    expect(breaker).toMatchObject({ kind: 'open', untilMs: 1550 });
  });

  it('stays open as long as any of the failures asked for with Retry-After', () => {
    let breaker = ended(newBreaker(), 0, failure(120_000), DEFAULTS, 0);
    for (let i = 0; i < 9; i++) breaker = ended(breaker, 0, failure(), DEFAULTS, 1000);
    expect(breaker).toMatchObject({ kind: 'open', untilMs: 120_000 });
    expect(opened(DEFAULTS, failure(1e15))).toMatchObject({ untilMs: 600_000 });
  });

  it('lets two probes through at once, closes after both, and refuses everyone else meanwhile', () => {
    const one = admit(opened(), 30_000);
    const two = admit(one.breaker, 30_000);
    expect(admitted(two.breaker, DEFAULTS, 30_000)).toMatchObject({ admitted: false, againAtMs: 31_000 });
    const half = ended(two.breaker, one.epoch, { kind: 'success' }, DEFAULTS, 30_100);
    expect(half).toMatchObject({ kind: 'half_open', out: 1, succeeded: 1 });
    expect(admitted(half, DEFAULTS, 30_100).admitted).toBe(false);
    expect(ended(half, two.epoch, { kind: 'success' }, DEFAULTS, 30_200).kind).toBe('closed');
  });

  it('drops a late result of an older epoch', () => {
    const one = admit(opened(), 30_000);
    expect(ended(one.breaker, 0, failure(), DEFAULTS, 30_050)).toBe(one.breaker);
    expect(ended(one.breaker, 0, { kind: 'success' }, DEFAULTS, 30_050)).toBe(one.breaker);
  });
});
