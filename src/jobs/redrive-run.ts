/**
 * One redrive on its way: takes rows in order, no faster than its share of their token's quota, no two of one resource at
 * once, and watches how they end (`core/redrive-pace.ts`). Everything that outlives the process is in the ledger; what is
 * here is only how fast and how far.
 */

import {
  type Redrive,
  type RedriveRow,
  type RedriveState,
  type RedriveStore,
  type RowResult,
  ratePerSecond,
} from '../core/redrive.ts';
import { beginPace, nextPace, type Pace, type PaceEvent, roomOf } from '../core/redrive-pace.ts';
import type { QuotaStatus } from '../core/status.ts';
import { StoreUnavailable } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import type { RedriveEvents } from '../ops/redrive-events.ts';
import type { RowLater } from './redrive-later.ts';
import { type ReadyRow, type RedriveRowParts, RedriveRows, type RowEnd } from './redrive-row.ts';

/** What a run is made of. */
export interface RedriveRunParts extends RedriveRowParts {
  readonly redrives: RedriveStore;
  readonly quotas: () => readonly QuotaStatus[];
  readonly events: RedriveEvents;
}

const AT_ONCE_MAX = 16;
const PAGE = 200;
/** Between two looks at the rows that somebody else runs, and how many there are: longer than any call lasts. */
const ASIDE_MS = 1000;
const ASIDE_ROUNDS_MAX = 300;
/** Between two looks at a quota that has no slot. */
const SLOT_LEAST_MS = 50;
const SLOT_MOST_MS = 1000;
/** Rows that may go together after a pause of the event loop, so that the rate is kept. */
const BURST_MS = 200;

/** A redrive that is not over. */
export class RedriveRun {
  readonly #parts: RedriveRunParts;
  readonly #clock: Clock;
  readonly #head: Redrive;
  readonly #counts: Record<RowResult, number>;
  #credential: string | null;
  #pace: Pace;
  #updatedAtMs: number;
  readonly #running = new Set<ReadyRow>();
  #page: RedriveRow[] = [];
  #afterN = 0;
  /** Rows that somebody else runs: what became of them is asked last. */
  readonly #aside: RedriveRow[] = [];
  #asideRounds = 0;
  /** Monotonic ms: when the next row may go. */
  #freeAtMs = 0;
  #wake: () => void = () => {};
  /** What holds it up while it runs. */
  #delayed: string | null = null;

  constructor(parts: RedriveRunParts, clock: Clock, redrive: Redrive, credential: string | null) {
    this.#parts = parts;
    this.#clock = clock;
    this.#head = redrive;
    this.#counts = { ...redrive.counts };
    this.#credential = credential;
    this.#updatedAtMs = redrive.updatedAtMs;
    this.#pace =
      redrive.state === 'paused'
        ? { kind: 'paused', by: 'person', why: redrive.why ?? '' }
        : beginPace(Math.min(redrive.canary, redrive.rows));
  }

