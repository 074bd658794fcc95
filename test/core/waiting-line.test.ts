/**
 * Invariants of the waiting line, against a sorted array: L1 the order is (urgency, arrival, joining). L2 a place that
 * left is gone and leaves the others in order. L3 `ahead` counts exactly those of no later urgency.
 */
import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import { CONTINUATION, type Place, WaitingLine } from '../../src/core/waiting-line.ts';

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      urgency: fc.integer({ min: CONTINUATION, max: 7 }),
      at: fc.integer({ min: 0, max: 50 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pop' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), which: fc.nat(1000) }) },
);
const visited = new Set<string>();

describe('§4: release in order', () => {
  test.prop([fc.array(command, { size: 'max', maxLength: 300 })], { numRuns: 1000 })('L1 to L3', (list) => {
    const line = new WaitingLine<number>();
    const model: Place<number>[] = [];
    const gone: Place<number>[] = [];
    let joined = 0;
    for (const step of list) {
      if (step.kind === 'push') {
        expect(line.ahead(step.urgency)).toBe(model.filter((p) => p.urgency <= step.urgency).length);
        model.push(line.push(step.urgency, step.at, joined++));
        model.sort((a, b) => a.urgency - b.urgency || a.arrivedAtMs - b.arrivedAtMs || a.value - b.value);
      } else if (step.kind === 'pop') {
        const expected = model.shift();
        if (expected !== undefined) gone.push(expected);
        expect(line.pop()).toBe(expected?.value ?? null);
      } else if (model.length > 0) {
        const place = model.splice(step.which % model.length, 1)[0] as Place<number>;
        gone.push(place);
        expect(line.remove(place)).toBe(true);
      }
      for (const place of gone.slice(-3)) expect(line.remove(place)).toBe(false);
      expect(line.length).toBe(model.length);
      expect(line.first?.value).toBe(model[0]?.value);
      visited.add(model.length === 0 ? 'empty' : model.length > 30 ? 'long' : 'short');
    }
  });

  afterAll(() => {
    expect([...visited].sort()).toEqual(['empty', 'long', 'short']);
  });

  it('costs O(log n): 10,000 calls join, a third cancel and the rest leave in a few milliseconds each thousand', () => {
    const line = new WaitingLine<number>();
    const places = Array.from({ length: 10_000 }, (_, i) => line.push(i % 8, (i * 7919) % 10_007, i));
    const started = performance.now();
    for (let i = 0; i < places.length; i += 3) line.remove(places[i] as Place<number>);
    while (line.pop() !== null);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it('takes less than 256 bytes per waiting call', () => {
    const collect = globalThis.gc;
    const line = new WaitingLine<null>();
    collect?.();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 100_000; i++) line.push(i % 8, i, null);
    collect?.();
    const perEntry = (process.memoryUsage().heapUsed - before) / 100_000;
    expect(perEntry).toBeLessThan(256);
    expect(line.length).toBe(100_000);
  });
});
