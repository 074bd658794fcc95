import type { Cancellable, ReleaseConnection, Wire, WireCall, WireHandler, WireRequest } from '../../src/core/wire.ts';

/** One call as the test drives it: the test speaks through `handler`, and sees what became of the call. */
export interface HandCall {
  readonly request: WireRequest;
  readonly handler: WireHandler;
  aborted: boolean;
  paused: boolean;
}

/** A wire that the test drives by hand: nothing comes from it but what the test says. */
export class HandWire implements Wire {
  readonly calls: HandCall[] = [];
  /** Places given out and not given back. */
  held = 0;
  /** When true, `connection` waits until `grant` or the signal's end. */
  full = false;
  readonly #waiting = new Set<(release: ReleaseConnection | null) => void>();

  connection({ signal }: Cancellable): ReleaseConnection | Promise<ReleaseConnection | null> {
    if (!this.full) return this.#place();
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
      signal.addEventListener('abort', () => resolve(null), { once: true });
    });
  }

  /** Gives a place to everybody who waits. */
  grant(): void {
    this.full = false;
    for (const resolve of this.#waiting) resolve(this.#place());
    this.#waiting.clear();
  }

  dispatch(request: WireRequest, handler: WireHandler): WireCall {
    const call: HandCall = { request, handler, aborted: false, paused: false };
    this.calls.push(call);
    return {
      pause: () => void (call.paused = true),
      resume: () => void (call.paused = false),
      abort: () => void (call.aborted = true),
    };
  }

  /** The call that was made last. */
  get last(): HandCall {
    const call = this.calls.at(-1);
    if (call === undefined) throw new Error('nothing was dispatched');
    return call;
  }

  #place(): ReleaseConnection {
    this.held += 1;
    let held = true;
    return () => {
      if (!held) throw new Error('a connection was given back twice');
      held = false;
      this.held -= 1;
    };
  }
}
