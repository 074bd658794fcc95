import { Hono } from 'hono';
import type { Redrive, RedriveStore } from '../core/redrive.ts';
import type { PaceEvent } from '../core/redrive-pace.ts';
import type { Settings } from '../core/settings.ts';
import { deadLetterRoutes } from '../edge/admin-dead-letters.ts';
import { type RedriveControl, redriveRoutes } from '../edge/admin-redrives.ts';
import { ApiRefusal, mountRoutes } from '../edge/admin-route.ts';
import { Redrives } from '../jobs/redrives.ts';
import { systemClock } from '../ops/clock.ts';
import { Events } from '../ops/events.ts';
import { newId } from '../ops/ids.ts';
import { createLog } from '../ops/log.ts';
import { createMetrics } from '../ops/metrics.ts';
import { KeyFileError, openKeys } from '../store/keys.ts';
import { DirectoryInUse, openStore } from '../store/sqlite.ts';
import { DlqError } from './dlq-access.ts';

/** The queue's part of the admin API on a ledger that nobody runs. */
export interface Offline {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly close: () => Promise<void>;
}

const NOT_HERE =
  'No instance runs on this directory, so nothing can be sent: start holdfast serve, then redrive there.';

const refuse = (): never => {
  throw new ApiRefusal(409, NOT_HERE);
};

/** Takes the directory and opens its ledger. Throws `DlqError`. */
export async function openOffline(settings: Settings, version: string): Promise<Offline> {
  const { data: directory } = settings;
  const clock = systemClock;
  const { store, keys } = await opened(async () => {
    const found = await openKeys(directory, settings.dataKeyFile);
    return { keys: found, store: await openStore({ directory, keys: found, clock, onHealth: () => {} }) };
  });
  const { fault } = store.health();
  if (fault !== null) {
    await store.close();
    throw new DlqError(fault);
  }
  const events = new Events(createLog({ level: 'silent', redact: [] }, { write: () => {} }), createMetrics());
  const shared = { store, clock, events, settings: () => settings, newId: () => newId(clock) };
  const planner = new Redrives(
    {
      ...shared,
      events: events.redrives,
      redrives: store.redrives,
      enter: () => Promise.reject(new Error('nothing is sent here')),
      quotas: () => [],
      nameCredential: () => 'none',
    },
    clock,
  );
  const redrives: RedriveControl = {
    plan: (order) => planner.plan(order),
    start: refuse,
    turn: (id, event) => (event.kind === 'resume' ? refuse() : turned(store.redrives, id, event, clock.wall())),
    get: (id) => headOf(store.redrives, id),
    list: () => planner.list(),
    rows: (id, afterN, limit) => planner.rows(id, afterN, limit),
  };
  const app = new Hono();
  mountRoutes(app, [
    ...deadLetterRoutes({ ...shared, namesKey: keys.names }),
    ...redriveRoutes({ ...shared, redrives }),
  ]);
  app.onError((error, c) => {
    if (!(error instanceof ApiRefusal)) throw error;
    return c.json(
      { type: 'error.list', request_id: version, errors: [{ code: error.code, message: error.message }] },
      error.status,
    );
  });
  return { fetch: (request) => app.fetch(request), close: () => store.close() };
}

/** Written down, so that the next start does not let it go on. */
async function turned(redrives: RedriveStore, id: string, event: PaceEvent, nowMs: number): Promise<Redrive | null> {
  const head = await headOf(redrives, id);
  if (head === null) return null;
  const isPause = event.kind === 'pause';
  const state = isPause ? 'paused' : 'cancelled';
  const now: Redrive = { ...head, state, why: isPause ? event.why : null, updatedAtMs: nowMs };
  await redrives.put(now);
  return now;
}

/** With what its rows say: a head of a process that was killed may be older. */
async function headOf(redrives: RedriveStore, id: string): Promise<Redrive | null> {
  const head = await redrives.get(id);
  return head === null ? null : { ...head, counts: await redrives.counts(id) };
}

async function opened<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof DirectoryInUse) {
      throw new DlqError(`${error.message} Or reach the instance that runs: --admin, admin.listen.`);
    }
    if (error instanceof KeyFileError) throw new DlqError(error.message);
    throw error;
  }
}
