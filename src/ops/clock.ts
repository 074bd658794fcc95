/**
 * The only clock. Two times, never mixed: `now()` is monotonic and for waiting and measuring; `wall()` is for what is
 * stored, shown or sent. Tests drive a virtual one (test/support/virtual-clock.ts), so nothing in the suite sleeps.
 */

/** Cancels a timer; harmless when it has fired. */
export type CancelTimer = () => void;

/** Time, injected. */
export interface Clock {
  /** Monotonic, ms, with fractions. */
  now(): number;
  /** Epoch, ms. */
  wall(): number;
  /** Calls back once after `ms`; longer than 2^31-1 ms is cut to that, Infinity never fires. */
  timer(ms: number, callback: () => void): CancelTimer;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const nothing = (): void => {};

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer(ms, callback) {
    if (ms === Infinity) return nothing;
    const handle = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
    return () => clearTimeout(handle);
  },
};

/** How a sleep ended. */
export type SleepEnd = 'slept' | 'aborted';

/** Waits for `ms`, or until the signal is aborted. Leaves neither timer nor listener behind. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<SleepEnd> {
  if (signal.aborted) return Promise.resolve('aborted');
  return new Promise((resolve) => {
    const onAbort = (): void => {
      cancel();
      resolve('aborted');
    };
    const cancel = clock.timer(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve('slept');
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
