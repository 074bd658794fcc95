/**
 * Runs what was handed over (semantics §8), and looks later for lost creates whose index lags. The ledger says what is
 * due; here stands only what runs. Each lane has its window (`core/queue-lanes.ts`), each resource its order, and every run
 * enters the stack where calls like it find it. A run that did not get through has written when it is due again; one that
 * was refused unsent is left as it was, and its lane waits. A store that cannot be read stops nothing but this.
 */

import type { Exchange } from '../core/exchange.ts';
import type { Operation } from '../core/operation.ts';
import { exchangeOfOperation } from '../core/operation-exchange.ts';
import { type Outcome, streamOf } from '../core/outcome.ts';
import { LANE_MAX, type LaneEnd, QueueLanes } from '../core/queue-lanes.ts';
import type { DueRow, QueueStore } from '../core/queue-store.ts';
import type { Settings } from '../core/settings.ts';
import { type Store, StoreUnavailable } from '../core/store.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { QueueEvents } from '../ops/queue-events.ts';

/** What the job works on. */
export interface QueueParts {
  readonly store: Pick<Store, 'get'> & QueueStore;
  readonly events: Pick<Events, 'bug'>;
  readonly queueEvents: QueueEvents;
  readonly settings: () => Settings;
  readonly newId: () => string;
  /** Runs an operation that has its row, where calls like it find it; null when one of them runs it already. */
  readonly resume: (exchange: Exchange) => Promise<Outcome> | null;
}

/** The job. */
export interface Queue {
  /** There is something that may be due: looks now and not at the next time that it knows of. */
  readonly wake: () => void;
  /** Runs what is due until the signal is aborted; then what runs ends its waits and finishes. Never rejects. */
  readonly run: (clock: Clock, signal: AbortSignal) => Promise<void>;
}

/** Nobody waits for these. */
const PRIORITY = 7;
/** Rows that came to be due without a word are seen after this. */
const LOOK_AGAIN_MS = 2000;
/** Between wakes, so that a thousand hand-overs a second are not a thousand questions. */
const GATHER_MS = 5;
const REFUSED_PAUSE_MS = 1000;
/** Rows of one lane that are asked for: what runs is among them. */
const PER_LANE = LANE_MAX * 2;

/** Creates the job; nothing happens before `run`. */
export function createQueue(parts: QueueParts): Queue {
  let onWake: (() => void) | null = null;
  let woken = false;
  const wake = (): void => {
    woken = true;
    onWake?.();
  };
  return {
    wake,
    run: async (clock, signal) => {
      const runner = new Runner(parts, clock, signal, wake);
      while (!signal.aborted) {
        woken = false;
        const nextMs = await runner.startDue();
        if (signal.aborted) break;
        const pause = new AbortController();
        onWake = () => pause.abort();
        const stop = (): void => pause.abort();
        signal.addEventListener('abort', stop, { once: true });
        if (woken) pause.abort();
        await sleep(clock, nextMs, pause.signal);
        signal.removeEventListener('abort', stop);
        onWake = null;
        await sleep(clock, GATHER_MS, signal);
      }
      await runner.over();
    },
  };
}

interface Running {
  /** Null while its row is read. */
  exchange: Exchange | null;
  readonly ended: Promise<void>;
}

class Runner {
  readonly #parts: QueueParts;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #wake: () => void;
  readonly #lanes = new QueueLanes();
  readonly #running = new Map<string, Running>();
  readonly #resources = new Set<string>();

