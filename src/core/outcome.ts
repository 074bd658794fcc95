/**
 * Outcomes are values: every way an exchange can end is a member of this union, and throwing is left to bugs
 * (design, rule 2). `edge/respond.ts` is the one place that turns an outcome into a status code.
 */

import type { RawHeaders } from './raw-headers.ts';
import type { Verdict } from './verdict.ts';

/** Whether bytes of the request may have reached the upstream: by phase, never by error code (semantics §2). */
export type Sent = 'no' | 'maybe' | 'yes';

/**
 * How an attempt failed without a usable answer. `broken` is a 2xx that ended cleanly and is not what its row promises
 * (cut JSON, HTML, empty); `truncated` is one whose connection ended before its body did.
 */
export type FailureKind = 'connect' | 'dns' | 'tls' | 'timeout' | 'reset' | 'truncated' | 'broken';

/** The codes that Holdfast itself puts into error bodies (contract, "Errors made by Holdfast"). */
export type HoldfastCode =
  | 'holdfast_bad_request'
  | 'holdfast_unauthorized'
  | 'holdfast_not_found'
  | 'holdfast_in_flight'
  | 'holdfast_request_timeout'
  | 'holdfast_body_too_large'
  | 'holdfast_key_reused'
  | 'holdfast_answer_not_kept'
  | 'holdfast_quota_wait'
  | 'holdfast_upstream_unreachable'
  | 'holdfast_answer_broken'
  | 'holdfast_loop'
  | 'holdfast_breaker_open'
  | 'holdfast_overloaded'
  | 'holdfast_store_unavailable'
  | 'holdfast_deadline'
  | 'holdfast_upstream_timeout'
  | 'holdfast_outcome_unknown';

/** Receives the body of a streamed answer. Exactly one of `end` and `fail` is called, once, last. */
export interface AnswerSink {
  data(chunk: Buffer): void;
  end(trailers: RawHeaders): void;
  fail(failure: FailureKind): void;
}

/** A body that still flows from the upstream. Nothing is delivered before `start`. */
export interface AnswerStream {
  /** Starts the flow into the sink; at most once. */
  start(sink: AnswerSink): void;
  pause(): void;
  resume(): void;
  /** Gives the rest up: short rests are drained so that the socket can serve again, long ones destroy it. */
  discard(): void;
  /** Settles when the last byte went to the sink, the flow failed, or it was discarded. Never rejects. */
  readonly done: Promise<void>;
}

/** The body of an answer: whole in memory, or flowing. */
export type AnswerBody =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'stream'; readonly stream: AnswerStream };

interface Ending {
  readonly verdict: Verdict;
  /**
   * Set when the caller is answered before the exchange has really ended (deadline passed, client gone): resolves with
   * the true ending. Outer layers write their final record from it, `shed` counts until then, shutdown waits for it.
   */
  readonly settled?: Promise<Outcome>;
}

/** There is an answer for the caller, from the upstream or from what Holdfast keeps; `proxy` is the 202 of a hand-over. */
export interface Answered extends Ending {
  readonly kind: 'answered';
  readonly from: 'upstream' | 'replay' | 'reconcile' | 'cache' | 'proxy';
  readonly status: number;
  /** End-to-end fields only: hop-by-hop ones are already stripped. */
  readonly headers: RawHeaders;
  readonly body: AnswerBody;
  /** Upstream trailers of a body that was held whole. Empty when there were none. */
  readonly trailers: RawHeaders;
}

/** An attempt ended without a usable answer. */
export interface Failed extends Ending {
  readonly kind: 'failed';
  readonly failure: FailureKind;
  readonly sent: Sent;
  /** For the log only: may name hosts and system errors. */
  readonly detail: string;
}

/** A layer of ours ended the exchange; the upstream was not asked, or not asked again. */
export interface Refused extends Ending {
  readonly kind: 'refused';
  /** The layer's name. */
  readonly by: string;
  readonly code: HoldfastCode;
  /** What a client may see: says what to do next. */
  readonly message: string;
  readonly retryAfterMs: number | null;
}

/** How an exchange, or one attempt of it, ended. */
export type Outcome = Answered | Failed | Refused;

/** The answer's stream, when it has one: whoever drops the outcome must discard it. */
export function streamOf(outcome: Outcome): AnswerStream | null {
  return outcome.kind === 'answered' && outcome.body.kind === 'stream' ? outcome.body.stream : null;
}
