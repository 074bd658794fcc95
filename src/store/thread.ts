import { Worker } from 'node:worker_threads';
import { OperationExists, type StoreHealth, StoreUnavailable } from '../core/store.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import type { Keys } from './keys.ts';
import type { Ending, Fault, FromWorker, Result, ToWorker, WorkerParts } from './protocol.ts';
import { blockOf, type Packed } from './requests.ts';

/** A batch is one transaction: this many requests and bytes keep its callers waiting for some 100 ms at most. */
const BATCH_REQUESTS_MAX = 1024;
const BATCH_BYTES_MAX = 16 * 1024 * 1024;
/** What may wait for the thread: beyond, the disk is too slow for the load, and that is a fault of the moment. */
const QUEUE_REQUESTS_MAX = 20_000;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** How long a write that nobody waits for looks for a batch to ride along with. */
const RIDE_MS = 50;
/** How often a store that does not work is tried again. */
const RETRY_MS = 2000;

/** What the thread needs; `StoreParts` says what each is. */
export interface ThreadParts {
  readonly directory: string;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly onHealth: (fault: string | null) => void;
}

interface Pending extends Packed {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
  /** Nobody waits: it rides along, and stays when the store is unavailable. */
  readonly rides: boolean;
}

/**
 * The main thread's end of the store's thread: collects requests while the thread commits, and hands over what was
 * collected as one batch, one transaction, one fsync. Keeps the health of the store, and tries again what may pass.
 */
export class StoreThread {
  /** Batches that were answered. */
  batches = 0;
  readonly #clock: Clock;
  readonly #onHealth: (fault: string | null) => void;
  readonly #worker: Worker | null;
  readonly #exited: Promise<void>;
  #fault: Fault | null = null;
  #queue: Pending[] = [];
  #queueBytes = 0;
  /** Parts of long work: one goes alone between two batches, so that what live calls write never waits for more than one. */
  #slices: Pending[] = [];
  #sliceIsNext = false;
  #inFlight: Pending[] | null = null;
  /** The thread has something to answer. */
  #busy = false;
  #sending = false;
  #ride: CancelTimer | null = null;
  #retry: CancelTimer | null = null;
  #closing: Promise<void> | null = null;
  #closed = false;
  #dead = false;
  #onTried: ((fault: Fault | null) => void) | null = null;
  #onIdle: (() => void) | null = null;

  constructor(parts: ThreadParts) {
    this.#clock = parts.clock;
    this.#onHealth = parts.onHealth;
    if (parts.keys.unsaved !== null) {
      this.#worker = null;
      this.#exited = Promise.resolve();
      this.#setFault({ text: `The ledger is off: ${parts.keys.unsaved}.`, passing: false, inUse: false });
      return;
    }
    this.#worker = startWorker({ directory: parts.directory, sealingKey: new Uint8Array(parts.keys.sealing) });
    this.#exited = new Promise((resolve) => this.#worker?.once('exit', () => resolve()));
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#died(String(error)));
    this.#worker.on('exit', () => this.#died('it ended'));
  }