  constructor(parts: QueueParts, clock: Clock, signal: AbortSignal, wake: () => void) {
    this.#parts = parts;
    this.#clock = clock;
    this.#signal = signal;
    this.#wake = wake;
    signal.addEventListener('abort', () => this.#stop(), { once: true });
  }

  /** Starts what is due and has room; how long until it is worth looking again, ms. */
  async startDue(): Promise<number> {
    let waitMs = LOOK_AGAIN_MS;
    let afterLane: string | null = null;
    try {
      do {
        const nowMs = this.#clock.wall();
        const part = await this.#parts.store.queueDue(nowMs, afterLane, PER_LANE);
        if (this.#signal.aborted) return waitMs;
        for (const row of this.#lanes.shared(part.rows)) this.#startIfRoom(row);
        if (part.nextDueAtMs !== null) waitMs = Math.min(waitMs, part.nextDueAtMs - nowMs);
        ({ afterLane } = part);
      } while (afterLane !== null);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) this.#parts.events.bug(error, 'queue');
    }
    const now = this.#clock.now();
    const goesOnMs = this.#lanes.nextPauseOver(now);
    return Math.max(goesOnMs === null ? waitMs : Math.min(waitMs, goesOnMs - now), 1);
  }

  /** Resolves when nothing runs any more. */
  async over(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #stop(): void {
    for (const { exchange } of this.#running.values()) exchange?.cancel.abort('shutdown');
  }

  #startIfRoom(row: DueRow): void {
    const { id, lane, resource } = row;
    if (this.#running.has(id) || (resource !== null && this.#resources.has(resource))) return;
    if (this.#lanes.room(lane, this.#clock.now()) === 0) return;
    this.#lanes.start(lane);
    if (resource !== null) this.#resources.add(resource);
    const { promise, resolve } = Promise.withResolvers<void>();
    const running: Running = { exchange: null, ended: promise };
    this.#running.set(id, running);
    void this.#run(row, running).then(resolve);
  }

  async #run(row: DueRow, running: Running): Promise<void> {
    let how: LaneEnd = 'refused';
    let pauseMs = REFUSED_PAUSE_MS;
    try {
      const operation = await this.#parts.store.get(row.id);
      const exchange = isStillQueued(operation) ? this.#exchangeOf(operation) : null;
      if (exchange === null) how = 'through';
      else if (!this.#signal.aborted) {
        running.exchange = exchange;
        ({ how, pauseMs } = await this.#carryOut(exchange));
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) this.#parts.events.bug(error, 'queue');
    }
    this.#running.delete(row.id);
    if (row.resource !== null) this.#resources.delete(row.resource);
    this.#lanes.end(row.lane, how, this.#clock.now(), pauseMs);
    if (how !== 'refused') this.#wake();
  }

  async #carryOut(exchange: Exchange): Promise<{ how: LaneEnd; pauseMs: number }> {
    const before = exchange.attempts.length + exchange.looks.length;
    const early = await this.#parts.resume(exchange);
    // Its caller has just sent it again and runs it.
    if (early === null) return { how: 'refused', pauseMs: REFUSED_PAUSE_MS };
    const outcome = (await early.settled) ?? early;
    streamOf(outcome)?.discard();
    this.#parts.queueEvents.ran(exchange, outcome);
    const { verdict } = outcome;
    const pauseMs = Math.max(verdict.retryAfterMs ?? 0, REFUSED_PAUSE_MS);
    const wasTried = exchange.attempts.length + exchange.looks.length > before;
    if (!wasTried && outcome.kind === 'refused') return { how: 'refused', pauseMs };
    return { how: verdict.class === 'transient' || verdict.class === 'throttled' ? 'failed' : 'through', pauseMs };
  }

  #exchangeOf(operation: Operation): Exchange {
    const { method, target, handedOver, createdAtMs } = operation;
    const query = target.indexOf('?');
    const match = this.#parts.settings().match(method, query === -1 ? target : target.slice(0, query));
    const nowMs = this.#clock.now();
    const deadlineAtMs = nowMs + match.policy.timeout.totalMs;
    const id = this.#parts.newId();
    const exchange = exchangeOfOperation(operation, match, {
      id,
      nowMs,
      deadlineAtMs,
      priority: PRIORITY,
      lookOnly: false,
    });
    exchange.queue = { createdAtMs, stage: handedOver ? 'accepted' : 'look' };
    return exchange;
  }
}

/** Not cancelled, settled or taken up meanwhile. */
function isStillQueued(operation: Operation | null): operation is Operation {
  return (
    operation !== null && (operation.state === 'waiting' || operation.state === 'unknown') && operation.dueAtMs !== null
  );
}
