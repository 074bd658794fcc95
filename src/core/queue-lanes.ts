/**
 * How many calls of the queue run at once (semantics §8): a window per lane that starts at one, doubles with every run that
 * got through and falls back to one with every run that did not, and a limit on all lanes together. Lanes in trouble may
 * take half of that at most, so that attempts which hang until their timeout starve nobody; and a restart with thousands
 * of calls that are long due begins gently, without a clock of its own. A lane whose calls were refused unsent (an open
 * breaker, a pause) stands still until the time they were told: each would only be refused again.
 */

/** Calls that run at once: all lanes, lanes in trouble, one lane. */
export const RUNNING_MAX = 64;
export const TROUBLED_MAX = 32;
export const LANE_MAX = 16;

/** How a run ended for its lane: it got through, it did not, or it was refused before anything was sent. */
export type LaneEnd = 'through' | 'failed' | 'refused';

interface Lane {
  running: number;
  window: number;
  inTrouble: boolean;
  /** Monotonic ms. */
  pausedUntilMs: number;
}

/** The lanes of one process. Those that are idle and well are forgotten. */
export class QueueLanes {
  readonly #lanes = new Map<string, Lane>();
  #running = 0;
  #troubled = 0;

  /** Calls that run. */
  get running(): number {
    return this.#running;
  }

  /** How many more of the lane may start now. */
  room(name: string, nowMs: number): number {
    const lane = this.#lanes.get(name);
    const all = RUNNING_MAX - this.#running;
    if (lane === undefined) return Math.min(1, all);
    if (lane.pausedUntilMs > nowMs) return 0;
    const allowed = lane.inTrouble ? Math.min(all, TROUBLED_MAX - this.#troubled) : all;
    return Math.max(Math.min(lane.window - lane.running, allowed), 0);
  }

  /** Calls of many lanes, in the order in which they get what room there is: those of lanes that have least of it first. */
  shared<T extends { readonly lane: string }>(calls: readonly T[]): readonly T[] {
    const taken = new Map<string, number>();
    const ranked = calls.map((call) => {
      const rank = taken.get(call.lane) ?? this.#lanes.get(call.lane)?.running ?? 0;
      taken.set(call.lane, rank + 1);
      return { call, rank };
    });
    return ranked.sort((a, b) => a.rank - b.rank).map(({ call }) => call);
  }

  /** When a lane that stands still goes on, monotonic ms; null when none does. */
  nextPauseOver(nowMs: number): number | null {
    let next: number | null = null;
    for (const { pausedUntilMs } of this.#lanes.values()) {
      if (pausedUntilMs > nowMs && (next === null || pausedUntilMs < next)) next = pausedUntilMs;
    }
    return next;
  }

  /** A call of the lane starts; only while there is room. */
  start(name: string): void {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = { running: 0, window: 1, inTrouble: false, pausedUntilMs: -Infinity };
      this.#lanes.set(name, lane);
    }
    lane.running += 1;
    this.#running += 1;
    if (lane.inTrouble) this.#troubled += 1;
  }

  /** A call that started has ended. `pauseMs` counts when it was refused. */
  end(name: string, how: LaneEnd, nowMs: number, pauseMs: number): void {
    const lane = this.#lanes.get(name);
    if (lane === undefined) return;
    if (lane.inTrouble) this.#troubled -= lane.running;
    lane.running -= 1;
    this.#running -= 1;
    lane.inTrouble = how !== 'through';
    lane.window = how === 'through' ? Math.min(lane.window * 2, LANE_MAX) : 1;
    if (how === 'refused') lane.pausedUntilMs = Math.max(lane.pausedUntilMs, nowMs + Math.min(pauseMs, PAUSE_MS_MAX));
    if (lane.inTrouble) this.#troubled += lane.running;
    if (lane.running === 0 && this.#lanes.size > LANES_KEPT_MAX) this.#forget(nowMs);
  }

  #forget(nowMs: number): void {
    for (const [name, { running, pausedUntilMs }] of this.#lanes) {
      if (running === 0 && pausedUntilMs <= nowMs) this.#lanes.delete(name);
    }
  }
}

const LANES_KEPT_MAX = 1000;
/** What keeps a lane may end early (a breaker closed by hand, a quota raised), and one refusal tells. */
const PAUSE_MS_MAX = 5000;
