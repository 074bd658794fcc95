/**
 * Keeps the dead letters within `dead_letters.retain`, `max_entries` and `max_bytes`, and counts them for those who must not
 * ask the store. What is to go is counted and logged before it goes. Like retention it works in small batches and rests
 * between them, so that live calls have most of the disk.
 */

import type { DeadCount } from '../core/dead-letters.ts';
import type { Settings } from '../core/settings.ts';
import { type Store, StoreUnavailable } from '../core/store.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

const EVERY_MS = 10_000;
const BATCH = 50;
const REST_RATIO = 4;
const REST_LEAST_MS = 20;

/** What the job works on. */
export interface EvictionParts {
  readonly store: Pick<Store, 'evictable' | 'evict' | 'countDead'>;
  readonly settings: () => Settings;
  readonly events: Pick<Events, 'bug' | 'deadLetters'>;
  /** Told how many there are, every time they were counted. */
  readonly counted: (counts: readonly DeadCount[]) => void;
}

/** Evicts until the signal is aborted. Never rejects; a store that cannot be written is tried again later. */
export async function runEviction(parts: EvictionParts, clock: Clock, signal: AbortSignal): Promise<void> {
  let waitMs = 0;
  while ((await sleep(clock, waitMs, signal)) === 'slept') {
    const startedAtMs = clock.now();
    waitMs = EVERY_MS;
    try {
      const more = await evictSome(parts, clock);
      if (more) waitMs = Math.max(REST_LEAST_MS, (clock.now() - startedAtMs) * REST_RATIO);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) parts.events.bug(error, 'eviction');
    }
  }
}

/** Whether more may have to go. */
async function evictSome({ store, settings, events, counted }: EvictionParts, clock: Clock): Promise<boolean> {
  const { retainMs, maxEntries, maxBytes } = settings().deadLetters;
  const limits = { beforeMs: clock.wall() - retainMs, maxEntries, maxBytes };
  const rows = await store.evictable(limits, BATCH);
  for (const why of ['age', 'count', 'bytes'] as const) {
    const count = rows.filter((row) => row.why === why).length;
    if (count > 0) events.deadLetters.evicting(why, count);
  }
  if (rows.length > 0) await store.evict(rows.map(({ id }) => id));
  counted(await store.countDead());
  return rows.length === BATCH;
}
