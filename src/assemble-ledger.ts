/** Opens what outlives the process, keys and store, and runs the jobs that work on it beside the calls. */

import type { Settings } from './core/settings.ts';
import type { Store } from './core/store.ts';
import { type EvictionParts, runEviction } from './jobs/eviction.ts';
import { createRecovery, type RecoveryParts } from './jobs/recovery.ts';
import { runRetention } from './jobs/retention.ts';
import type { Clock } from './ops/clock.ts';
import type { Events } from './ops/events.ts';
import { type Keys, openKeys } from './store/keys.ts';
import { openStore } from './store/sqlite.ts';

/** The ledger of one instance. */
export interface Ledger {
  readonly store: Store;
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
  /** Takes up what an earlier process left; before the first call. Never rejects. */
  readonly restore: () => Promise<void>;
  /** Runs until the signal is aborted. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Creates the jobs; nothing happens before `restore`. */
export function createLedgerJobs(
  parts: RecoveryParts & EvictionParts & { readonly store: Store },
  clock: Clock,
): LedgerJobs {
  const recovery = createRecovery(parts);
  return {
    restore: () => recovery.restore(clock),
    run: async (signal) => {
      await Promise.all([
        recovery.run(clock, signal),
        runRetention(parts, clock, signal),
        runEviction(parts, clock, signal),
      ]);
    },
  };
}