  /** Tries to open the ledger, once; the fault when that failed. */
  async open(): Promise<Fault | null> {
    if (this.#worker === null) return this.#fault;
    const fault = await new Promise<Fault | null>((resolve) => {
      this.#onTried = resolve;
      this.#post({ kind: 'try' });
    });
    if (fault?.inUse === true) return fault;
    if (fault === null) this.#onHealth(null);
    else this.#setFault(fault);
    return fault;
  }

  health(): StoreHealth {
    const fault = this.#closed ? 'The store is closed.' : (this.#fault?.text ?? null);
    return { healthy: fault === null, fault };
  }

  /** Writes out what is pending, closes the files, ends the thread. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    this.#retry?.();
    this.#ride?.();
    if (this.#worker === null) return;
    while (this.#busy || (this.#fault === null && this.#queue.length + this.#slices.length > 0)) {
      this.#sendBatch();
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.#post({ kind: 'close' });
    await this.#exited;
  }

  /** Asks for something and waits for it. Rejects with `StoreUnavailable` or `OperationExists`. */
  ask(packed: Packed): Promise<Result> {
    return this.#ask(packed, (pending) => this.#push(pending));
  }

  /** Asks for one part, of two or three ms, of work that nobody's call waits for: it leaves the others their turn. */
  askSlice(packed: Packed): Promise<Result> {
    return this.#ask(packed, (pending) => this.#slices.push(pending));
  }

  #ask(packed: Packed, put: (pending: Pending) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(packed.bytes);
      if (refusal !== null) {
        reject(new StoreUnavailable(refusal));
        return;
      }
      put({ ...packed, resolve, reject, rides: false });
      if (this.#sending || this.#busy) return;
      this.#sending = true;
      // Requests of one turn of the event loop go together.
      queueMicrotask(() => {
        this.#sending = false;
        this.#sendBatch();
      });
    });
  }

  /** Has something written that nobody waits for. While the store is unavailable they are kept, up to the bound of the queue. */
  send(packed: Packed): void {
    if (this.#closed || this.#queue.length >= QUEUE_REQUESTS_MAX) return;
    this.#push({ ...packed, resolve: () => {}, reject: () => {}, rides: true });
    if (this.#ride !== null || this.#fault !== null) return;
    this.#ride = this.#clock.timer(RIDE_MS, () => {
      this.#ride = null;
      this.#sendBatch();
    });
  }

  #refusal(bytes: number): string | null {
    const { fault } = this.health();
    if (fault !== null) return fault;
    const waiting = this.#queue.length + this.#slices.length;
    if (waiting < QUEUE_REQUESTS_MAX && this.#queueBytes + bytes <= QUEUE_BYTES_MAX) return null;
    return `The disk does not keep up: ${waiting} requests wait for it.`;
  }

  #push(pending: Pending): void {
    this.#queue.push(pending);
    this.#queueBytes += pending.bytes;
  }

  #sendBatch(): void {
    if (this.#busy || this.#fault !== null) return;
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    this.#inFlight = batch;
    const block = blockOf(batch);
    const requests = `[${batch.map(({ json }) => json).join()}]`;
    this.#post({ kind: 'batch', requests, bytes: block }, [block.buffer]);
  }

  /** Slices and batches of the others take turns. */
  #nextBatch(): Pending[] {
    if (this.#slices.length > 0 && (this.#sliceIsNext || this.#queue.length === 0)) {
      this.#sliceIsNext = false;
      return this.#slices.splice(0, 1);
    }
    this.#sliceIsNext = true;
    let bytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      if (count === BATCH_REQUESTS_MAX || (count > 0 && bytes + pending.bytes > BATCH_BYTES_MAX)) break;
      bytes += pending.bytes;
      count++;
    }
    const batch = this.#queue.splice(0, count);
    this.#queueBytes -= bytes;
    this.#ride?.();
    this.#ride = null;
    return batch;
  }

  /** While the thread has something to do, it keeps the process alive; its port alone does not. */
  #post(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#busy = true;
    this.#worker?.ref();
    this.#worker?.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'closed') return;
    this.#busy = false;
    this.#worker?.unref();
    const batch = this.#inFlight ?? [];
    this.#inFlight = null;
    switch (message.kind) {
      case 'endings':
        this.batches++;
        batch.forEach((pending, at) => settle(pending, message.endings[at]));
        break;
      case 'fault':
        this.#fail(batch, message.fault);
        break;
      case 'tried':
        if (this.#onTried === null) this.#setFault(message.fault);
        else this.#onTried(message.fault);
        this.#onTried = null;
        break;
    }
    this.#sendBatch();
    this.#onIdle?.();
  }

  #fail(batch: readonly Pending[], fault: Fault): void {
    const all = [...batch, ...this.#queue, ...this.#slices];
    this.#queue = all.filter(({ rides }) => rides);
    this.#slices = [];
    this.#queueBytes = 0;
    this.#setFault(fault);
    const error = new StoreUnavailable(fault.text);
    for (const pending of all) if (!pending.rides) pending.reject(error);
  }

  #setFault(fault: Fault | null): void {
    const before = this.#fault?.text ?? null;
    this.#fault = fault;
    const text = fault?.text ?? null;
    if (text !== before && !this.#closed) this.#onHealth(text);
    if (fault?.passing !== true || this.#closed) return;
    this.#retry = this.#clock.timer(RETRY_MS, () => this.#post({ kind: 'try' }));
  }

  #died(why: string): void {
    this.#busy = false;
    if (this.#dead) return;
    this.#dead = true;
    this.#retry?.();
    const batch = this.#inFlight ?? [];
    this.#inFlight = null;
    this.#fail(batch, deathOf(why));
    this.#onTried?.(this.#fault);
    this.#onIdle?.();
  }
}

function deathOf(why: string): Fault {
  return {
    text: `The thread of the ledger died (${why}), which is a bug: please report it. Start holdfast again.`,
    passing: false,
    inUse: false,
  };
}

function startWorker(workerData: WorkerParts): Worker {
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  return new Worker(new URL(file, import.meta.url), { workerData });
}

function settle(pending: Pending, ending: Ending | undefined): void {
  if (ending?.kind === 'done') pending.resolve(ending.result);
  else if (ending?.kind === 'exists') pending.reject(new OperationExists(ending.id));
  else pending.reject(new StoreUnavailable(ending?.message ?? 'The store gave no answer.'));
}
