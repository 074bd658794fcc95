/**
 * Invariants of the quota machine, for any sequence of sends, ends and times:
 *
 * Q1 counts are whole numbers, never negative: in flight ≥ own in flight, own sent ≥ own in flight.
 * Q2 a call may go now, at a finite time at most 60 s + the clock's error ahead, or upon an answer, and then one is due.
 * Q3 a pause ends after now by at most 61 s, or 601 s when a Retry-After asked for it.
 * Q4 no call is ever refused a slot for ever: time alone, or the ends of the calls in flight, free it.
 * Q5 against an honest server, all slots of saturated windows are used and at most 0.5 % of the answers are 429.
 * Q6 with others spending 30 %, at most 2 % are 429.
 * Q7 against any server the machines do a bounded number of looks per call and second: no spin.
 */
import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect } from 'vitest';
import { earliestAt, freeSlots, newQuota, type Quota, rolled, type Slot, sent, slotAt } from '../../src/core/quota.ts';
import { type LocalRateLimit, type SlotResult, settled } from '../../src/core/quota-answers.ts';
import { play, WORLD, type World } from './quota-simulation.ts';

const visited = new Set<string>();

const rateArb: fc.Arbitrary<LocalRateLimit> = fc
  .record({
    limit: fc.integer({ min: 1, max: 40 }),
    remaining: fc.integer({ min: 0, max: 40 }),
    window: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 20 }) },
      { weight: 1, arbitrary: fc.constantFrom(-1000, 1000, 1e9) },
    ),
    errorMs: fc.integer({ min: -1500, max: 1500 }),
  })
  .map(({ limit, remaining, window, errorMs }) => ({
    limit,
    remaining: Math.min(remaining, limit),
    resetMs: 1e12 + window * 10_000,
    resetAtMs: window * 10_000 + errorMs,
  }));

type Command =
  | { readonly kind: 'send'; readonly urgent: boolean }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'end'; readonly which: number; readonly result: SlotResult };

const maybeRate = fc.option(rateArb, { freq: 4, nil: null });
const commandArb: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('send' as const), urgent: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 12_000 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      which: fc.nat(1000),
      result: fc.oneof(
        { weight: 8, arbitrary: fc.record({ kind: fc.constant('answered' as const), rate: maybeRate }) },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant('throttled' as const),
            rate: maybeRate,
            retryAfterMs: fc.option(fc.constantFrom(0, 1, 5000, 1e7), { freq: 1, nil: null }),
            jitter: fc.double({ min: 0, max: 0.999, noNaN: true }),
          }),
        },
        { weight: 1, arbitrary: fc.constantFrom<SlotResult>({ kind: 'lost' }, { kind: 'unsent' }) },
      ),
    }),
  },
);

/** Vitest's expect costs more than the machine, and this runs half a million times. */
function must(holdsTrue: boolean, what: string, state: Quota): void {
  if (!holdsTrue) throw new Error(`${what}: ${JSON.stringify(state)}`);
}

function holds(quota: Quota, nowMs: number): void {
  const { own } = quota;
  for (const count of [quota.next, quota.inFlight, own.sent, own.urgent, own.inFlight, own.refused]) {
    must(Number.isSafeInteger(count) && count >= 0, 'Q1 count', quota);
  }
  const { inFlight, inFlightBefore } = quota.recent;
  must(quota.inFlight >= own.inFlight && quota.inFlight >= inFlight + inFlightBefore, 'Q1 in flight', quota);
  must(freeSlots(quota) >= 0, 'Q1 free', quota);
  for (const urgent of [true, false]) {
    const at = slotAt(quota, urgent, 0.2, nowMs);
    if (at === Infinity) must(quota.inFlight > 0, 'Q2 answer due', quota);
    else must(at >= nowMs && at <= nowMs + 60_000, 'Q2 time', quota);
  }
  const earliest = earliestAt(quota, 5, nowMs, nowMs);
  must(earliest >= nowMs && earliest <= nowMs + 120_000, 'Q2 earliest', quota);
  if (quota.kind === 'learned') {
    must(quota.used >= quota.reported && quota.limit >= 1, 'Q1 used', quota);
    must(quota.doubtful >= 0 && quota.doubtful <= quota.inFlight - own.inFlight, 'Q1 doubtful', quota);
  }
}

