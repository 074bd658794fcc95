import { expect, it } from 'vitest';
import type { Settings } from '../../src/core/settings.ts';
import { runEviction } from '../../src/jobs/eviction.ts';
import { dead } from '../store/dead-contract.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const DAY_MS = 86_400_000;

async function rig(limits: Partial<Settings['deadLetters']>, rows: number) {
  const clock = new VirtualClock();
  const store = new MemoryStore();
  for (let i = 0; i < rows; i++) await store.keepDead(dead({ id: `row-${i}`, deadAtMs: clock.wall() }));
  const recorded = recordedEvents();
  const stopping = new AbortController();
  const deadLetters = { retainMs: DAY_MS, maxEntries: 1000, maxBytes: 1e9, autoRedrive: false, ...limits };
  const counted: number[] = [];
  const ended = runEviction(
    {
      store,
      events: recorded.events,
      settings: () => ({ deadLetters }) as unknown as Settings,
      counted: (counts) => void counted.push(counts.reduce((sum, count) => sum + count.rows, 0)),
    },
    clock,
    stopping.signal,
  );
  return { ...recorded, clock, store, stopping, ended, counted };
}

it('§9: takes the oldest over the bound, counted and logged before they go', async () => {
  const r = await rig({ maxEntries: 3 }, 5);
  await r.clock.advance(1000);
  expect(r.store.rows().map(({ id }) => id)).toEqual(['row-2', 'row-3', 'row-4']);
  expect(r.named('dead_letters_evicted')).toMatchObject([{ reason: 'count', count: 2 }]);
  expect(r.counted).toEqual([3]);
  r.stopping.abort();
  await r.ended;
  expect(r.clock.pending).toBe(0);
});

it('§9: takes what has been dead for longer than it is retained', async () => {
  const r = await rig({}, 2);
  await r.clock.advance(DAY_MS - 60_000);
  expect(r.store.rows()).toHaveLength(2);
  await r.clock.advance(120_000);
  expect(r.store.rows()).toEqual([]);
  r.stopping.abort();
  await r.ended;
});

it('tries again when the store was unavailable', async () => {
  const r = await rig({ maxEntries: 1 }, 2);
  r.store.fault = 'disk full';
  await r.clock.advance(1000);
  r.store.fault = null;
  await r.clock.advance(10_000);
  expect(r.store.rows()).toHaveLength(1);
  expect(r.named('bug')).toEqual([]);
  r.stopping.abort();
  await r.ended;
});
