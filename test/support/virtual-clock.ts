import type { CancelTimer, Clock } from '../../src/ops/clock.ts';

interface Timer {
  at: number;
  order: number;
  callback: () => void;
}

/** A clock that stands still until a test moves it. Wall time starts at 2026-01-01T00:00:00Z. */
export class VirtualClock implements Clock {
  #nowMs = 1000;
  #order = 0;
  #timers = new Set<Timer>();
  wallOffsetMs = Date.UTC(2026, 0, 1) - 1000;

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#nowMs + this.wallOffsetMs;
  }

  timer(ms: number, callback: () => void): CancelTimer {
    if (ms === Infinity) return () => {};
    const timer = { at: this.#nowMs + Math.max(ms, 0), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets all promise callbacks run that are ready. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Moves time on, firing timers in order, with promise callbacks run between them. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const next = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.callback();
      await this.settle();
    }
    this.#nowMs = end;
    await this.settle();
  }
}
