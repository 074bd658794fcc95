/**
 * One call of a client on its way through the layers. What the client asked for is fixed at the edge; what happened so
 * far (attempts, waits) is counted here and not inside a layer, so that a layer that calls inward twice restarts
 * nothing (design, rule 0).
 */

import type { Readable } from 'node:stream';
import { Cancel } from './cancel.ts';
import type { Fate, RunNames } from './fate.ts';
import type { FailureKind, Sent } from './outcome.ts';
import type { ConflictRecipe, EndpointPolicy } from './policy.ts';
import type { HandOverWish, QueueTicket } from './queue-ticket.ts';
import type { RawHeaders } from './raw-headers.ts';
import type { LookRecord } from './reconcile.ts';
import type { Effect, OperationClass, VerdictClass } from './verdict.ts';

/** The request's body. A stream can be sent once only: it makes the exchange unrepeatable as soon as it is opened. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'stream'; readonly lengthBytes: number | null; readonly open: () => Readable; opened: boolean };

/** Why an attempt was preceded by a wait. */
export type WaitReason =
  | 'backoff'
  | 'retry_after'
  | 'rate_limit_reset'
  | 'one_window'
  | 'budget'
  | 'pacing'
  | 'breaker'
  | 'bulkhead'
  | 'order'
  | 'idempotency'
  | 'reconcile';

/** One try on the wire, as the history keeps it. */
export interface AttemptRecord {
  /** From 1. */
  readonly n: number;
  /** Wall time, epoch ms: it is stored and shown. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** Null when there was no head. */
  readonly status: number | null;
  readonly failure: FailureKind | null;
  readonly sent: Sent;
  readonly verdict: VerdictClass;
  readonly reason: string;
  readonly effect: Effect;
  /** The wait directly before this attempt, ms, and why. */
  readonly waitedMs: number;
  readonly waitReason: WaitReason | null;
  /** The upstream's `x-request-id` or the body's `request_id`. */
  readonly requestId: string | null;
  /** Of an error answer: its first code. */
  readonly code?: string | null;
  /** Of an error answer: its first words, at most 512 characters, without credentials. Never logged. */
  readonly excerpt?: string | null;
}

/** Why a failed attempt was not sent again: label of `holdfast_retries_withheld_total`. */
export type WithheldReason =
  | 'not_repeatable'
  | 'budget'
  | 'deadline'
  | 'breaker'
  | 'max_retries'
  | 'body_too_large'
  | 'max_wait'
  | 'overloaded'
  | 'interrupted';

/** Why an exchange is to end early; the reason that `cancel` is aborted with. */
export type CancelReason = 'client_gone' | 'deadline' | 'shutdown';

/** One call of a client. */
export interface Exchange {
  readonly id: string;
  readonly policy: EndpointPolicy;
  /** Values of the `{names}` of the endpoint's template, as they stand in the path, undecoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly method: string;
  /** The raw request target, path and query, byte for byte. */
  readonly target: string;
  /** End-to-end fields as they will be sent, `Via` included, without `Host` and without our own request headers. */
  headers: RawHeaders;
  /** As it will be sent: as the caller sent it, but for `events.stamp_created_at`. */
  body: RequestBody;
  /** Monotonic ms. */
  readonly receivedAtMs: number;
  /**
   * Monotonic ms; Infinity when nothing limits the call (mode observe). Moved by the time that a streamed body takes: a
   * steady upload has no limit (semantics §10).
   */
  deadlineAtMs: number;
  /** RFC 9218 urgency, 0 (first) to 7. */
  readonly priority: number;
  /** A short keyed hash of the caller's credential: safe to log, a bounded metric label, never the credential. */
  readonly credentialRef: string;
  /** Whose operations this call may meet: keyed hash of the caller's credential, 32 hex digits (semantics §6). */
  readonly scope: string;
  /** `Idempotency-Key`, unquoted; null when the caller gave none. */
  readonly idempotencyKey: string | null;
  /** `Holdfast-Context`, parsed; null when the caller gave none. */
  readonly context: Readonly<Record<string, string>> | null;
  /** Aborted with a `CancelReason`. Waits end at once; running reads are aborted, running writes may finish. */
  readonly cancel: Cancel;
  /** Passes 102 and 103 on; null when the client cannot take them. */
  readonly onInformational: ((status: number, headers: RawHeaders) => void) | null;

