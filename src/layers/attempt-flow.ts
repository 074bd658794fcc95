/**
 * The body of an answer on its way to whoever sends it on: what was held while the answer was judged, then what still
 * comes from the wire. A push interface with pause and resume, not a Readable: that one costs a queue, a state machine and
 * several ticks per chunk, and the bytes flow from one socket to another in a single call here. A body that was held
 * whole but is large goes this way too, so that a slow reader holds the shared byte budget until it has read.
 */

import type { AnswerSink, AnswerStream, FailureKind } from '../core/outcome.ts';
import type { RawHeaders } from '../core/raw-headers.ts';
import type { WireCall } from '../core/wire.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';

/** A discarded rest of at most this many bytes is read away, so that its socket can serve again. */
const DRAINED_BYTES_MAX = 64 * 1024;
/** …if it comes within this time. */
const DRAINED_WITHIN_MS = 1000;

/** How a body ended. */
export type FlowEnd =
  | { readonly kind: 'end'; readonly trailers: RawHeaders }
  | { readonly kind: 'failure'; readonly failure: FailureKind };

/** What a flow is made of. */
export interface FlowParts {
  readonly clock: Clock;
  /** The call that the rest comes from, already paused; null when there is no rest. */
  readonly call: WireCall | null;
  /** Ends the call; nothing comes from it afterwards. */
  readonly abort: () => void;
  /** The longest silence while somebody reads. */
  readonly idleMs: number;
  readonly chunks: Buffer[];
  /** Null while the body still comes. */
  readonly ending: FlowEnd | null;
  /** Runs once, when the flow is over. */
  readonly onOver: () => void;
}

/** One body under way. */
export class AnswerFlow implements AnswerStream {
  readonly done: Promise<void>;
  readonly #parts: FlowParts;
  readonly #chunks: Buffer[];
  #ending: FlowEnd | null;
  #state: 'unstarted' | 'flowing' | 'paused' | 'draining' | 'over' = 'unstarted';
  #sink: AnswerSink | null = null;
  #lastAtMs = 0;
  #drainedBytes = 0;
  #cancelTimer: CancelTimer | null = null;
  #resolveDone: () => void = () => {};

  constructor(parts: FlowParts) {
    this.#parts = parts;
    this.#chunks = parts.chunks;
    this.#ending = parts.ending;
    this.done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  start(sink: AnswerSink): void {
    if (this.#state !== 'unstarted') return;
    this.#sink = sink;
    this.#state = 'paused';
    this.resume();
  }

  pause(): void {
    if (this.#state !== 'flowing') return;
    this.#state = 'paused';
    this.#parts.call?.pause();
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'flowing';
    this.#flush();
    if (!this.#isFlowing() || this.#ending !== null) return;
    this.#lastAtMs = this.#parts.clock.now();
    if (this.#cancelTimer === null) this.#watch(this.#parts.idleMs);
    this.#parts.call?.resume();
  }

  discard(): void {
    if (this.#state === 'over') return;
    this.#chunks.length = 0;
    if (this.#ending !== null) return this.#finish();
    if (this.#state === 'draining') return;
    this.#state = 'draining';
    this.#cancelTimer?.();
    this.#cancelTimer = this.#parts.clock.timer(DRAINED_WITHIN_MS, () => this.#giveUp());
    this.#parts.call?.resume();
  }

  /** From the wire. What comes after a pause, because it was on its way, waits here. */
  data(chunk: Buffer): void {
    if (this.#state === 'draining') {
      this.#drainedBytes += chunk.length;
      if (this.#drainedBytes > DRAINED_BYTES_MAX) this.#giveUp();
    } else if (this.#state === 'flowing' && this.#chunks.length === 0) {
      this.#lastAtMs = this.#parts.clock.now();
      this.#sink?.data(chunk);
    } else {
      this.#chunks.push(chunk);
    }
  }

  /** From the wire: no more comes. */
  end(ending: FlowEnd): void {
    if (this.#state === 'over') return;
    this.#ending = ending;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#state === 'draining') this.#finish();
    else this.#flush();
  }

  /** A sink may pause or discard in the middle of it. */
  #isFlowing(): boolean {
    return this.#state === 'flowing';
  }

  #flush(): void {
    while (this.#isFlowing()) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) break;
      this.#sink?.data(chunk);
    }
    if (!this.#isFlowing() || this.#ending === null) return;
    const ending = this.#ending;
    this.#finish();
    if (ending.kind === 'end') this.#sink?.end(ending.trailers);
    else this.#sink?.fail(ending.failure);
  }

  /** One timer at a time, looked at when it fires: re-arming one per chunk would cost more than the chunk. */
  #watch(ms: number): void {
    this.#cancelTimer = this.#parts.clock.timer(ms, () => {
      this.#cancelTimer = null;
      if (!this.#isFlowing()) return;
      const leftMs = this.#lastAtMs + this.#parts.idleMs - this.#parts.clock.now();
      if (leftMs > 0) return this.#watch(leftMs);
      this.#parts.abort();
      this.end({ kind: 'failure', failure: 'truncated' });
    });
  }

  #giveUp(): void {
    this.#parts.abort();
    this.#finish();
  }

  #finish(): void {
    this.#state = 'over';
    this.#chunks.length = 0;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#parts.onOver();
    this.#resolveDone();
  }
}
