/**
 * The port between the `attempt` layer and `upstream/`: types only, so that neither imports the other and tests can put
 * a scripted upstream in its place. It is a push interface like undici's own handler and not a promise of a Response,
 * because fetch and web streams cost four to six times the processor time (performance, "What was learned" 1).
 */

import type { RequestBody } from './exchange.ts';
import type { FailureKind, Sent } from './outcome.ts';
import type { RawHeaders } from './raw-headers.ts';

/** One request to be written. */
export interface WireRequest {
  readonly method: string;
  readonly target: string;
  /** Without `Host`: the upstream's own is added. */
  readonly headers: RawHeaders;
  readonly body: RequestBody;
}

/** How a wire call failed. `sent` is decided by the phase that was reached (semantics §2). */
export interface WireFailure {
  readonly kind: FailureKind;
  readonly sent: Sent;
  /** `caller`: the body of the request broke off, which says nothing about the upstream. */
  readonly fault: 'upstream' | 'caller';
  /** For the log. */
  readonly detail: string;
}

/**
 * Receives the events of one call, in this order: `onStart`, any `onInformational`, `onHead`, any `onData`, `onEnd`.
 * `onFailure` may come at any point instead, is the last, and comes once. After `abort` nothing comes any more.
 * `onStart` and `onFailure` may come before `dispatch` has returned. None of these functions may throw.
 */
export interface WireHandler {
  /** Runs directly before the first byte is written: from here on `sent` is maybe. */
  onStart(): void;
  /** Streamed request bodies only: one more piece went to the socket, or, with `whole`, there is no more to come. */
  onUpload(whole: boolean): void;
  /** 102 and 103 only; hop-by-hop fields are stripped. */
  onInformational(status: number, headers: RawHeaders): void;
  /** Hop-by-hop fields are stripped. */
  onHead(status: number, headers: RawHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: RawHeaders): void;
  onFailure(failure: WireFailure): void;
}

/** One call under way. */
export interface WireCall {
  pause(): void;
  resume(): void;
  /** Ends the call: before `onStart` the request is never written; afterwards its socket is destroyed. Idempotent. */
  abort(): void;
}

/** What can be cancelled; `signal` is asked for by a wait only, since an exchange makes it when it is asked for. */
export interface Cancellable {
  readonly signal: AbortSignal;
}

/** A place among `upstream.connections`; give it back exactly once. */
export type ReleaseConnection = () => void;

/** What speaks to the upstream. */
export interface Wire {
  /**
   * Takes a free connection, or waits in line for one. Resolves null when `cancel` came first. Synchronous when
   * one is free, which is nearly always.
   */
  connection(cancel: Cancellable): ReleaseConnection | Promise<ReleaseConnection | null>;
  /** Sends one request on a connection that the caller holds. Never sends anything twice by itself. */
  dispatch(request: WireRequest, handler: WireHandler): WireCall;
}