describe('the quota machine under any sequence', () => {
  test.prop([fc.array(commandArb, { size: 'max', maxLength: 250 })], { numRuns: 2000 })(
    'keeps Q1 to Q4',
    (commands) => {
      let nowMs = 0;
      let quota = newQuota(nowMs);
      const out: Slot[] = [];
      for (const command of commands) {
        quota = rolled(quota, nowMs);
        if (command.kind === 'wait') nowMs += command.ms;
        else if (command.kind === 'send') {
          if (slotAt(quota, command.urgent, 0.2, nowMs) > nowMs) continue;
          const taken = sent(quota, command.urgent, nowMs);
          quota = taken.quota;
          out.push(taken.slot);
        } else if (out.length > 0) {
          const slot = out.splice(command.which % out.length, 1)[0] as Slot;
          const before = quota;
          const learned = settled(quota, slot, command.result, nowMs);
          quota = learned.quota;
          visited.add(`${before.kind}→${quota.kind}`);
          if (learned.pauseUntilMs !== null) {
            const asked = command.result.kind === 'throttled' && command.result.retryAfterMs !== null;
            expect(learned.pauseUntilMs >= nowMs && learned.pauseUntilMs <= nowMs + (asked ? 601_000 : 61_000)).toBe(
              true,
            );
          }
        }
        quota = rolled(quota, nowMs);
        visited.add(quota.kind);
        holds(quota, nowMs);
      }
      for (const slot of out.splice(0)) quota = settled(quota, slot, { kind: 'lost' }, nowMs).quota;
      expect(quota.inFlight).toBe(0);
      const at = slotAt(quota, false, 0.2, nowMs);
      expect(slotAt(rolled(quota, at), false, 0.2, at)).toBe(at);
    },
  );

  afterAll(() => {
    for (const kind of ['unlearned', 'unpaced', 'estimated', 'learned']) expect(visited).toContain(kind);
    const ways = ['unlearned→learned', 'unlearned→unpaced', 'unlearned→estimated', 'unpaced→estimated'];
    for (const way of [...ways, 'unpaced→learned', 'estimated→learned']) expect(visited).toContain(way);
  });
});

const honest = fc.record({
  seed: fc.nat(),
  limit: fc.constantFrom(10, 25, 83, 167, 333),
  latencyMs: fc.constantFrom<readonly [number, number]>([1, 5], [20, 120], [100, 900]),
  offsetMs: fc.integer({ min: -90_000, max: 90_000 }).map((ms) => WORLD.offsetMs + ms),
  driftPpm: fc.constantFrom(0, 100, -100, 5000, -5000),
  phaseMs: fc.nat(9999),
  headers: fc.constantFrom<World['headers']>('ceil', 'floor', 'milliseconds', 'delta'),
  connections: fc.constantFrom(10, 64, 128),
});

describe('the machines together, against a server', () => {
  test.prop([honest], { numRuns: 1500 })('Q5: uses every slot and meets at most 0.5 % of 429s', (part) => {
    const world = { ...WORLD, ...part };
    const windows = 6;
    const played = play(world, world.limit * windows);
    expect(played.accepted).toBe(world.limit * windows);
    // That resets are cut to whole seconds, or a clock ten times worse than NTP allows, is learned once, by the 429s of
    // at most what was in flight.
    const exact = (world.headers === 'ceil' || world.headers === 'milliseconds') && Math.abs(world.driftPpm) <= 500;
    const learning = exact ? 0 : world.connections + 4;
    expect(played.throttled).toBeLessThanOrEqual(learning + played.sends * 0.005);
    // The first window may be entered at any moment of it, and each window is filled within a tenth of its length.
    const wireMs = (played.sends * (world.latencyMs[0] + world.latencyMs[1])) / 2 / world.connections;
    expect(played.tookMs).toBeLessThanOrEqual(Math.max(windows * 10_000, wireMs + 10_000) * 1.1);
  });

  test.each([83, 333] as const)('Q5: over 60 windows of %i the learning is forgotten', (limit) => {
    for (const headers of ['ceil', 'floor', 'delta'] as const) {
      const played = play({ ...WORLD, limit, headers, phaseMs: 9700 }, limit * 60);
      expect(played.throttled).toBeLessThanOrEqual(played.sends * 0.005);
      expect(played.tookMs).toBeLessThanOrEqual(60 * 10_000 * 1.01);
    }
  });

  test.prop([honest, fc.constantFrom(83, 333)], { numRuns: 300 })(
    'Q6: with others spending 30 % at most 2 % of the answers are 429',
    (part, limit) => {
      const latencyMs = [20, 120] as const;
      const world = { ...WORLD, ...part, limit, latencyMs, headers: 'ceil' as const, foreign: limit * 0.3 };
      const played = play(world, limit * 8);
      expect(played.throttled).toBeLessThanOrEqual(played.sends * 0.02);
    },
  );

  test.prop(
    [
      honest,
      fc.constantFrom<World['headers']>('none', 'garbage', 'past', 'future', 'no-date', 'ceil'),
      fc.constantFrom(null, '0', '2', '999999999'),
      fc.boolean(),
    ],
    { numRuns: 3000 },
  )('Q7: never spins, whatever the server says', (part, headers, retryAfter, refuseAll) => {
    const played = play({ ...WORLD, ...part, headers, retryAfter, refuseAll }, 300, 600_000);
    expect(played.looks).toBeLessThanOrEqual(10 * played.sends + (10 * played.tookMs) / 1000 + 20);
    if (refuseAll) expect(played.sends).toBeLessThanOrEqual(part.connections + (1.1 * played.tookMs) / 1000 + 10);
    else if (retryAfter !== '999999999') expect(played.accepted).toBe(300);
  });
});