  /** As it is now. */
  show(): Redrive {
    const why = this.#pace.kind === 'paused' ? this.#pace.why : this.over ? null : this.#delayed;
    return {
      ...this.#head,
      state: stateOf(this.#pace),
      why,
      counts: { ...this.#counts },
      updatedAtMs: this.#updatedAtMs,
    };
  }

  get over(): boolean {
    return this.#pace.kind === 'done' || this.#pace.kind === 'cancelled';
  }

  /** Changes its course; resolves when that is durable. */
  async turn(event: PaceEvent, credential: string | null = null): Promise<void> {
    if (credential !== null) this.#credential = credential;
    const before = stateOf(this.#pace);
    this.#pace = nextPace(this.#pace, event, Math.min(this.#head.canary, this.#head.rows));
    this.#wake();
    if (stateOf(this.#pace) === before) return;
    this.#updatedAtMs = this.#clock.wall();
    this.#parts.events.changed(this.show());
    await this.#parts.redrives.put(this.show());
  }

  /** Runs until it is over or the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      for (const { exchange } of this.#running) exchange.cancel.abort('shutdown');
      this.#wake();
    };
    signal.addEventListener('abort', stop, { once: true });
    while (!signal.aborted && !this.over) {
      try {
        await this.#step();
      } catch (error) {
        await this.#stumble(error);
      }
    }
    while (this.#running.size > 0) await this.#wait(Infinity);
    signal.removeEventListener('abort', stop);
    if (!signal.aborted) await this.#parts.redrives.put(this.show()).catch(noop);
  }

  async #step(): Promise<void> {
    const settled = Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
    // Also when it is paused: the last row may have been the one that stopped it.
    if (settled === this.#head.rows && this.#running.size === 0) return this.turn({ kind: 'emptied' });
    const room = roomOf(this.#pace, AT_ONCE_MAX);
    if (room === 0 || this.#running.size >= room) return this.#wait(Infinity);
    const row = await this.#next();
    if (row === null) return this.#running.size > 0 ? this.#wait(Infinity) : this.turn({ kind: 'emptied' });
    const waitMs = this.#freeAtMs - this.#clock.now();
    if (waitMs > 0) return this.#wait(waitMs);
    // Made anew each time: a credential may have come with a resume.
    const rows = new RedriveRows(this.#parts, this.#clock, this.#head, this.#credential);
    const found = await rows.look(row);
    if ('result' in found) return this.#ended(row, found);
    if ('aside' in found) return this.#elsewhere(rows, row);
    // Looked at again when that has ended: it may have made this one needless.
    if (this.#isBusy(found.resource)) return this.#wait(Infinity);
    // Nor does a taken one wait for a slot behind the live calls, one of which may be newer.
    const noSlotMs = this.#noSlotForMs(found.exchange);
    if (noSlotMs > 0) {
      this.#delayed = 'waits: quota';
      return this.#wait(noSlotMs);
    }
    const hindrance = await rows.take(found);
    if (hindrance !== null) return 'result' in hindrance ? this.#ended(row, hindrance) : this.#elsewhere(rows, row);
    this.#spend(found.exchange.credentialRef);
    this.#drop(row);
    this.#running.add(found);
    void this.#run(rows, found);
  }

  async #run(rows: RedriveRows, taken: ReadyRow): Promise<void> {
    try {
      const end = await rows.run(taken).catch((error: unknown) => {
        // It has no result; how it is now is asked when the redrive is resumed.
        this.#aside.push(taken.row);
        throw error;
      });
      if ('result' in end) await this.#note(end);
      else this.#postpone(taken.row, end);
    } catch (error) {
      await this.#stumble(error);
    } finally {
      this.#running.delete(taken);
      this.#wake();
    }
  }

  /** What became of a row that somebody else runs is asked later, and not for ever. */
  async #elsewhere(rows: RedriveRows, row: RedriveRow): Promise<void> {
    if (this.#asideRounds > ASIDE_ROUNDS_MAX) return this.#ended(row, await rows.giveUp(row));
    this.#drop(row);
    this.#aside.push(row);
  }

  /** It is not the first any more when one was postponed meanwhile. */
  #drop(row: RedriveRow): void {
    this.#page.splice(this.#page.indexOf(row), 1);
    this.#afterN = Math.max(this.#afterN, row.n);
  }

  /** Nothing goes for a while, and this row then is among the first. */
  #postpone(row: RedriveRow, { why, afterMs }: RowLater): void {
    this.#page.push(row);
    this.#page.sort((a, b) => a.n - b.n);
    this.#freeAtMs = Math.max(this.#freeAtMs, this.#clock.now() + afterMs);
    this.#delayed = why;
  }

  /** A row that was not tried. */
  async #ended(row: RedriveRow, end: RowEnd): Promise<void> {
    this.#drop(row);
    await this.#note(end);
  }

  async #note({ result, failed }: RowEnd): Promise<void> {
    this.#delayed = null;
    this.#counts[result] += 1;
    this.#updatedAtMs = this.#clock.wall();
    this.#parts.events.row(result);
    await this.turn({ kind: 'row', failed });
  }

  /** A ledger that does not work stops it: what cannot be written down must not be sent. */
  async #stumble(error: unknown): Promise<void> {
    if (!(error instanceof StoreUnavailable)) this.#parts.events.bug(error);
    const why = error instanceof Error ? error.message : String(error);
    try {
      await this.turn({ kind: 'pause', by: 'store', why });
    } catch {
      // It is paused all the same, and says so.
    }
  }

  /** Another row of the same resource is under way: they go in their order. */
  #isBusy(resource: string | null): boolean {
    return resource !== null && [...this.#running].some((each) => each.resource === resource);
  }

  async #next(): Promise<RedriveRow | null> {
    if (this.#page.length === 0) {
      this.#page = [...(await this.#parts.redrives.rows(this.#head.id, this.#afterN, PAGE, true))];
    }
    if (this.#page.length === 0 && this.#aside.length > 0) {
      this.#page = this.#aside.splice(0);
      this.#asideRounds += 1;
      this.#freeAtMs = Math.max(this.#freeAtMs, this.#clock.now() + ASIDE_MS);
    }
    return this.#page[0] ?? null;
  }

  /** How long until it is worth asking again; 0: there is a slot. */
  #noSlotForMs({ credentialRef, policy }: ReadyRow['exchange']): number {
    const quota = this.#parts.quotas().find(({ token }) => token === credentialRef);
    if (quota === undefined) return 0;
    const { remaining, resetSeconds, pausedSeconds, pausedEndpoints, waiting } = quota;
    const spent = remaining === 0 ? (resetSeconds ?? 0) : 0;
    const ms = Math.max(spent, pausedSeconds, pausedEndpoints[policy.name] ?? 0) * 1000;
    return ms > 0 ? Math.min(Math.max(ms, SLOT_LEAST_MS), SLOT_MOST_MS) : waiting > 0 ? SLOT_LEAST_MS : 0;
  }

  #spend(credentialRef: string): void {
    const limit = this.#parts.quotas().find(({ token }) => token === credentialRef)?.limit ?? null;
    const nowMs = this.#clock.now();
    const rate = ratePerSecond(this.#head.velocity, limit);
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - BURST_MS) + 1000 / rate;
  }

  /** Until something changes, or so long. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.timer(ms, () => this.#wake());
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

function stateOf({ kind }: Pace): RedriveState {
  return kind === 'canary' || kind === 'full' ? 'running' : kind;
}

const noop = (): void => {};
