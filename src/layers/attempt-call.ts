/**
 * One call on the wire up to the point where it can be judged: a whole answer, the head of one that streams, or a failure.
 * It owns the attempt's clock. One timer at a time is armed and looks at what is due when it fires, because connect,
 * upload, head and body follow each other and a plain call should pay for a single timer.
 */

import type { ByteBudget } from '../core/byte-budget.ts';
import type { CancelListener } from '../core/cancel.ts';
import { type CancelReason, type Exchange, uploadEnded } from '../core/exchange.ts';
import type { FailureKind, Sent } from '../core/outcome.ts';
import type { Limits } from '../core/policy.ts';
import { headerOf, type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import type { ReleaseConnection, Wire, WireCall, WireFailure, WireHandler } from '../core/wire.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import { AnswerFlow } from './attempt-flow.ts';

/** What a call on the wire needs. */
export interface CallParts {
  readonly wire: Wire;
  readonly clock: Clock;
  /** All held bodies of the process. */
  readonly buffered: ByteBudget;
  readonly limits: () => Limits;
  /** `current()` is the `Authorization` to send in the place of the caller's; null sends the caller's. */
  readonly credentials: { current(): string | null };
}

/** What was seen when the call could be judged. */
export interface Sighting {
  /** Null when no head came. */
  readonly status: number | null;
  readonly headers: RawHeaders;
  /** What was held of the body: all of it when `flow` is null and nothing failed. */
  readonly chunks: Buffer[];
  readonly bytes: number;
  /** The body that still comes, with `chunks` in front of it; null when there is no more. */
  readonly flow: AnswerFlow | null;
  readonly trailers: RawHeaders;
  readonly failure: WireFailure | null;
}

const NO_FIELDS: RawHeaders = [];
const AUTHORIZATION: ReadonlySet<string> = new Set(['authorization']);

/** Sends one request, on a connection that is held already, and resolves when there is something to judge. */
export function callUpstream(parts: CallParts, exchange: Exchange, release: ReleaseConnection): Promise<Sighting> {
  return new Promise((resolve) => new AttemptCall(parts, exchange, release, resolve).send());
}

class AttemptCall implements WireHandler, CancelListener {
  readonly #parts: CallParts;
  readonly #exchange: Exchange;
  readonly #release: ReleaseConnection;
  readonly #resolve: (sighting: Sighting) => void;
  readonly #startedAtMs: number;
  /** Aborted by the client's leaving or the deadline; a write runs on, since stopping it undoes nothing. */
  readonly #abortable: boolean;
  readonly #isRead: boolean;
  #call: WireCall | null = null;
  #cancelTimer: CancelTimer | null = null;
  #sent: Sent = 'no';
  /** While a streamed request body is being written: when its last piece went out. Null before and afterwards. */
  #uploadedAtMs: number | null = null;
  /** What the attempt's limit counts from: dispatch, or the end of a streamed request body. */
  #limitFromMs: number;
  #status: number | null = null;
  #headers: RawHeaders = NO_FIELDS;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #holdBytesMax = 0;
  #flow: AnswerFlow | null = null;
  #judged = false;
  #over = false;

  constructor(parts: CallParts, exchange: Exchange, release: ReleaseConnection, resolve: (sighting: Sighting) => void) {
    this.#parts = parts;
    this.#exchange = exchange;
    this.#release = release;
    this.#resolve = resolve;
    this.#startedAtMs = parts.clock.now();
    this.#limitFromMs = this.#startedAtMs;
    this.#isRead = exchange.policy.operationClass === 'read';
    this.#abortable = this.#isRead || exchange.policy.mode === 'observe';
  }

  send(): void {
    const { method, target, headers, body, cancel } = this.#exchange;
    const own = this.#parts.credentials.current();
    const fields = own === null ? headers : [...withoutHeaders(headers, AUTHORIZATION), 'Authorization', own];
    if (this.#abortable) cancel.listen(this);
    this.#watch();
    this.#call = this.#parts.wire.dispatch({ method, target, headers: fields, body }, this);
  }

  onStart(): void {
    this.#sent = 'maybe';
    if (this.#exchange.body.kind !== 'stream') return;
    this.#uploadedAtMs = this.#parts.clock.now();
    this.#exchange.uploadingSinceMs = this.#uploadedAtMs;
  }

  onUpload(whole: boolean): void {
    const now = this.#parts.clock.now();
    this.#uploadedAtMs = whole ? null : now;
    if (!whole || this.#judged) return;
    uploadEnded(this.#exchange, now);
    this.#limitFromMs = now;
    this.#cancelTimer?.();
    this.#watch();
  }

  onInformational(status: number, headers: RawHeaders): void {
    this.#sent = 'yes';
    this.#exchange.onInformational?.(status, headers);
  }

  onHead(status: number, headers: RawHeaders): void {
    this.#sent = 'yes';
    this.#status = status;
    this.#headers = headers;
    this.#holdBytesMax = holdBytesMax(this.#exchange, this.#parts.limits(), status, headers);
    if (this.#holdBytesMax === 0) this.#stream();
  }

  onData(chunk: Buffer): void {
    if (this.#flow !== null) return this.#flow.data(chunk);
    this.#chunks.push(chunk);
    const fits = this.#bytes + chunk.length <= this.#holdBytesMax && this.#parts.buffered.tryTake(chunk.length);
    if (fits) this.#bytes += chunk.length;
    else this.#stream();
  }

  onEnd(trailers: RawHeaders): void {
    this.#leave();
    if (this.#flow === null) this.#judge(trailers, null);
    else this.#flow.end({ kind: 'end', trailers });
  }

  onFailure(failure: WireFailure): void {
    this.#leave();
    if (this.#flow === null) this.#judge(NO_FIELDS, failure);
    else this.#flow.end({ kind: 'failure', failure: failure.kind });
  }

  /** Lets the rest of the body flow. What was held stays in the budget until the flow is over. */
  #stream(): void {
    this.#call?.pause();
    const { clock, buffered } = this.#parts;
    const held = this.#bytes;
    this.#flow = new AnswerFlow({
      clock,
      call: this.#call,
      abort: () => this.#abort(),
      idleMs: this.#exchange.policy.mode === 'observe' ? Infinity : this.#exchange.policy.timeout.bodyIdleMs,
      chunks: [...this.#chunks],
      ending: null,
      onOver: () => buffered.giveBack(held),
    });
    this.#judge(NO_FIELDS, null);
  }

  /** The client left, or the deadline passed: the upstream is not to blame for the first. A shutdown lets calls finish. */
  cancelled(reason: CancelReason): void {
    if (reason === 'deadline') this.#end('timeout', 'upstream', 'the deadline passed');
    else if (reason === 'client_gone') this.#end('reset', 'caller', 'the client went away');
  }

  /** Arms the timer for whatever is due next. */
  #watch(): void {
    const dueInMs = this.#dueAtMs() - this.#parts.clock.now();
    this.#cancelTimer = this.#parts.clock.timer(dueInMs, () => {
      if (this.#dueAtMs() > this.#parts.clock.now()) return this.#watch();
      this.#end('timeout', 'upstream', `not done after ${Math.round(this.#parts.clock.now() - this.#startedAtMs)} ms`);
    });
  }

  #dueAtMs(): number {
    const { policy, deadlineAtMs } = this.#exchange;
    if (policy.mode === 'observe') return Infinity;
    const { connectMs, attemptMs, bodyIdleMs } = policy.timeout;
    let dueAtMs = this.#limitFromMs + attemptMs;
    if (this.#sent === 'no') dueAtMs = Math.min(dueAtMs, this.#startedAtMs + connectMs);
    else if (this.#uploadedAtMs !== null) dueAtMs = this.#uploadedAtMs + bodyIdleMs;
    return this.#isRead && this.#uploadedAtMs === null ? Math.min(dueAtMs, deadlineAtMs) : dueAtMs;
  }

  /** Ends the call from our side. The phase decides what it is called (semantics §2). */
  #end(kind: FailureKind, fault: WireFailure['fault'], detail: string): void {
    if (this.#judged) return;
    this.#abort();
    const named = this.#sent === 'no' ? 'connect' : this.#status === null ? kind : 'truncated';
    this.#judge(NO_FIELDS, { kind: named, sent: this.#sent, fault, detail });
  }

  #judge(trailers: RawHeaders, failure: WireFailure | null): void {
    if (this.#judged) return;
    this.#judged = true;
    uploadEnded(this.#exchange, this.#parts.clock.now());
    this.#cancelTimer?.();
    if (this.#abortable) this.#exchange.cancel.unlisten(this);
    this.#resolve({
      status: this.#status,
      headers: this.#headers,
      chunks: this.#chunks,
      bytes: this.#bytes,
      flow: this.#flow,
      trailers,
      failure,
    });
  }

  #abort(): void {
    this.#call?.abort();
    this.#leave();
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
  }
}

/**
 * How much of a body is held before the answer is judged: errors to be read, answers that their row promises to be JSON
 * and that claim to be something like it, and bodies that are empty anyway. 0 lets it flow at once.
 */
function holdBytesMax({ method, policy }: Exchange, limits: Limits, status: number, headers: RawHeaders): number {
  const length = headerOf(headers, 'content-length');
  if (status >= 400 || length === '0' || method === 'HEAD' || status === 204 || status === 304) {
    return limits.errorBodyBytes;
  }
  const promised = status < 300 && (policy.answer.kind === 'json' || policy.answer.kind === 'template');
  if (!promised || (length !== null && Number(length) > limits.storedAnswerBytes)) return 0;
  const type = headerOf(headers, 'content-type');
  return type === null || /json|^text\/(?:html|plain)/i.test(type) ? limits.storedAnswerBytes : 0;
}
