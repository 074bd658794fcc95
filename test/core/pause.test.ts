/**
 * Invariants of the pause, for any sequence of events:
 *
 * P1 while paused, nothing passes before the end, and the end never comes nearer.
 * P2 after a pause one call passes, and nobody else until it is answered, comes to nothing, or a second has gone by.
 * P3 only an answer to a call that passed after the pause ends the doubt.
 * P4 every pause ends: the times are finite, at most 60 s for a reset and 10 min for a Retry-After (and their jitter).
 */
import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import {
  advanced,
  doubted,
  extended,
  OPEN,
  type Pause,
  passAt,
  passed,
  pauseEnd,
  probed,
} from '../../src/core/pause.ts';

type Command =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'try' }
  | { readonly kind: 'doubt' }
  | { readonly kind: 'extend'; readonly ms: number }
  | { readonly kind: 'end'; readonly which: number; readonly result: 'answered' | 'nothing' };

const commands = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 4000 }) }) },
    { weight: 5, arbitrary: fc.constant<Command>({ kind: 'try' }) },
    { weight: 1, arbitrary: fc.constant<Command>({ kind: 'doubt' }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('extend' as const), ms: fc.integer({ min: 0, max: 9000 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        which: fc.nat(100),
        result: fc.constantFrom('answered' as const, 'nothing' as const),
      }),
    },
  ),
  { size: 'max', maxLength: 200 },
);

const visited = new Set<string>();
const isOpen = (pause: Pause): boolean => pause.kind === 'open';

describe('§4: the shared pause', () => {
  test.prop([commands], { numRuns: 1000 })('P1 to P3', (list: readonly Command[]) => {
    let nowMs = 0;
    let pause: Pause = OPEN;
    let ordinal = 0;
    let paused = -Infinity;
    let firstAfter = Infinity;
    const out: number[] = [];
    let probe: { ordinal: number; atMs: number } | null = null;
    for (const command of list) {
      pause = advanced(pause, nowMs);
      const before: Pause['kind'] = pause.kind;
      if (command.kind === 'wait') nowMs += command.ms;
      else if (command.kind === 'doubt') {
        if (pause.kind === 'open') [firstAfter, probe] = [ordinal, null];
        pause = doubted(pause);
      } else if (command.kind === 'extend') {
        pause = extended(pause, nowMs + command.ms);
        paused = before === 'paused' ? Math.max(paused, nowMs + command.ms) : nowMs + command.ms;
        [firstAfter, probe] = [ordinal, null];
      } else if (command.kind === 'try') {
        if (passAt(pause, nowMs) > nowMs) continue;
        expect(nowMs).toBeGreaterThanOrEqual(paused);
        if (pause.kind === 'probing') {
          expect(probe === null || nowMs >= probe.atMs + 1000).toBe(true);
          probe = { ordinal, atMs: nowMs };
        }
        pause = passed(pause, ordinal, nowMs);
        out.push(ordinal++);
      } else if (out.length > 0) {
        const ended = out.splice(command.which % out.length, 1)[0] as number;
        pause = probed(pause, ended, command.result);
        if (before === 'probing' && isOpen(pause)) expect(ended).toBeGreaterThanOrEqual(firstAfter);
        if (probe?.ordinal === ended) probe = null;
      }
      visited.add(`${before}→${pause.kind}`);
      expect(passAt(pause, nowMs) < Infinity).toBe(true);
    }
  });

  afterAll(() => {
    for (const way of ['open→paused', 'open→probing', 'paused→paused', 'probing→open', 'probing→paused', 'open→open']) {
      expect(visited).toContain(way);
    }
  });

  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(Infinity, -Infinity, Number.NaN, 0));
  test.prop(
    [
      fc.option(number, { nil: null }),
      fc.option(number, { nil: null }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
    ],
    { numRuns: 2000 },
  )('P4', (retryAfterMs, resetAtMs, jitter) => {
    const untilMs = pauseEnd({ retryAfterMs, resetAtMs }, jitter, 5000);
    expect(untilMs).toBeGreaterThan(5000);
    expect(untilMs).toBeLessThanOrEqual(5000 + (retryAfterMs !== null && retryAfterMs >= 0 ? 601_000 : 60_000));
  });

  it('a 429 with Retry-After: 0 pauses for a second at least', () => {
    expect(pauseEnd({ retryAfterMs: 0, resetAtMs: null }, 0, 0)).toBe(1000);
  });
});
