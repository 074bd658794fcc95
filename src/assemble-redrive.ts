/** Redrives of one instance, and what a breaker starts of them. */

import type { KeyObject } from 'node:crypto';
import type { OperatorEvent } from './core/notify.ts';
import type { Service } from './core/service.ts';
import type { Settings } from './core/settings.ts';
import type { QuotaStatus } from './core/status.ts';
import { CredentialRefs } from './edge/credential-ref.ts';
import { AutoRedrive } from './jobs/redrive-auto.ts';
import { Redrives } from './jobs/redrives.ts';
import type { Clock } from './ops/clock.ts';
import type { Events } from './ops/events.ts';
import type { SqliteStore } from './store/sqlite.ts';

/** What redrives are made of. */
export interface RedriveJobsParts {
  readonly store: SqliteStore;
  /** The key that names credentials. */
  readonly namesKey: KeyObject;
  readonly events: Events;
  readonly settings: () => Settings;
  readonly newId: () => string;
  /** The way into the stack that no client waits for. */
  readonly enter: Service;
  readonly quotas: () => readonly QuotaStatus[];
}

/** The job, and who hears of breakers. */
export interface RedriveJobs {
  readonly redrives: Redrives;
  /** Takes up what an earlier process left; before the first call. Never rejects. */
  readonly restore: () => Promise<void>;
  readonly take: (event: OperatorEvent) => void;
}

/** Creates them; nothing happens before `restore`. */
export function createRedriveJobs(parts: RedriveJobsParts, clock: Clock): RedriveJobs {
  const { store, settings, namesKey } = parts;
  const { redrives: events } = parts.events;
  const names = new CredentialRefs(namesKey);
  const nameCredential = (authorization: string): string => names.of(authorization).ref;
  const redrives = new Redrives({ ...parts, redrives: store.redrives, events, nameCredential }, clock);
  const auto = new AutoRedrive(
    {
      settings,
      store,
      start: (order) => redrives.start(order, null),
      keep: (gate) => store.keepGate(gate),
      bug: (error) => events.bug(error),
    },
    clock,
  );
  const restore = async (): Promise<void> => {
    await redrives.restore();
    // A store that cannot be read has been told of by then.
    auto.restore(await store.gates(clock.wall()).catch(() => []));
  };
  return { redrives, restore, take: (event) => auto.take(event) };
}
