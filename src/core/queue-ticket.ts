/**
 * What stands on an exchange for the durable queue: what its caller asked for, and how far the hand-over has come. Types
 * only. Several layers ask (who keeps dead letters, who owns the row, who decides on the next run), and none of them
 * has to know the others.
 */

/** What a caller that does not want to wait asked for: `Prefer: respond-async` (RFC 7240 §4.1). */
export interface HandOverWish {
  /** How long to try before the call is handed over, ms; null for not at all. */
  readonly waitMs: number | null;
}

/** What the queue knows of a call. */
export interface QueueTicket {
  /** Epoch ms: its patience counts from here. */
  readonly createdAtMs: number;
  /**
   * `offered`: its caller still waits, and it is handed over when it does not succeed. `accepted`: it is ours to end, and
   * a client that leaves cancels nothing. `look`: a lost create of a caller that left it, which is looked for later.
   */
  stage: 'offered' | 'accepted' | 'look';
  /** Set when a run ended before a retry, to wait in the ledger: how long that is to wait, ms. */
  readonly retryMs?: number;
}

/** Where a row stands in the queue. */
export interface QueuePlace {
  readonly lane: string;
  /** Whose order is kept; null for none. */
  readonly resource: string | null;
}

/** The next run of an operation. */
export interface NextRun {
  /** `unknown` is looked for, `waiting` is sent. */
  readonly state: 'waiting' | 'unknown';
  /** Epoch ms. */
  readonly dueAtMs: number;
}
