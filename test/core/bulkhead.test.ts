import { fc, test as property } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import { Bulkhead } from '../../src/core/bulkhead.ts';

type Command = { readonly kind: 'come' | 'leave' } | { readonly kind: 'limit'; readonly limit: number };

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant<Command>({ kind: 'come' }) },
    { weight: 4, arbitrary: fc.constant<Command>({ kind: 'leave' }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit' as const), limit: fc.integer({ min: 1, max: 5 }) }) },
  ),
  { minLength: 1, maxLength: 200 },
);

/**
 * B1 never more inside than the limit, but for those who were there when it was lowered.
 * B2 nobody waits while there is room and somebody has looked. B3 in the order of arrival.
 */
describe('the bulkhead', () => {
  const visited = new Set<string>();

  property.prop([commands], { numRuns: 500 })('B1, B2, B3: over 200 steps with a changing limit', (steps) => {
    const bulkhead = new Bulkhead<number>();
    let [limit, inside, came, expected] = [2, 0, 0, 0];
    const waiting: number[] = [];
    const letIn = (): void => {
      for (let next = bulkhead.next(limit); next !== null; next = bulkhead.next(limit)) {
        expect(next).toBe(waiting.shift());
        inside += 1;
      }
    };
    for (const step of steps) {
      expected = Math.max(limit, inside);
      if (step.kind === 'come') {
        if (bulkhead.enter(limit)) inside += 1;
        else {
          bulkhead.line.push(3, came, came);
          waiting.push(came);
        }
        came += 1;
      } else if (step.kind === 'leave' && inside > 0) {
        bulkhead.leave();
        inside -= 1;
        letIn();
      } else if (step.kind === 'limit') {
        limit = step.limit;
        letIn();
      }
      visited.add(`${step.kind} ${waiting.length > 0} ${inside > limit}`);
      expect(inside).toBeLessThanOrEqual(Math.max(expected, limit));
      expect(waiting.length === 0 || inside >= limit).toBe(true);
      expect(bulkhead.idle).toBe(inside === 0 && waiting.length === 0);
    }
  });

  afterAll(() => {
    for (const state of ['come true false', 'leave true false', 'limit true true', 'come true true']) {
      expect(visited).toContain(state);
    }
  });

  it('lets nobody pass those who wait', () => {
    const bulkhead = new Bulkhead<string>();
    bulkhead.enter(1);
    bulkhead.line.push(3, 0, 'first');
    bulkhead.leave();
    expect(bulkhead.enter(1)).toBe(false);
    expect(bulkhead.next(1)).toBe('first');
  });
});