  /**
   * What must be durable before the wire. `attempt` awaits it directly before every dispatch, after every wait; a
   * rejection means that nothing is sent. Counts as deadline, not as attempt timeout.
   */
  beforeSend: (() => Promise<void>) | null;
  /** Told when a wait begins: an operation that has to wait before its first send is put on record as `reserved`. */
  beforeWait: (() => void) | null;
  /** History, oldest first. */
  readonly attempts: AttemptRecord[];
  /** Attempts that failed as a breaker's probe and went back to wait: they count as no retry. */
  failedProbes: number;
  /** Monotonic ms: since when a streamed body is being written; null while none is. The deadline stands still meanwhile. */
  uploadingSinceMs: number | null;
  /** The wait that the next attempt will record, and why. */
  pendingWait: { ms: number; reason: WaitReason } | null;
  /** All waits so far, ms. */
  waitedMs: number;
  /** All time spent in attempts so far, ms. */
  upstreamMs: number;
  /** The class of this very request, once `idempotent_if` was evaluated; null until somebody needed it. */
  operationClass: OperationClass | null;
  /** The upstream itself refuses a second one (`guarded_by`); looked at only when the effect of a create is unknown. */
  guarded: boolean;
  /** What the last attempt ran into, when an earlier one may have taken effect and a recipe speaks of it. */
  conflict: Conflict | null;
  /** Looks for this create, oldest first; they are no attempts of it. */
  readonly looks: LookRecord[];
  /** Why it was not sent again, when it was not. */
  withheld: WithheldReason | null;
  /** The operation in the ledger that this call runs; null when it needs none. */
  operation: OperationRun | null;
  /** Set when it ended as a dead letter; null otherwise. */
  fate: Fate | null;
  /** Nobody waits for it: it comes from the queue, a redrive or an earlier process. */
  unattended: boolean;
  /** `Prefer: respond-async` (RFC 7240); null when the caller waits for its answer. */
  preference: HandOverWish | null;
  /** Set for a call that the durable queue runs, or will run when it does not succeed; null otherwise. */
  queue: QueueTicket | null;
  /** Told once, when this call's answer has gone out whole (true) or its client has not got all of it (false). */
  onDelivered: ((complete: boolean) => void) | null;
  /**
   * The client has closed its side. It may wait for its answer all the same (semantics §10) or be gone, and nobody can
   * tell: nothing is cancelled, but a re-send may take its place.
   */
  inputEnded: boolean;
  /** Told when `inputEnded` becomes true. */
  onInputEnded: (() => void) | null;
}

/** The run of an operation by an exchange. */
export interface OperationRun {
  readonly id: string;
  /** The store has its row. */
  recorded: boolean;
  /** Epoch ms of the first dispatch of the operation, in this run or an earlier one; null while nothing was sent. */
  sentAtMs: number | null;
  /**
   * The operation comes from an earlier run (a caller that left, a crash, the queue) and may have taken effect there:
   * `reconcile` looks for it before anything is sent. Null otherwise.
   */
  readonly doubt: Doubt | null;
  /** Under which it is found again; left out while another call runs it. */
  readonly names?: RunNames;
  /** Epoch ms: when its caller asked for it; left out when that is the caller of this exchange. */
  readonly askedAtMs?: number;
  /** It is a dead letter already, and whoever wants to know was told. */
  readonly isDead?: boolean;
}

