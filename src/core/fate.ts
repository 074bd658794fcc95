/**
 * What stands on an exchange for whoever writes its record: the names of its operation, and its fate when it died. Types
 * only. The layer that recognises a dead letter is not the one that owns the operation's row, and two writers of one row
 * would be two commits.
 */

import type { DeadReason } from './operation.ts';

/** The names of an operation in the ledger (`core/fingerprint.ts`). */
export interface RunNames {
  readonly keyHash: string | null;
  readonly fingerprint: string | null;
  readonly identity: string;
}

/** Why and where a call is kept as a dead letter. */
export interface Fate {
  /** Of its row, or of the row of equal ones. */
  readonly id: string;
  readonly reason: DeadReason;
  readonly cause: { readonly id: string; readonly label: string };
  readonly naturalKey: string | null;
  /** Null: as it is. */
  readonly identity: string | null;
  readonly resource: string | null;
  readonly configHash: string;
  /** The row says so already; otherwise whoever writes the ending of the operation adds it (`fateChange`). */
  readonly stored: boolean;
}
