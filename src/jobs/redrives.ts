/**
 * All redrives of an instance: plans, starts, steers and resumes them. What a filter means is written down as a list before
 * the first row goes, so that a redrive is about the rows that its operator saw. Two orders for the same rows are one
 * redrive while the first is not over. After a start the ones that were cut off go on by themselves; those that were
 * given a credential wait for it, because it was never written down.
 */

import type { DeadFilter } from '../core/dead-letters.ts';
import { isDetectable } from '../core/recovery.ts';
import {
  askedAtMs,
  countRows,
  EMPTY_PLAN,
  keptFilter,
  NO_COUNTS,
  REDRIVEN_STATES,
  type Redrive,
  type RedriveForecast,
  type RedriveOrder,
  type RedriveRow,
  ratePerSecond,
  redriveHash,
} from '../core/redrive.ts';
import { releasedChange } from '../core/redrive-ending.ts';
import type { PaceEvent } from '../core/redrive-pace.ts';
import { type Store, StoreUnavailable } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import { RedriveRun, type RedriveRunParts } from './redrive-run.ts';

/** What redrives are made of. */
export interface RedrivesParts extends RedriveRunParts {
  readonly store: Pick<Store, 'get' | 'byKey' | 'change' | 'listDead'>;
}

/** How a start ended. `known`: the same redrive is under way already. Null: nothing to run. */
export interface Started {
  readonly redrive: Redrive | null;
  readonly known: boolean;
  readonly forecast: RedriveForecast;
}

const PAGE = 1000;
const LIST_MAX = 200;

/** The redrives of one instance. */
export class Redrives {
  readonly #parts: RedrivesParts;
  readonly #clock: Clock;
  readonly #runs = new Map<string, RedriveRun>();
  readonly #starting = new Map<string, Promise<Started>>();
  readonly #over = new Set<Promise<void>>();
  #signal: AbortSignal | null = null;
  #restored = false;

  constructor(parts: RedrivesParts, clock: Clock) {
    this.#parts = parts;
    this.#clock = clock;
  }

