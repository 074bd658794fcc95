/**
 * Deletes what has expired: every minute, in small batches. Between batches it rests nine times as long as the last one
 * took, waiting in the store's queue included, so that live calls have at least nine tenths of the disk, and more when they
 * are many. One large delete would be over sooner and hold up every commit of that second.
 */

import { type Store, StoreUnavailable } from '../core/store.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

const EVERY_MS = 60_000;
const BATCH = 500;
const REST_RATIO = 9;
const REST_LEAST_MS = 50;

/** What the job works on. */
export interface RetentionParts {
  readonly store: Pick<Store, 'expire'>;
  readonly events: Pick<Events, 'bug'>;
}

/** Deletes expired rows until the signal is aborted. Never rejects; a store that cannot be written is tried again later. */
export async function runRetention(
  { store, events }: RetentionParts,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let waitMs = EVERY_MS;
  while ((await sleep(clock, waitMs, signal)) === 'slept') {
    const startedAtMs = clock.now();
    waitMs = EVERY_MS;
    try {
      const deleted = await store.expire(clock.wall(), BATCH);
      if (deleted >= BATCH) waitMs = Math.max(REST_LEAST_MS, (clock.now() - startedAtMs) * REST_RATIO);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) events.bug(error, 'retention');
    }
  }
}
