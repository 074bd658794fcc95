/**
 * The store's thread: owns the files, runs batches. Everything in here blocks, and that is why it is a thread. It speaks
 * only when spoken to: one answer to each message.
 */

import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { runBatch } from './batch.ts';
import { faultOf, wantsReopening } from './faults.ts';
import { holdDirectory, openLedger, tryToWrite } from './files.ts';
import { type Ledgers, ledgersOn } from './ledgers.ts';
import type { Fault, FromWorker, Request, ToWorker, WorkerParts } from './protocol.ts';
import { Sealer } from './seal.ts';

/**
 * About where the log is written into the ledger, pages of 4 KiB. Counted by rule of thumb, since only the newest SQLite
 * tells its length without a checkpoint; less often than every hundred operations, or it would stand in their p99.
 */
const LOG_PAGES = 3000;
const PAGES_PER_BATCH = 5;
const PAGES_PER_REQUEST = 1.5;
const PAGE_BYTES = 4096;

class StoreThread {
  readonly #parts: WorkerParts;
  #lock: DatabaseSync | null = null;
  #database: DatabaseSync | null = null;
  #ledger: Ledgers | null = null;
  #logPages = 0;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  /** Opens what is not open, and proves that it can be written. Null: all is well. */
  attempt(): Fault | null {
    try {
      this.#lock ??= holdDirectory(this.#parts.directory);
      this.#database ??= openLedger(this.#parts.directory, this.#parts.sealingKey);
      this.#ledger ??= ledgersOn(this.#database, new Sealer(this.#parts.sealingKey));
      tryToWrite(this.#database);
      return null;
    } catch (error) {
      return this.#fault(error);
    }
  }

  batch(requests: string, bytes: Uint8Array): FromWorker {
    if (this.#database === null || this.#ledger === null) throw new Error('A batch came to a store that is not open.');
    try {
      const parsed = JSON.parse(requests) as Request[];
      const { directory } = this.#parts;
      this.#logPages += PAGES_PER_BATCH + PAGES_PER_REQUEST * parsed.length + bytes.length / PAGE_BYTES;
      return { kind: 'endings', endings: runBatch(this.#database, this.#ledger, parsed, bytes, directory) };
    } catch (error) {
      return { kind: 'fault', fault: this.#fault(error) };
    }
  }

  /** Writes a long log into the ledger, after an answer and not before one; a fault shows with the next batch. */
  tidy(): void {
    if (this.#database === null || this.#logPages < LOG_PAGES) return;
    this.#logPages = 0;
    try {
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    } catch {}
  }

  close(): void {
    try {
      this.#database?.close();
    } catch {}
    this.#lock?.close();
  }

  /** Throws what is no fault of the files: a bug, and the thread dies of it. */
  #fault(error: unknown): Fault {
    const fault = faultOf(error, this.#parts.directory);
    if (fault === null) throw error;
    if (wantsReopening(error) || !fault.passing) {
      this.#ledger = null;
      try {
        this.#database?.close();
      } catch {}
      this.#database = null;
    }
    return fault;
  }
}

if (parentPort === null) throw new Error('worker.ts runs as the thread of a store.');
const port = parentPort;
const thread = new StoreThread(workerData as WorkerParts);

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'try':
      port.postMessage({ kind: 'tried', fault: thread.attempt() } satisfies FromWorker);
      return;
    case 'batch':
      port.postMessage(thread.batch(message.requests, message.bytes) satisfies FromWorker);
      thread.tidy();
      return;
    case 'close':
      thread.close();
      port.postMessage({ kind: 'closed' } satisfies FromWorker);
      port.close();
  }
});
