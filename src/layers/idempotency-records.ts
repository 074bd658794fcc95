/**
 * The final records of operations. A record that cannot be written is kept here and tried again, for the row in the store
 * says `sent` until then: after a restart that means "look for it", and under a key it would answer 504 although the truth
 * is known. The caller is not made to wait for a disk: it gets the truth.
 */

import type { OperationChange } from '../core/operation.ts';
import { OPEN_STATES } from '../core/operation-record.ts';
import type { Store } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';

/** Beyond, the oldest is left to be looked for. */
const UNWRITTEN_MAX = 1000;
/** Of answers. */
const UNWRITTEN_BYTES_MAX = 16 * 1024 * 1024;
const TRY_AGAIN_MS = 1000;

/** Writes endings. */
export class FinalRecords {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #unwritten = new Map<string, OperationChange>();
  #bytes = 0;
  #timed = false;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Writes an ending; resolves when it is durable, or false when it has to wait for the store. */
  async write(id: string, change: OperationChange): Promise<boolean> {
    try {
      await this.#store.change(id, change, OPEN_STATES);
      this.#forget(id);
      return true;
    } catch {
      this.#keep(id, change);
      return false;
    }
  }

  /** The store does not know yet how this one ended. */
  isOpen(id: string): boolean {
    return this.#unwritten.has(id);
  }

  /** Tries again; false while the store will not. */
  async settle(id: string): Promise<boolean> {
    const change = this.#unwritten.get(id);
    return change === undefined || this.write(id, change);
  }

  #forget(id: string): void {
    const change = this.#unwritten.get(id);
    if (change !== undefined) this.#bytes -= bytesOf(change);
    this.#unwritten.delete(id);
  }

  #keep(id: string, change: OperationChange): void {
    this.#forget(id);
    this.#unwritten.set(id, change);
    this.#bytes += bytesOf(change);
    for (const oldest of this.#unwritten.keys()) {
      if (this.#unwritten.size <= UNWRITTEN_MAX && this.#bytes <= UNWRITTEN_BYTES_MAX) break;
      this.#forget(oldest);
    }
    if (this.#timed) return;
    this.#timed = true;
    this.#clock.timer(TRY_AGAIN_MS, () => {
      this.#timed = false;
      for (const [each, kept] of this.#unwritten) void this.write(each, kept);
    });
  }
}

function bytesOf({ answer }: OperationChange): number {
  return answer?.body?.length ?? 0;
}
