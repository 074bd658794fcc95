/** Opens what outlives the process, keys and store, and runs the jobs that work on it beside the calls. */

import { createRedriveJobs, type RedriveJobs, type RedriveJobsParts } from './assemble-redrive.ts';
import type { Settings } from './core/settings.ts';
import { type EvictionParts, runEviction } from './jobs/eviction.ts';
import { createQueue, type QueueParts } from './jobs/queue.ts';
import { createRecovery, type RecoveryParts } from './jobs/recovery.ts';
import { runRetention } from './jobs/retention.ts';
import type { Clock } from './ops/clock.ts';
import type { Events } from './ops/events.ts';
import { type Keys, openKeys } from './store/keys.ts';
import { openStore, type SqliteStore } from './store/sqlite.ts';

/** The ledger of one instance. */
export interface Ledger {
  readonly store: SqliteStore;
  readonly keys: Keys;
}

/**
 * Opens the ledger of a directory. Rejects with `DirectoryInUse` and `KeyFileError`, which only a person can put right; a
 * disk that is full or read-only gives a ledger that does not work, and a proxy that says so.
 */
export async function openLedger(settings: Settings, clock: Clock, events: Events): Promise<Ledger> {
  const keys = await openKeys(settings.data, settings.dataKeyFile);
  const onHealth = (fault: string | null): void => events.storeChanged(fault);
  return { store: await openStore({ directory: settings.data, keys, clock, onHealth }), keys };
}

/** The jobs of one instance. */
export interface LedgerJobs {
  readonly redrive: RedriveJobs;
  /** Takes up what an earlier process left; before the first call. Never rejects. */
  readonly restore: () => Promise<void>;
  /** Runs until the signal is aborted. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  /** Something was handed over. */
  readonly wakeQueue: () => void;
}

/** Creates the jobs; nothing happens before `restore`. */
export function createLedgerJobs(
  parts: RecoveryParts & EvictionParts & QueueParts & RedriveJobsParts,
  clock: Clock,
): LedgerJobs {
  const recovery = createRecovery(parts);
  const queue = createQueue(parts);
  const redrive = createRedriveJobs(parts, clock);
  return {
    redrive,
    restore: async () => {
      // First, for what it was sending is among what recovery holds and looks for.
      await redrive.redrives.release();
      await recovery.restore(clock);
      await redrive.restore();
    },
    wakeQueue: queue.wake,
    run: async (signal) => {
      await Promise.all([
        recovery.run(clock, signal),
        queue.run(clock, signal),
        redrive.redrives.run(signal),
        runRetention(parts, clock, signal),
        runEviction(parts, clock, signal),
      ]);
    },
  };
}
