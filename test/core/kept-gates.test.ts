/**
 * Kept → restored, for any time of the crash, any downtime and any wall clock afterwards:
 *
 * K1 with a true wall clock a gate opens when it would have opened without the restart: not before, a millisecond late.
 * K2 with a wrong one it is shut no longer than it was to be, and no longer than the machine itself shuts.
 * K3 whatever a store brings, no wait is longer than that, and nothing throws.
 */
import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { admitted, type Breaker, type BreakerPolicy, held, longestOpenMs, newBreaker } from '../../src/core/breaker.ts';
import { keptBreaker, keptPause, restoredBreaker, restoredPause } from '../../src/core/kept-gates.ts';
import { LONGEST_PAUSE_MS } from '../../src/core/pause.ts';
import { policy } from '../support/exchanges.ts';

const POLICY: BreakerPolicy = policy().breaker;
const WALL_MS = Date.UTC(2026, 0, 1);

const crash = fc.record({
  /** Monotonic time of the first process when the gate was shut. */
  setMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
  forMs: fc.double({ min: 0, max: 600_000, noNaN: true }),
  opens: fc.integer({ min: 1, max: 60 }),
  /** From then to the restore. */
  downMs: fc.double({ min: 0, max: 900_000, noNaN: true }),
  /** Monotonic time of the second process at the restore. */
  startMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
  /** How far the wall clock was put forward or back meanwhile. */
  jumpMs: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -1e9, max: 1e9 }) },
  ),
});
const hostile = fc.oneof(
  fc.string(),
  fc.json(),
  fc
    .record(
      {
        kind: fc.constantFrom('open', 'held_open', 'half_open', 7),
        setAtMs: fc.oneof(fc.double(), fc.constant(null)),
        forMs: fc.oneof(fc.double(), fc.constant('9')),
        opens: fc.double(),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
);

describe('§4: a pause across a restart', () => {
  test.prop([crash], { numRuns: 2000 })('K1, K2', ({ setMs, forMs, downMs, startMs, jumpMs }) => {
    const gate = keptPause('abcd1234', setMs + forMs, { nowMs: setMs, wallMs: WALL_MS });
    const at = { nowMs: startMs, wallMs: WALL_MS + downMs + jumpMs };
    const leftMs = (restoredPause(gate.value, at) ?? Infinity) - startMs;
    expect(leftMs).toBeLessThanOrEqual(forMs + 1.001);
    if (jumpMs !== 0) return;
    expect(leftMs).toBeGreaterThanOrEqual(forMs - downMs - 0.51);
    expect(leftMs).toBeLessThanOrEqual(forMs - downMs + 1.51);
    expect(gate.expiresAtMs).toBeGreaterThan(WALL_MS + forMs + 59_000);
    expect(Number.isSafeInteger(gate.expiresAtMs)).toBe(true);
  });

  test.prop([hostile], { numRuns: 2000 })('K3', (value) => {
    const untilMs = restoredPause(value, { nowMs: 5000, wallMs: WALL_MS });
    if (untilMs !== null) expect(untilMs).toBeLessThanOrEqual(5000 + LONGEST_PAUSE_MS);
    expect(untilMs).not.toBeNaN();
  });
});

describe('§5: a breaker across a restart', () => {
  test.prop([crash], { numRuns: 2000 })('K1, K2', ({ setMs, forMs, opens, downMs, startMs, jumpMs }) => {
    const before: Breaker = { kind: 'open', epoch: 9, untilMs: setMs + forMs, opens };
    const gate = keptBreaker('POST /contacts', before, { nowMs: setMs, wallMs: WALL_MS });
    const at = { nowMs: startMs, wallMs: WALL_MS + downMs + jumpMs };
    const after = restoredBreaker(gate?.value ?? '', POLICY, at);
    expect(after).toMatchObject({ kind: 'open', opens });
    if (after?.kind !== 'open') return;
    const leftMs = after.untilMs - startMs;
    expect(leftMs).toBeLessThanOrEqual(Math.min(forMs + 1.001, longestOpenMs(POLICY, opens) + 0.001));
    if (jumpMs === 0) {
      expect(leftMs).toBeGreaterThanOrEqual(forMs - downMs - 0.51);
      expect(leftMs).toBeLessThanOrEqual(forMs - downMs + 1.51);
    }
    // Due, it comes back half-open: probes find out.
    const due = admitted(after, POLICY, Math.max(after.untilMs, startMs));
    expect(due).toMatchObject({ admitted: true, breaker: { kind: 'half_open' } });
  });

  test.prop([hostile, fc.integer({ min: 1, max: 3_600_000 })], { numRuns: 2000 })('K3', (value, maxOpenForMs) => {
    const own = { ...POLICY, openForMs: Math.min(POLICY.openForMs, maxOpenForMs), maxOpenForMs };
    const breaker = restoredBreaker(value, own, { nowMs: 5000, wallMs: WALL_MS });
    if (breaker?.kind !== 'open') return;
    expect(admitted(breaker, own, 5000 + Math.max(600_000, maxOpenForMs * 1.1)).admitted).toBe(true);
    expect(Number.isSafeInteger(breaker.opens) && breaker.opens >= 1).toBe(true);
  });

  it('keeps what a hand has ordered, for ever, and forgets it with auto', () => {
    const at = { nowMs: 1, wallMs: WALL_MS };
    for (const order of ['open', 'close'] as const) {
      const breaker = held(newBreaker(), order);
      const gate = keptBreaker('host', breaker, at);
      expect(gate?.expiresAtMs).toBe(Number.MAX_SAFE_INTEGER);
      expect(restoredBreaker(gate?.value ?? '', POLICY, at)?.kind).toBe(breaker.kind);
      expect(keptBreaker('host', held(breaker, 'auto'), at)).toMatchObject({ expiresAtMs: 0 });
    }
  });

  it('a closed one comes back as nothing, a half-open one needs no row of its own', () => {
    const at = { nowMs: 1, wallMs: WALL_MS };
    expect(restoredBreaker(keptBreaker('host', newBreaker(), at)?.value ?? '', POLICY, at)).toBeNull();
    expect(keptBreaker('host', { kind: 'half_open', epoch: 2, opens: 1, out: 1, succeeded: 0 }, at)).toBeNull();
  });
});
