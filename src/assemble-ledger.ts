/** Opens what outlives the process, keys and store, and runs the jobs that work on it beside the calls. */

import { createRedriveJobs, type RedriveJobs, type RedriveJobsParts } from './assemble-redrive.ts';
import type { Settings } from './core/settings.ts';
import { type EvictionParts, runEviction } from './jobs/eviction.ts';
import { createQueue, type QueueParts } from './jobs/queue.ts';
import { createRecovery, type RecoveryParts } from './jobs/recovery.ts';
import { runRetention } from './jobs/retention.ts';
import { type Clock, sleep } from './ops/clock.ts';
import type { Events } from './ops/events.ts';
import { type Keys, openKeys } from './store/keys.ts';
import { openStore, type SqliteStore } from './store/sqlite.ts';

/** How often a ledger that could not be read at the start is tried. */
const TAKE_UP_AGAIN_MS = 1000;

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
  /** Takes up what an earlier process left; before the first call, or, when it cannot be read then, once it can. Never rejects. */
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
  let restored = false;
  /** False: it cannot be read now. */
  const takeUp = async (): Promise<boolean> => {
    // First, for what it was sending is among what recovery holds and looks for.
    await redrive.redrives.release();
    const isTaken = await recovery.restore(clock);
    if (isTaken) await redrive.restore();
    return isTaken;
  };
  const recover = async (signal: AbortSignal): Promise<void> => {
    let isTaken = restored;
    while (!isTaken && (await sleep(clock, TAKE_UP_AGAIN_MS, signal)) === 'slept') {
      isTaken = parts.store.health().healthy && (await takeUp());
    }
    await recovery.run(clock, signal);
  };
  return {
    redrive,
    restore: async () => {
      restored = await takeUp();
    },
    wakeQueue: queue.wake,
    run: async (signal) => {
      await Promise.all([
        recover(signal),
        queue.run(clock, signal),
        redrive.redrives.run(signal),
        runRetention(parts, clock, signal),
        runEviction(parts, clock, signal),
      ]);
    },
  };
}
