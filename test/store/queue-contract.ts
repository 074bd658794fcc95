import { describe, expect, it } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import type { Store } from '../../src/core/store.ts';
import { NOW_MS, row } from './rows.ts';

const queued = (id: string, given: Partial<Operation> = {}): Operation =>
  row({ id, state: 'waiting', handedOver: true, lane: 'a', dueAtMs: NOW_MS, ...given });

const due = async (store: Store, nowMs = NOW_MS, perLane = 10): Promise<string[]> =>
  (await store.queueDue(nowMs, null, perLane)).rows.map(({ id }) => id);

/** What every store promises of the durable queue. */
export function queueContract(open: () => Promise<Store>): void {
  const filled = async (...rows: readonly Operation[]): Promise<Store> => {
    const store = await open();
    for (const each of rows) await store.insert(each);
    return store;
  };

  describe('the durable queue', () => {
    it('gives what is due, the earliest first, waiting or looked for, and nothing that has ended', async () => {
      const store = await filled(
        queued('second'),
        queued('first', { dueAtMs: NOW_MS - 5 }),
        queued('look', { state: 'unknown', handedOver: false, dueAtMs: NOW_MS - 1 }),
        queued('later', { dueAtMs: NOW_MS + 7 }),
        queued('person', { state: 'unknown', dueAtMs: null }),
        ...(['reserved', 'sent', 'succeeded', 'rejected', 'dead', 'redriving', 'discarded'] as const).map((state) =>
          queued(state, { state }),
        ),
      );
      const part = await store.queueDue(NOW_MS, null, 10);
      expect(part.rows.map(({ id }) => id)).toEqual(['first', 'look', 'second']);
      expect(part.rows[0]).toEqual({ id: 'first', lane: 'a', resource: null, dueAtMs: NOW_MS - 5 });
      expect([part.nextDueAtMs, part.afterLane]).toEqual([NOW_MS + 7, null]);
    });

    it('a lane with a thousand rows hides none of another', async () => {
      const many = Array.from({ length: 1000 }, (_, i) => queued(`a${i}`, { dueAtMs: NOW_MS - 9 }));
      const store = await filled(...many, queued('b', { lane: 'b' }));
      expect(await due(store, NOW_MS, 2)).toEqual(['a0', 'a1', 'b']);
    });

    it('of a resource only what no earlier row of the queue stands before', async () => {
      const resource = { resource: 'r' };
      const store = await filled(
        queued('1', { ...resource, dueAtMs: NOW_MS + 60_000 }),
        queued('2', resource),
        queued('3', { ...resource, lane: 'b' }),
        queued('other', { resource: 's' }),
      );
      expect(await due(store)).toEqual(['other']);
      for (const state of ['sent', 'unknown'] as const) {
        await store.change('1', { state, updatedAtMs: NOW_MS, dueAtMs: NOW_MS + 1 });
        expect(await due(store)).toEqual(['other']);
      }
      await store.change('1', { state: 'unknown', updatedAtMs: NOW_MS, dueAtMs: null });
      expect(await due(store)).toEqual(['2', 'other'].sort());
      expect([await store.queuedBefore('r'), await store.queuedBefore('t')]).toEqual([true, false]);
    });

    it('says how much is in it and since when', async () => {
      const store = await filled(
        queued('a', { createdAtMs: NOW_MS - 3000 }),
        queued('b'),
        queued('runs', { state: 'sent', dueAtMs: null, createdAtMs: NOW_MS - 4000 }),
        queued('live', { state: 'sent', handedOver: false, dueAtMs: null }),
        queued('look', { state: 'unknown', handedOver: false }),
        queued('person', { state: 'unknown', dueAtMs: null }),
        queued('over', { state: 'succeeded' }),
      );
      expect(await store.queueDepth()).toEqual({ rows: 3, oldestAtMs: NOW_MS - 4000 });
      expect(await (await filled()).queueDepth()).toEqual({ rows: 0, oldestAtMs: null });
    });
  });
}