/** What an earlier run left behind. */
export interface Doubt {
  /** Looks that found nothing so far. */
  readonly looks: number;
  /**
   * Epoch ms: the end of the earlier run, or the start of this process when that run had none. Whatever it sent last may
   * land later than that, so looks are timed from here and not from the first send.
   */
  readonly lostAtMs: number;
  /** Only one look, nothing is sent: the caller re-sent an operation of unknown outcome (semantics §6). */
  readonly lookOnly: boolean;
  /** It took effect for certain, and only its answer is lost. Absent: not known. */
  readonly applied?: boolean;
}

/** An error of a later attempt that names what stands in its way: perhaps what an earlier one made. */
export interface Conflict {
  readonly recipe: ConflictRecipe;
  /** The named groups of the recipe's patterns. */
  readonly names: Readonly<Record<string, string>>;
}

/** What an exchange starts with. */
export type ExchangeStart = Pick<
  Exchange,
  | 'id'
  | 'policy'
  | 'params'
  | 'method'
  | 'target'
  | 'headers'
  | 'body'
  | 'receivedAtMs'
  | 'deadlineAtMs'
  | 'priority'
  | 'credentialRef'
  | 'scope'
  | 'idempotencyKey'
  | 'context'
  | 'onInformational'
>;

/** A new exchange: nothing has happened to it yet. One literal, so that all exchanges have one hidden class. */
export function newExchange(start: ExchangeStart): Exchange {
  return {
    id: start.id,
    policy: start.policy,
    params: start.params,
    method: start.method,
    target: start.target,
    headers: start.headers,
    body: start.body,
    receivedAtMs: start.receivedAtMs,
    deadlineAtMs: start.deadlineAtMs,
    priority: start.priority,
    credentialRef: start.credentialRef,
    scope: start.scope,
    idempotencyKey: start.idempotencyKey,
    context: start.context,
    cancel: new Cancel(),
    onInformational: start.onInformational,
    beforeSend: null,
    beforeWait: null,
    attempts: [],
    failedProbes: 0,
    uploadingSinceMs: null,
    pendingWait: null,
    waitedMs: 0,
    upstreamMs: 0,
    operationClass: null,
    guarded: false,
    conflict: null,
    looks: [],
    withheld: null,
    operation: null,
    fate: null,
    unattended: false,
    preference: null,
    queue: null,
    onDelivered: null,
    inputEnded: false,
    onInputEnded: null,
  };
}

/** Notes a wait of a layer; the reason on record is that of the longest since the last attempt. */
export function noteWait(exchange: Exchange, ms: number, reason: WaitReason): void {
  if (ms <= 0) return;
  exchange.waitedMs += ms;
  const { pendingWait } = exchange;
  const longest = pendingWait !== null && pendingWait.ms >= ms ? pendingWait.reason : reason;
  exchange.pendingWait = { ms: (pendingWait?.ms ?? 0) + ms, reason: longest };
}

/** Whether an earlier attempt of the operation may have taken effect (`after_unknown` rules ask this). */
export function mayHaveTakenEffect(exchange: Exchange): boolean {
  return (exchange.operation?.doubt ?? null) !== null || exchange.attempts.some((attempt) => attempt.effect !== 'none');
}

/** What all attempts so far did together: `applied` when one surely did, `unknown` when one may have. */
export function effectOfAttempts(exchange: Exchange): Effect {
  const doubt = exchange.operation?.doubt ?? null;
  if (doubt?.applied === true) return 'applied';
  let effect: Effect = doubt === null ? 'none' : 'unknown';
  for (const attempt of exchange.attempts) {
    if (attempt.effect === 'applied') return 'applied';
    if (attempt.effect === 'unknown') effect = 'unknown';
  }
  return effect;
}

/** A streamed body has been written, or will not be any further: the time that it took does not count. */
export function uploadEnded(exchange: Exchange, nowMs: number): void {
  if (exchange.uploadingSinceMs === null) return;
  exchange.deadlineAtMs += nowMs - exchange.uploadingSinceMs;
  exchange.uploadingSinceMs = null;
}
