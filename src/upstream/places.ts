import type { Cancellable, ReleaseConnection } from '../core/wire.ts';

interface Waiter {
  readonly grant: (release: ReleaseConnection | null) => void;
}

/**
 * The places of `upstream.connections`, given out first come, first served. They are our own and not undici's queue,
 * because what waits in there can neither be aborted nor timed.
 */
export class Places {
  #free: number;
  readonly #waiting = new Set<Waiter>();

  constructor(total: number) {
    this.#free = total;
  }

  /** Calls that wait in line. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a free place at once, or waits for one; null when `cancel` came first. */
  take(cancel: Cancellable): ReleaseConnection | Promise<ReleaseConnection | null> {
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#place();
    }
    const { signal } = cancel;
    if (signal.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        resolve(null);
      };
      const waiter: Waiter = {
        grant: (release) => {
          signal.removeEventListener('abort', leave);
          resolve(release);
        },
      };
      this.#waiting.add(waiter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #place(): ReleaseConnection {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = this.#waiting;
      if (next === undefined) {
        this.#free += 1;
        return;
      }
      this.#waiting.delete(next);
      next.grant(this.#place());
    };
  }
}
