import { type Clock, systemClock } from '../../src/ops/clock.ts';

/**
 * Real time, run faster: seconds of backoff and of server wishes pass in tenths, over real sockets. Everything that is
 * compared (both ends of the proxy) has to read the same one.
 */
export class FastClock implements Clock {
  readonly #speed: number;
  readonly #startedAtMs = systemClock.now();
  readonly #wallAtStartMs = Date.UTC(2026, 0, 1);

  constructor(speed: number) {
    this.#speed = speed;
  }

  now(): number {
    return (systemClock.now() - this.#startedAtMs) * this.#speed;
  }

  wall(): number {
    return this.#wallAtStartMs + this.now();
  }

  timer(ms: number, callback: () => void): () => void {
    return systemClock.timer(ms / this.#speed, callback);
  }

  /** Resolves when this clock's wall time is past `epochMs`. */
  async past(epochMs: number): Promise<void> {
    while (this.wall() <= epochMs) {
      await new Promise<void>((resolve) => void this.timer(epochMs - this.wall() + 1, resolve));
    }
  }
}
