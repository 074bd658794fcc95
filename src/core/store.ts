/**
 * The port of the ledger: what layers and jobs ask of a store, whatever keeps the rows. Types only. A write resolves when
 * it is durable; writes of one moment share a commit. Calls take effect in the order in which they were made. Everything rejects with
 * `StoreUnavailable` alone (but for `OperationExists`), and the caller decides what that means: a keyed call is refused,
 * an unkeyed one is served without a net.
 */

import type { DeadLetterStore } from './dead-letters.ts';
import type { Operation, OperationChange, OperationState } from './operation.ts';
import type { QueueStore } from './queue-store.ts';

/** The store cannot read or write: disk full, read-only, damaged, from a newer version, closed. Nothing was changed. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  readonly code = 'STORE_UNAVAILABLE';
}

/** An insert, or a change of key, found the id or the key within its scope taken: a bug or a lost race of the caller. */
export class OperationExists extends Error {
  override readonly name = 'OperationExists';
  readonly code = 'OPERATION_EXISTS';

  constructor(id: string) {
    super(`Operation ${id} is in the store already, or its key is taken.`);
  }
}

/** Whether the store works, for `/readyz`, `holdfast_store_healthy` and the log. */
export interface StoreHealth {
  readonly healthy: boolean;
  /** What is wrong and what to do; null while it is well. */
  readonly fault: string | null;
}

/** What of an operation a hold needs to know; no bodies. */
export type OpenOperation = Pick<
  Operation,
  | 'id'
  | 'endpoint'
  | 'operationClass'
  | 'scope'
  | 'keyHash'
  | 'identity'
  | 'state'
  | 'effect'
  | 'createdAtMs'
  | 'updatedAtMs'
  | 'sentAtMs'
  | 'delivered'
  | 'handedOver'
>;

/**
 * State that must outlive the process, by name: pauses, breakers, and since when a breaker is open. The value is JSON of
 * whoever wrote it.
 */
export interface GateState {
  readonly kind: 'pause' | 'breaker' | 'opened';
  readonly name: string;
  readonly value: string;
  /** Epoch ms: not restored, and removed, after this. */
  readonly expiresAtMs: number;
}

/** Keeps operations. */
export interface Store extends DeadLetterStore, QueueStore {
  /** Adds a row. Rejects with `OperationExists` when the id, or the key within its scope, is there already. */
  insert(operation: Operation): Promise<void>;
  /**
   * Changes a row whose state allows it (`TRANSITIONS`) and is one of `from`, when given. False: it did not. Rejects
   * with `OperationExists` when it sets a key that is taken.
   */
  change(id: string, change: OperationChange, from?: readonly OperationState[]): Promise<boolean>;
  /** Notes that a caller got the ending. Joins the next commit and is not waited for; never rejects. */
  delivered(id: string): void;
  /** Deletes a row, when it is there. */
  remove(id: string): Promise<void>;
  /** One whole operation, attempts in order; null when there is none. */
  get(id: string): Promise<Operation | null>;
  /** The operation under a key. */
  byKey(scope: string, keyHash: string): Promise<Operation | null>;
  /**
   * At start, in order of insertion: what is `reserved`, `sent` or `unknown`, and what since `sinceMs` `succeeded`, or was
   * handed over and waits, undelivered.
   */
  open(sinceMs: number): Promise<readonly OpenOperation[]>;
  /** Rows in one of the states whose `dueAtMs` has come, earliest first. */
  due(states: readonly OperationState[], nowMs: number, limit: number): Promise<readonly Operation[]>;
  /** Whether an object is the answer of another operation of the endpoint and scope. */
  claimed(scope: string, endpoint: string, answerId: string, exceptId: string): Promise<boolean>;
  /** Writes the state of a gate; joins the next commit and is not waited for. */
  keepGate(gate: GateState): void;
  /** Gates that have not expired. */
  gates(nowMs: number): Promise<readonly GateState[]>;
  /** Deletes rows whose `expiresAtMs` has passed, earliest first, at most `limit`; how many. Removes expired gates too. */
  expire(nowMs: number, limit: number): Promise<number>;
  health(): StoreHealth;
  /** Writes out what is pending and lets go of the directory. */
  close(): Promise<void>;
}
