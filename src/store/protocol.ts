/**
 * What the main thread and the store's thread say to each other. A batch is one JSON text and one block of bytes:
 * cloning some hundred objects field by field costs the main thread several times as much, and cloning a slice of a
 * buffer copies the whole buffer behind it.
 */

import type {
  DeadCount,
  DeadFilter,
  DeadGroup,
  DeadHead,
  DeadLimits,
  Evictable,
  Success,
  Superseded,
} from '../core/dead-letters.ts';
import type { Operation, OperationChange, OperationState } from '../core/operation.ts';
import type { DuePart, QueueDepth } from '../core/queue-store.ts';
import type { Redrive, RedriveRow, RowResult } from '../core/redrive.ts';
import type { GateState, OpenOperation } from '../core/store.ts';
import type { Value } from './columns.ts';

/** An operation without its bytes: what becomes JSON. */
export interface OperationText extends Pick<Operation, 'headers' | 'credential' | 'context' | 'attempts'> {
  /** In the order of `INSERTED`. */
  readonly values: readonly Value[];
  /** Length of the body in the batch's bytes; null when there is none. */
  readonly body: number | null;
  readonly answer: AnswerHead | null;
}

/** A change without the answer. */
export type ChangeText = Omit<OperationChange, 'answer'>;

/** Status and fields of an answer; its body is the part that `body` counts, null when it has none. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: readonly string[];
  /** Length of the body in the batch's bytes; null when there is none. */
  readonly body: number | null;
}

/** One call of the port. Bodies lie in the batch's bytes in the order in which the requests count them. */
export type Request =
  | readonly ['insert', OperationText]
  /** The last part: an answer, null to take it away, false to leave it. */
  | readonly ['change', string, ChangeText, readonly OperationState[] | null, AnswerHead | null | false]
  | readonly ['delivered', string]
  | readonly ['remove', string]
  | readonly ['get', string]
  | readonly ['byKey', scope: string, keyHash: string]
  | readonly ['open', sinceMs: number]
  | readonly ['due', readonly OperationState[], nowMs: number, limit: number]
  | readonly ['claimed', scope: string, endpoint: string, answerId: string, exceptId: string]
  | readonly ['keepGate', GateState]
  | readonly ['gates', nowMs: number]
  | readonly ['expire', nowMs: number, limit: number]
  | readonly ['keepDead', OperationText, KeptFacts]
  | readonly ['supersede', Success]
  | readonly ['listDead', DeadFilter, cursor: number | null, limit: number]
  | readonly ['deadGroups']
  | readonly ['deadSums', DeadFilter, cursor: number | null]
  | readonly ['deadSamples', causeIds: readonly string[]]
  | readonly ['countDead']
  | readonly ['purgeDead', DeadFilter, cursor: number | null]
  | readonly ['evictable', DeadLimits, limit: number]
  | readonly ['evict', ids: readonly string[]]
  | readonly ['queueDue', nowMs: number, afterLane: string | null, perLane: number]
  | readonly ['queuedBefore', resource: string]
  | readonly ['queueDepth']
  | readonly ['redrives', RedriveRequest];

/** A call of `RedriveStore`. */
export type RedriveRequest =
  | { readonly does: 'put'; readonly redrive: Redrive }
  | { readonly does: 'addRows'; readonly id: string; readonly operations: readonly string[] }
  | { readonly does: 'settleRow'; readonly id: string; readonly row: RedriveRow }
  | { readonly does: 'get' | 'counts' | 'remove'; readonly id: string }
  | { readonly does: 'list'; readonly limit: number }
  | {
      readonly does: 'rows';
      readonly id: string;
      readonly afterN: number;
      readonly limit: number;
      readonly pending: boolean;
    };

/** What `keepDead` compares. */
export interface KeptFacts extends Pick<Operation, 'id' | 'scope' | 'identity' | 'formerKeyHash' | 'causeId'> {
  readonly refused: boolean;
  /** Epoch ms. */
  readonly nowMs: number;
}

/** What one request found in its part of a list, and where the next part begins; null at the end. */
export interface Slice<T> {
  readonly found: readonly T[];
  readonly next: number | null;
}

/** The rows of a group in one state. */
export interface DeadGroupPart extends Omit<DeadGroup, 'states' | 'samples'> {
  /** Of the row that keeps its counts. */
  readonly id: number;
  readonly state: OperationState;
}

/** Of rows of one group in one state: its id, rows, calls, bytes, and epoch ms of the first and the last. */
export type GroupSums = readonly [
  id: number,
  rows: number,
  calls: number,
  bytes: number,
  firstAtMs: number,
  lastAtMs: number,
];

/** What a request gives back. */
export type Result =
  | undefined
  | boolean
  | number
  | null
  | Operation
  | readonly Operation[]
  | readonly OpenOperation[]
  | readonly GateState[]
  | string
  | Superseded
  | Slice<DeadHead>
  | Slice<GroupSums>
  | Slice<string>
  | readonly DeadGroupPart[]
  | readonly (readonly string[])[]
  | readonly DeadCount[]
  | readonly Evictable[]
  | Redrive
  | readonly Redrive[]
  | readonly RedriveRow[]
  | DuePart
  | QueueDepth
  | Readonly<Record<RowResult, number>>;

/** How one request of a batch ended. */
export type Ending =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'exists'; readonly id: string }
  | { readonly kind: 'failed'; readonly message: string };

/** Why nothing can be kept now. */
export interface Fault {
  /** What is wrong and what to do. */
  readonly text: string;
  /** It may pass without a restart. */
  readonly passing: boolean;
  /** Another process holds the directory. */
  readonly inUse: boolean;
}

/** To the thread. */
export type ToWorker =
  /** Open what is not open, and write something: does it work now? */
  | { readonly kind: 'try' }
  | { readonly kind: 'batch'; readonly requests: string; readonly bytes: Uint8Array }
  | { readonly kind: 'close' };

/** From the thread: one answer to each message, in order. */
export type FromWorker =
  | { readonly kind: 'tried'; readonly fault: Fault | null }
  | { readonly kind: 'endings'; readonly endings: readonly Ending[] }
  /** Nothing of the batch was kept. */
  | { readonly kind: 'fault'; readonly fault: Fault }
  | { readonly kind: 'closed' };

/** What the thread starts with. */
export interface WorkerParts {
  readonly directory: string;
  readonly sealingKey: Uint8Array;
}
