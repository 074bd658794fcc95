/**
 * One call's wait for the run of another: until that ends, the time is up, or the call itself is given up. Not a race of
 * promises, which would leave a reaction behind on every run that somebody stopped waiting for: a hundred callers that
 * time out every second on one hung upstream would pile up closures until it answers.
 */

import { type Exchange, noteWait } from '../core/exchange.ts';
import type { Refused } from '../core/outcome.ts';
import { roomFull, type WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import { refusal } from './idempotency-answer.ts';

/** What waiting needs. */
export interface WaitParts {
  readonly clock: Clock;
  readonly waiting: WaitingRoom;
}

/** An end that many may wait for. */
export class Awaited<T> {
  readonly #waiters = new Set<(value: T) => void>();

  constructor(promise: Promise<T>) {
    void this.#follow(promise);
  }

  /** Calls back at the end, unless it was taken back before. */
  add(waiter: (value: T) => void): () => void {
    this.#waiters.add(waiter);
    return () => void this.#waiters.delete(waiter);
  }

  async #follow(promise: Promise<T>): Promise<void> {
    const value = await promise;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(value);
  }
}

/** How a wait ended: with the value, or with what the call is told that waited for nothing. */
export type WaitEnd<T> = { readonly value: T } | { readonly refused: Refused | null };

/**
 * Waits in the waiting room until `lastMs` (monotonic). `refused` is null when the time is up: the caller says what that
 * means. With `attended` the time is also up when the client closes its side, since nobody may be there any more.
 */
export async function waitFor<T>(
  parts: WaitParts,
  exchange: Exchange,
  awaited: Awaited<T>,
  lastMs: number,
  attended = false,
): Promise<WaitEnd<T>> {
  const { clock, waiting } = parts;
  const { signal } = exchange.cancel;
  if (signal.aborted) return { refused: givenUp(signal) };
  if (attended && exchange.inputEnded) return { refused: null };
  if (!waiting.enter(exchange)) return { refused: roomFull('idempotency') };
  const startedAtMs = clock.now();
  const end = await new Promise<WaitEnd<T>>((resolve) => {
    const over = (how: WaitEnd<T>): void => {
      takeBack();
      cancelTimer();
      signal.removeEventListener('abort', onAbort);
      if (attended) exchange.onInputEnded = null;
      resolve(how);
    };
    const onAbort = (): void => over({ refused: givenUp(signal) });
    const takeBack = awaited.add((value) => over({ value }));
    const cancelTimer = clock.timer(lastMs - startedAtMs, () => over({ refused: null }));
    signal.addEventListener('abort', onAbort, { once: true });
    if (attended) exchange.onInputEnded = () => over({ refused: null });
  });
  waiting.leave();
  noteWait(exchange, clock.now() - startedAtMs, 'idempotency');
  return end;
}

/** The client left, or the process stops. Nothing was sent for this call. */
export function givenUp(signal: AbortSignal): Refused {
  return signal.reason === 'shutdown'
    ? refusal('holdfast_overloaded', 'interrupted', 'Holdfast is stopping; send this call again.', 1000)
    : refusal('holdfast_deadline', 'client_gone', 'The client left.', null);
}
