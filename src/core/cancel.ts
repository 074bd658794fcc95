/**
 * The early end of an exchange: an AbortController that is not made before somebody needs its signal. Every call carries
 * one and hardly any is cancelled; a controller, its signal and two listeners were 4 µs of each call and lived as long as
 * it does. Waits use the signal, which costs what it costs; what every call does listens here.
 */

import type { CancelReason } from './exchange.ts';

/** Hears of a cancel. */
export interface CancelListener {
  cancelled(reason: CancelReason): void;
}

/** Ends one exchange early, at most once. */
export class Cancel {
  #reason: CancelReason | null = null;
  #controller: AbortController | null = null;
  /** Nearly always one or two. */
  #listeners: CancelListener[] | null = null;

  /** Null while nothing is cancelled. */
  get reason(): CancelReason | null {
    return this.#reason;
  }

  get aborted(): boolean {
    return this.#reason !== null;
  }

  /** Aborted with the reason, at once when it is cancelled already. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Only the first reason counts. Listeners hear of it before the signal does, in the order in which they came. */
  abort(reason: CancelReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    for (const listener of this.#listeners?.slice() ?? []) {
      if (this.#listeners?.includes(listener)) listener.cancelled(reason);
    }
    this.#listeners = null;
    this.#controller?.abort(reason);
  }

  /** Never called when it is cancelled already. */
  listen(listener: CancelListener): void {
    if (this.#listeners === null) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  /** How many listen: none when a call has ended. */
  get listening(): number {
    return this.#listeners?.length ?? 0;
  }

  /** Harmless when it does not listen. */
  unlisten(listener: CancelListener): void {
    const listeners = this.#listeners;
    if (listeners === null) return;
    // The one that came last leaves first.
    const at = listeners.lastIndexOf(listener);
    if (at === listeners.length - 1) listeners.pop();
    else if (at !== -1) listeners.splice(at, 1);
  }
}
