/**
 * A request body on its way in. It is held whole up to `limits.repeatable_body`, so that it can be sent again; what is
 * larger, or finds no room under `limits.buffered`, flows through with what was already read in front of it. The idle timer
 * runs only while we are the ones who wait for the client: never under backpressure.
 */

import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { ByteBudget } from '../core/byte-budget.ts';
import type { RequestBody } from '../core/exchange.ts';
import type { Limits } from '../core/policy.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import { buffersPassed } from '../ops/passing-buffers.ts';
import { BODY_TOO_SLOW, bodyTooLarge, type Refusal } from './refusal.ts';

/** Who waits for the body. */
export interface BodyEvents {
  /** The body is whole, or flows. Called once, unless `bodyFailed` comes first. */
  bodyReady(body: RequestBody): void;
  /** The client did not keep its word. For a flowing body the stream is destroyed as well. Called at most once. */
  bodyFailed(refusal: Refusal): void;
  /** The first byte is wanted: the moment for 100 Continue. */
  bodyWanted(): void;
}

/** What reading a body needs. */
export interface BodyParts {
  readonly clock: Clock;
  readonly buffered: ByteBudget;
  readonly limits: Limits;
  readonly idleMs: number;
}

const FIRST_ALLOCATION_BYTES = 16 * 1024;
const noop = (): void => {};

/** One body. */
export class InboundBody {
  readonly #request: IncomingMessage;
  readonly #lengthBytes: number | null;
  readonly #parts: BodyParts;
  readonly #events: BodyEvents;
  #state: 'collecting' | 'streaming' | 'over' = 'collecting';
  #receivedBytes = 0;
  #takenBytes = 0;
  /** What is held; only its first `#receivedBytes` are filled while collecting. */
  #held: Buffer | null = null;
  #out: Readable | null = null;
  #lastChunkAtMs = 0;
  #cancelTimer: CancelTimer | null = null;

  constructor(request: IncomingMessage, lengthBytes: number | null, parts: BodyParts, events: BodyEvents) {
    this.#request = request;
    this.#lengthBytes = lengthBytes;
    this.#parts = parts;
    this.#events = events;
  }

  /** Starts to read. */
  start(): void {
    const { limits } = this.#parts;
    const length = this.#lengthBytes;
    if (length !== null && (length > limits.repeatableBodyBytes || !this.#take(length))) return this.flow();
    this.#listen();
    this.#events.bodyWanted();
    this.#arm();
  }

  /** Hands the body on as a stream; nothing is read before somebody opens it. */
  flow(): void {
    this.#listen();
    this.#stream();
  }

  /** The rest will not be read as a body any more: the call has its answer, or the client is gone. */
  abandon(): void {
    this.#over();
    this.#out?.destroy();
  }

  /** Ends the body with a fault of the client's. Nothing happens when it has ended. */
  fail(refusal: Refusal): void {
    if (this.#state === 'over') return;
    this.#over();
    this.#out?.destroy(new Error(refusal.message));
    this.#events.bodyFailed(refusal);
  }

  /** Gives the room under `limits.buffered` back; the held bytes are not needed any more. */
  release(): void {
    this.#parts.buffered.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
    this.#held = null;
  }

  #listen(): void {
    this.#request.on('data', this.#onData);
    this.#request.on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === 'over') return;
    const { limits, clock } = this.#parts;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > limits.requestBodyBytes) {
      this.fail(bodyTooLarge(limits.requestBodyBytes));
      return;
    }
    this.#lastChunkAtMs = clock.now();
    if (this.#state === 'collecting') return this.#hold(chunk);
    buffersPassed(chunk.length);
    if (this.#out?.push(chunk) === false) this.#pause();
  };

  readonly #onEnd = (): void => {
    const state = this.#state;
    if (state === 'over') return;
    this.#over();
    if (state === 'streaming') {
      this.#out?.push(null);
      return;
    }
    const bytes = this.#held?.subarray(0, this.#receivedBytes) ?? Buffer.alloc(0);
    this.#events.bodyReady({ kind: 'bytes', bytes });
  };

  /** Copies into one growing buffer: a list of chunks costs a hundred times their size when they are one byte each. */
  #hold(chunk: Buffer): void {
    const { limits } = this.#parts;
    const before = this.#receivedBytes - chunk.length;
    if (this.#lengthBytes === null) {
      if (this.#receivedBytes > limits.repeatableBodyBytes || !this.#take(chunk.length)) {
        this.#held = Buffer.concat([this.#held?.subarray(0, before) ?? Buffer.alloc(0), chunk]);
        this.#stream();
        return;
      }
    } else if (this.#held === null && chunk.length === this.#lengthBytes) {
      this.#held = chunk;
      return;
    }
    if (this.#held === null || this.#held.length < this.#receivedBytes) {
      const wanted = this.#lengthBytes ?? Math.max(FIRST_ALLOCATION_BYTES, this.#receivedBytes * 2);
      const grown = Buffer.allocUnsafe(wanted);
      this.#held?.copy(grown, 0, 0, before);
      this.#held = grown;
    }
    chunk.copy(this.#held, before);
  }

  #take(bytes: number): boolean {
    if (!this.#parts.buffered.tryTake(bytes)) return false;
    this.#takenBytes += bytes;
    return true;
  }

  /** From here on the body flows. Nothing more is read until somebody wants it. */
  #stream(): void {
    this.#state = 'streaming';
    this.#pause();
    this.#events.bodyReady({ kind: 'stream', lengthBytes: this.#lengthBytes, open: () => this.#open(), opened: false });
  }

  #open(): Readable {
    const out = new Readable({
      read: () => this.#pull(),
      destroy: (error, done) => {
        if (this.#state === 'streaming') this.#over();
        done(error);
      },
    });
    // Whoever read it may have left already; an 'error' that nobody hears would end the process.
    out.on('error', noop);
    this.#out = out;
    this.#events.bodyWanted();
    if (this.#state === 'over') out.destroy(new Error('The request body is gone.'));
    return out;
  }

  #pull(): void {
    if (this.#state !== 'streaming') return;
    if (this.#held !== null) {
      const prefix = this.#held;
      this.release();
      this.#out?.push(prefix);
      return;
    }
    this.#arm();
    this.#request.resume();
  }

  #pause(): void {
    this.#disarm();
    this.#request.pause();
  }

  /** Paused, for a flow without a listener would swallow the rest at full speed. */
  #over(): void {
    this.#state = 'over';
    this.#pause();
    this.#request.removeListener('data', this.#onData);
    this.#request.removeListener('end', this.#onEnd);
  }

  /** One timer per silence and not per chunk: it looks when it fires. */
  #arm(): void {
    if (this.#cancelTimer !== null) return;
    const { clock, idleMs } = this.#parts;
    this.#lastChunkAtMs = clock.now();
    this.#cancelTimer = clock.timer(idleMs, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    const { clock, idleMs } = this.#parts;
    const leftMs = this.#lastChunkAtMs + idleMs - clock.now();
    if (leftMs <= 0) this.fail(BODY_TOO_SLOW);
    else this.#cancelTimer = clock.timer(leftMs, this.#onTimer);
  };

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