  /** What an order would do. */
  async plan(order: RedriveOrder): Promise<RedriveForecast> {
    return (await this.#survey(order)).forecast;
  }

  /** Begins. Rejects with `StoreUnavailable`. */
  start(order: RedriveOrder, credential: string | null): Promise<Started> {
    const hash = redriveHash(order.filter);
    const starting = this.#starting.get(hash);
    if (starting !== undefined) return starting.then((first) => ({ ...first, known: first.redrive !== null }));
    const started = this.#start(order, hash, credential).finally(() => this.#starting.delete(hash));
    this.#starting.set(hash, started);
    return started;
  }

  async #start(order: RedriveOrder, hash: string, credential: string | null): Promise<Started> {
    // Rows that an earlier process had on the wire are not told apart from rows of this one before that.
    if (!this.#restored) throw new StoreUnavailable('The ledger is still being taken up. Try again in a second.');
    const { forecast, ids } = await this.#survey(order);
    const same = [...this.#runs.values()].find((run) => run.show().hash === hash && !run.over);
    if (same !== undefined) return { redrive: same.show(), known: true, forecast };
    if (ids.length === 0) return { redrive: null, known: false, forecast };
    const { redrives, newId, events } = this.#parts;
    const nowMs = this.#clock.wall();
    const redrive: Redrive = {
      ...order,
      filter: keptFilter(order.filter),
      id: newId(),
      hash,
      state: 'running',
      why: null,
      ownCredential: credential !== null,
      rows: ids.length,
      counts: NO_COUNTS,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
    await Promise.all([redrives.put(redrive), redrives.addRows(redrive.id, ids)]);
    events.changed(redrive);
    this.#launch(redrive, credential);
    return { redrive, known: false, forecast };
  }

  /** As it is now; null when there is none. */
  async get(id: string): Promise<Redrive | null> {
    return this.#runs.get(id)?.show() ?? this.#parts.redrives.get(id);
  }

  /** Newest first. */
  async list(): Promise<readonly Redrive[]> {
    const kept = await this.#parts.redrives.list(LIST_MAX);
    return kept.map((redrive) => this.#runs.get(redrive.id)?.show() ?? redrive);
  }

  /** Its rows in order, those after `afterN`. */
  rows(id: string, afterN: number, limit: number): Promise<readonly RedriveRow[]> {
    return this.#parts.redrives.rows(id, afterN, limit, false);
  }

  /** Steers one; as it is then, or null when there is none. */
  async turn(id: string, event: PaceEvent, credential: string | null = null): Promise<Redrive | null> {
    const run = this.#runs.get(id);
    const wanting = run?.show();
    if (event.kind === 'resume' && credential === null && wanting?.ownCredential && wanting.why === CREDENTIAL_WANTED) {
      return wanting;
    }
    await run?.turn(event, credential);
    return this.get(id);
  }

  /** Takes up what was not over; nothing begins before. Never rejects. */
  async restore(): Promise<void> {
    const { redrives, events } = this.#parts;
    this.#restored = true;
    try {
      for (const redrive of await redrives.list(LIST_MAX)) {
        if (redrive.state !== 'running' && redrive.state !== 'paused') continue;
        const complete = (await redrives.rows(redrive.id, redrive.rows - 1, 1, false)).length === 1;
        if (!complete) {
          // It was cut off while its list was written: nobody was told of it.
          await redrives.remove(redrive.id);
          continue;
        }
        const counts = await redrives.counts(redrive.id);
        const paused = redrive.ownCredential ? ({ state: 'paused', why: CREDENTIAL_WANTED } as const) : {};
        this.#launch({ ...redrive, counts, ...paused }, null);
      }
    } catch (error) {
      events.notRestored(error instanceof Error ? error.message : String(error));
    }
  }

  /** Runs what there is until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    for (const [id, run] of this.#runs) this.#follow(id, run);
    if (!signal.aborted) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    }
    await Promise.all(this.#over);
  }

  #launch(redrive: Redrive, credential: string | null): void {
    const run = new RedriveRun(this.#parts, this.#clock, redrive, credential);
    this.#runs.set(redrive.id, run);
    this.#follow(redrive.id, run);
  }

  #follow(id: string, run: RedriveRun): void {
    if (this.#signal === null) return;
    const over = run.run(this.#signal).finally(() => {
      this.#over.delete(over);
      if (run.over) this.#runs.delete(id);
    });
    this.#over.add(over);
  }

  /** Rows that were taken are dead or in doubt again, before anybody else looks for what is. Never rejects. */
  async release(): Promise<void> {
    const { store, events } = this.#parts;
    try {
      for (let cursor: number | null = null; ; ) {
        const page = await store.listDead({ states: ['redriving'] }, cursor, PAGE);
        await Promise.all(page.letters.map(({ id }) => this.#releaseRow(id)));
        if (page.next === null) return;
        cursor = page.next;
      }
    } catch (error) {
      events.notRestored(error instanceof Error ? error.message : String(error));
    }
  }

  async #releaseRow(id: string): Promise<void> {
    const { store } = this.#parts;
    const row = await store.get(id);
    if (row === null) return;
    const change = releasedChange(row, this.#clock.wall());
    await store.change(id, change, ['redriving']);
  }

  /** What is meant, oldest first, and what it takes. */
  async #survey(order: RedriveOrder): Promise<{ forecast: RedriveForecast; ids: string[] }> {
    const { store, settings } = this.#parts;
    const { force, velocity } = order;
    const rules = { force, maxAgeMs: settings().redrive.maxAgeMs, nowMs: this.#clock.wall() };
    let plan = EMPTY_PLAN;
    const rows: { readonly id: string; readonly askedAtMs: number }[] = [];
    const tokens = new Set<string>();
    for (const filter of partsOf(meaning(order.filter))) {
      for (let cursor: number | null = null; ; ) {
        const page = await store.listDead(filter, cursor, PAGE);
        plan = countRows(plan, page.letters, rules, ({ method, target }) =>
          isDetectable(settings().match(method, target.split('?')[0] as string).policy),
        );
        for (const letter of page.letters) {
          rows.push({ id: letter.id, askedAtMs: askedAtMs(letter) });
          tokens.add(letter.credentialRef);
        }
        if (page.next === null) break;
        cursor = page.next;
      }
    }
    // As they were asked for; they died in another order. Those of one moment in the order in which they died.
    const ids = rows
      .reverse()
      .sort((a, b) => a.askedAtMs - b.askedAtMs)
      .map(({ id }) => id);
    const limits = this.#parts
      .quotas()
      .flatMap(({ token, limit }) => (limit !== null && tokens.has(token) ? [limit] : []));
    const perSecond = ratePerSecond(velocity, limits.length === 0 ? null : Math.min(...limits));
    const known = new Set(ids);
    const missing = (order.filter.ids ?? []).filter((id) => !known.has(id));
    const cost = { calls: plan.run, perSecond, seconds: Math.ceil(plan.run / perSecond) };
    return { forecast: { ...plan, ...cost, missing }, ids };
  }
}

const CREDENTIAL_WANTED = 'the process was started again: resume it with its credential';

/** Many ids are asked for in parts, or each page would look all of them up. */
function partsOf(filter: DeadFilter): DeadFilter[] {
  const { ids } = filter;
  if (ids === undefined) return [filter];
  const parts: DeadFilter[] = [];
  for (let from = 0; from < ids.length; from += PAGE) parts.push({ ...filter, ids: ids.slice(from, from + PAGE) });
  return parts;
}

/** The filter over the states that a redrive looks at. */
function meaning(filter: DeadFilter): DeadFilter {
  const states = REDRIVEN_STATES.filter((state) => filter.states?.includes(state) ?? true);
  return { ...filter, states };
}
