/**
 * What is asked of the dead letter queue, whatever keeps the rows: a part of the port of the ledger. Every question is
 * bounded, and pages are cut by a cursor that rows which come or go do not move. A dead letter is an operation with a
 * `deadReason`; it stays one through redrive, discard and supersession, so that its history can be read until retention.
 */

import type { AttemptRecord } from './exchange.ts';
import type { DeadReason, Operation, OperationState } from './operation.ts';

/** Which dead letters are meant; what is left out does not matter. */
export interface DeadFilter {
  readonly endpoint?: string;
  /** A `DeadReason`, or the id of a cause group. */
  readonly cause?: string;
  /** Left out: all. */
  readonly states?: readonly OperationState[];
  /** All of these values. */
  readonly context?: Readonly<Record<string, string>>;
  /** Epoch ms, both over `deadAtMs`: from, and before. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly ids?: readonly string[];
  readonly redriveId?: string;
  /** Text that target, context, body or answer contain, in any case. */
  readonly match?: string;
}

/** The states of dead letters that still want something done. */
export const OPEN_DEAD_STATES: readonly OperationState[] = ['dead', 'unknown', 'redriving', 'sent'];

/** A dead letter as lists show it: no bodies, no header fields, and of the attempts the last. */
export interface DeadHead
  extends Omit<
    Operation,
    'headers' | 'body' | 'credential' | 'answer' | 'attempts' | 'fingerprint' | 'keyHash' | 'formerKeyHash' | 'kind'
  > {
  /** How many there were. */
  readonly attempts: number;
  readonly lastAttempt: AttemptRecord | null;
}

/** A part of a list, newest first. */
export interface DeadPage {
  readonly letters: readonly DeadHead[];
  /** Where the next part begins; null at the end. A page may be short, or empty, and not the last. */
  readonly next: number | null;
}

/** Dead letters of one cause, endpoint and reason. */
export interface DeadGroup {
  readonly causeId: string;
  readonly label: string;
  readonly endpoint: string;
  readonly deadReason: DeadReason;
  /** Rows by state. */
  readonly states: Readonly<Partial<Record<OperationState, number>>>;
  readonly rows: number;
  /** Calls: equal refused ones share a row. */
  readonly calls: number;
  readonly bytes: number;
  /** Epoch ms. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** Ids of the newest, at most three. */
  readonly samples: readonly string[];
}

/** How many dead letters there are. */
export interface DeadCount {
  readonly endpoint: string;
  readonly state: OperationState;
  readonly rows: number;
  readonly bytes: number;
}

/** A success that may have made dead letters needless (semantics §9). */
export interface Success {
  /** The operation, or call, that succeeded. */
  readonly id: string;
  readonly scope: string;
  readonly endpoint: string;
  /** Null without a key. */
  readonly keyHash: string | null;
  /** Null when nothing tells its object apart. */
  readonly naturalKey: string | null;
  readonly identity: string;
  /** The same two without the scope, for rows whose credential was refused; null for none. */
  readonly anyScope: { readonly naturalKey: string | null; readonly identity: string | null };
  /** Epoch ms of its first send or, of an idempotent write, of its wish: what died later is newer, and is not superseded but by an edited form. */
  readonly sentAtMs: number;
  /** Epoch ms. */
  readonly nowMs: number;
}

/** What a success did. */
export interface Superseded {
  /** The row that it superseded; null for none. */
  readonly superseded: string | null;
  /** The row that it may have made needless; null for none. */
  readonly maybe: string | null;
}

/** How much is kept. */
export interface DeadLimits {
  /** Epoch ms: what died before goes. */
  readonly beforeMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** A row that is to go. */
export interface Evictable {
  readonly id: string;
  readonly why: 'age' | 'count' | 'bytes';
}

/** The dead letters of a store. Rejects like every call of it. */
export interface DeadLetterStore {
  /**
   * Keeps a call that died. One that is `reserved` under its id becomes this; an equal `refused` row of the scope takes it
   * in and counts one more. The id of the row that stands for it.
   */
  keepDead(operation: Operation): Promise<string>;
  /**
   * One success supersedes at most one row: that of which it is the edited form (and what that was made of), else that of its
   * key, else the oldest of its natural key. Then it marks the others of both keys; else an equal one. What is
   * being redriven counts until it is on the wire. A row that dies or is made marks the one of which it is the edited form and
   * what died before under its key; discarded or deleted while `dead`, it takes these marks back.
   */
  supersede(success: Success): Promise<Superseded>;
  /** Newest first, from `cursor` on (null: the newest), at most `limit`. */
  listDead(filter: DeadFilter, cursor: number | null, limit: number): Promise<DeadPage>;
  /** The largest first, at most `limit`. */
  groupDead(filter: DeadFilter, limit: number): Promise<readonly DeadGroup[]>;
  countDead(): Promise<readonly DeadCount[]>;
  /** Deletes dead letters that nothing runs; how many. */
  purgeDead(filter: DeadFilter): Promise<number>;
  /** What retention would take next, at most `limit`: the oldest, those that need nothing any more and `permanent` ones first. */
  evictable(limits: DeadLimits, limit: number): Promise<readonly Evictable[]>;
  /** Deletes these dead letters, unless something runs them; how many. */
  evict(ids: readonly string[]): Promise<number>;
}
