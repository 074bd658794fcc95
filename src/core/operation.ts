/**
 * An operation: one logical request with its attempts, and everything that must outlive the process (design, "The
 * ledger"). Idempotency records, holds, the retry queue and the dead letter queue are all operations in some state, so
 * that there is one schema, one set of transitions and one place to look. Every transition is durable before the effect
 * that it permits. Types and the table of transitions only: stores keep rows, layers and jobs decide.
 */

import type { AttemptRecord } from './exchange.ts';
import type { RawHeaders } from './raw-headers.ts';
import type { Effect, OperationClass } from './verdict.ts';

/** Where an operation stands. */
export type OperationState =
  /** Accepted, nothing sent yet. */
  | 'reserved'
  /** May be on the wire. After a crash: unknown. */
  | 'sent'
  | 'succeeded'
  /** The upstream said no, and the map does not keep it. */
  | 'rejected'
  /** Sent, answer lost: on hold until reconciled, never run again blindly. */
  | 'unknown'
  /** In the durable retry queue; runs at `dueAtMs`. */
  | 'waiting'
  /** A dead letter. */
  | 'dead'
  | 'redriving'
  | 'discarded'
  | 'superseded';

/** Why an operation is dead (semantics §9). */
export type DeadReason = 'exhausted' | 'permanent' | 'unknown' | 'interrupted' | 'refused';

/** Which states may follow which. Whatever is not here is a bug or a lost race, and a store refuses it. */
export const TRANSITIONS: Readonly<Record<OperationState, readonly OperationState[]>> = {
  reserved: ['sent', 'succeeded', 'rejected', 'unknown', 'waiting', 'dead', 'discarded'],
  sent: ['sent', 'succeeded', 'rejected', 'unknown', 'waiting', 'dead'],
  unknown: ['sent', 'succeeded', 'rejected', 'unknown', 'waiting', 'dead', 'redriving', 'discarded', 'superseded'],
  waiting: ['sent', 'succeeded', 'rejected', 'unknown', 'waiting', 'dead', 'discarded'],
  dead: ['dead', 'redriving', 'discarded', 'superseded'],
  redriving: ['redriving', 'sent', 'succeeded', 'unknown', 'dead', 'superseded'],
  succeeded: ['succeeded'],
  rejected: [],
  discarded: [],
  superseded: ['redriving'],
};

/** The answer that a replay gives. */
export interface StoredAnswer {
  readonly status: number;
  /** As they came from the upstream, end-to-end only. */
  readonly headers: RawHeaders;
  /** Null when it was larger than `limits.stored_answer`. */
  readonly body: Buffer | null;
}

/** One operation as a store keeps it. Times are epoch ms; fields marked "sealed" are encrypted at rest. */
export interface Operation {
  readonly id: string;
  readonly kind: 'outbound';
  /** The name of the rule. */
  readonly endpoint: string;
  readonly operationClass: OperationClass;
  readonly method: string;
  readonly target: string;
  /** End-to-end fields as they were sent, those with credentials and cookies taken out. */
  readonly headers: RawHeaders;
  /** As it was sent. Sealed. Null: there was none, or `bodyKept` is false. */
  readonly body: Buffer | null;
  /** False when the body streamed through: this operation cannot be sent again by us. */
  readonly bodyKept: boolean;
  /** Whose it is: two scopes never see each other's records (semantics §6). */
  readonly scope: string;
  /** The short name of the credential in logs and metrics. */
  readonly credentialRef: string;
  /** The caller's `Authorization`; null with credentials of our own. Sealed. */
  readonly credential: string | null;
  /** Keyed hash of the idempotency key; null without one. Unique within a scope while it is set. */
  readonly keyHash: string | null;
  /** What a second request under the same key must equal (semantics §6). */
  readonly fingerprint: string | null;
  /** Hash of scope (of none, once its credential was refused), method, target and body as sent: what a hold compares. */
  readonly identity: string;
  /** `Holdfast-Context`. */
  readonly context: Readonly<Record<string, string>> | null;
  /** The operation that this one is an edited or redriven form of. */
  readonly parent: string | null;
  readonly state: OperationState;
  readonly effect: Effect;
  /** Of the last verdict. */
  readonly reason: string;
  /** Not null: this is a dead letter. Set while `dead`, beside `unknown` when its call ended in doubt, and kept afterwards. */
  readonly deadReason: DeadReason | null;
  /** Epoch ms: when it became a dead letter, or an equal one was last counted in; null when it is none. */
  readonly deadAtMs: number | null;
  /** The cause group, and its label for people; null when it is no dead letter. */
  readonly causeId: string | null;
  readonly causeLabel: string | null;
  /** Equal refused writes of one scope share a row: how many it stands for; 1 otherwise. */
  readonly count: number;
  /** The key that it had when it died, which is free again since: a success under it supersedes this row. */
  readonly formerKeyHash: string | null;
  /** Hash of what the upstream tells objects apart by; null when nothing does. A later success with it supersedes this row. */
  readonly naturalKey: string | null;
  /** The configuration that was in force when it died; null when it is no dead letter. */
  readonly configHash: string | null;
  /** Its caller left it to us (`Prefer: respond-async`). */
  readonly handedOver: boolean;
  /** The lane of the queue, and the resource whose order is kept; null for none. */
  readonly lane: string | null;
  readonly resource: string | null;
  /** The operation whose success made this one needless; null for none. */
  readonly supersededBy: string | null;
  /** What may have made this one needless: an equal call that succeeded later, or a newer form of it. Null for none. */
  readonly maybeSupersededBy: string | null;
  /** The redrive that runs it, or ran it last; null for none. */
  readonly redriveId: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** First dispatch; null while nothing was sent. */
  readonly sentAtMs: number | null;
  /** When the queue or the next look takes it up; null for never. */
  readonly dueAtMs: number | null;
  /** When retention may take it; null for not by age. */
  readonly expiresAtMs: number | null;
  /** Sealed. */
  readonly answer: StoredAnswer | null;
  /** `id` of the object in the answer: another lost create must not claim it (semantics §7). */
  readonly answerId: string | null;
  /** A caller has got the ending. After a restart, one that did not is a caller that is gone. */
  readonly delivered: boolean;
  /** How often it was looked for since it became unknown. */
  readonly looks: number;
  readonly attempts: readonly AttemptRecord[];
}

/** What a transition may change; what is left out stays. `attempts` are appended. */
export interface OperationChange
  extends Partial<
    Pick<
      Operation,
      | 'keyHash'
      | 'identity'
      | 'effect'
      | 'reason'
      | 'deadReason'
      | 'deadAtMs'
      | 'causeId'
      | 'causeLabel'
      | 'formerKeyHash'
      | 'naturalKey'
      | 'configHash'
      | 'handedOver'
      | 'lane'
      | 'resource'
      | 'supersededBy'
      | 'maybeSupersededBy'
      | 'redriveId'
      | 'sentAtMs'
      | 'dueAtMs'
      | 'expiresAtMs'
      | 'answer'
      | 'answerId'
      | 'delivered'
      | 'looks'
      | 'attempts'
    >
  > {
  readonly state: OperationState;
  /** Epoch ms. */
  readonly updatedAtMs: number;
}

/** Fields whose values never reach a store in clear: credentials and cookies (semantics §9). */
export const SECRET_FIELDS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
]);
