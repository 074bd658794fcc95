/**
 * What is asked of the durable queue, whatever keeps the rows: a part of the port of the ledger. A row is in it while it
 * has a lane and a due time. Bounded per lane, so that ten thousand rows of one lane hide none of another.
 */

import type { QueuePlace } from './queue-ticket.ts';

/** A row that is due. */
export interface DueRow extends QueuePlace {
  readonly id: string;
  /** Epoch ms. */
  readonly dueAtMs: number;
}

/** A part of what is due, lane by lane. */
export interface DuePart {
  readonly rows: readonly DueRow[];
  /** Of these lanes, the earliest time that is still to come, epoch ms; null for none. */
  readonly nextDueAtMs: number | null;
  /** The lane after which the next part begins; null at the end. */
  readonly afterLane: string | null;
}

/** How much was handed over and has not ended: what waits, and what runs. */
export interface QueueDepth {
  readonly rows: number;
  /** Epoch ms: when the oldest was handed over; null when it is empty. */
  readonly oldestAtMs: number | null;
}

/** The queue of a store. Rejects like every call of it. */
export interface QueueStore {
  /**
   * What is due now, the earliest first in each lane and at most `perLane` of it, and of a resource only what no earlier row
   * of the queue stands before. `afterLane`: where to go on, null for the beginning.
   */
  queueDue(nowMs: number, afterLane: string | null, perLane: number): Promise<DuePart>;
  /** Whether a row of the queue wants to change this resource. */
  queuedBefore(resource: string): Promise<boolean>;
  queueDepth(): Promise<QueueDepth>;
}
