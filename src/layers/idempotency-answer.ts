/**
 * Answers that the ledger keeps, and answers that it makes. What is to be kept is collected while it comes, up to
 * `limits.stored_answer` and within the byte budget of the process; a larger one flows on to its caller with what was
 * collected in front, and is not kept. Nobody waits for a body that was given up.
 */

import type { ByteBudget } from '../core/byte-budget.ts';
import type { StoredAnswer } from '../core/operation.ts';
import type { Answered, AnswerStream, HoldfastCode, Outcome, Refused } from '../core/outcome.ts';
import type { RawHeaders } from '../core/raw-headers.ts';
import { type Effect, OK, refusedVerdict } from '../core/verdict.ts';
import type { Clock } from '../ops/clock.ts';
import { AnswerFlow, type FlowEnd } from './attempt-flow.ts';

/** What collecting needs. */
export interface CollectParts {
  readonly clock: Clock;
  readonly buffered: ByteBudget;
}

/** An answer whose body was looked at. */
export interface Collected {
  /** To be handed on in the place of the one given. */
  readonly outcome: Answered;
  /** All of the body; null when it is too large to be kept, or broke off. */
  readonly bytes: Buffer | null;
  /** It broke off: its reader will see that too. */
  readonly broken: boolean;
}

const HANDED_WHOLE_BYTES_MAX = 64 * 1024;

/** Reads the body of an answer up to `limitBytes`. */
export function collect(parts: CollectParts, answered: Answered, limitBytes: number): Promise<Collected> | Collected {
  const { body } = answered;
  if (body.kind === 'bytes') {
    return { outcome: answered, bytes: body.bytes.length <= limitBytes ? body.bytes : null, broken: false };
  }
  return new Promise((resolve) => new Collector(parts, answered, body.stream, limitBytes, resolve).start());
}

class Collector {
  readonly #parts: CollectParts;
  readonly #answered: Answered;
  readonly #stream: AnswerStream;
  readonly #limitBytes: number;
  readonly #resolve: (collected: Collected) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Takes what still comes, once the answer has been handed on. */
  #flow: AnswerFlow | null = null;

  constructor(
    parts: CollectParts,
    answered: Answered,
    stream: AnswerStream,
    limitBytes: number,
    resolve: (collected: Collected) => void,
  ) {
    this.#parts = parts;
    this.#answered = answered;
    this.#stream = stream;
    this.#limitBytes = limitBytes;
    this.#resolve = resolve;
  }

  start(): void {
    this.#stream.start(this);
  }

  data(chunk: Buffer): void {
    if (this.#flow !== null) return this.#flow.data(chunk);
    this.#chunks.push(chunk);
    if (this.#bytes + chunk.length <= this.#limitBytes && this.#parts.buffered.tryTake(chunk.length)) {
      this.#bytes += chunk.length;
      return;
    }
    this.#stream.pause();
    this.#handOn(null, null, false);
  }

  end(trailers: RawHeaders): void {
    this.#over({ kind: 'end', trailers });
  }

  fail(failure: Extract<FlowEnd, { kind: 'failure' }>['failure']): void {
    this.#over({ kind: 'failure', failure });
  }

  #over(ending: FlowEnd): void {
    if (this.#flow !== null) return this.#flow.end(ending);
    if (ending.kind === 'failure') return this.#handOn(ending, null, true);
    const bytes = Buffer.concat(this.#chunks, this.#bytes);
    if (bytes.length > HANDED_WHOLE_BYTES_MAX) return this.#handOn(ending, bytes, false);
    this.#parts.buffered.giveBack(this.#bytes);
    const outcome: Answered = { ...this.#answered, body: { kind: 'bytes', bytes }, trailers: ending.trailers };
    this.#resolve({ outcome, bytes, broken: false });
  }

  /** Lets the body flow out of memory, and on from the wire when it has not ended. */
  #handOn(ending: FlowEnd | null, bytes: Buffer | null, broken: boolean): void {
    const stream = this.#stream;
    const abort = (): void => stream.discard();
    this.#flow = new AnswerFlow({
      clock: this.#parts.clock,
      call: ending === null ? { pause: () => stream.pause(), resume: () => stream.resume(), abort } : null,
      abort,
      // The stream behind it watches over its own silence.
      idleMs: Infinity,
      chunks: this.#chunks,
      ending,
      onOver: () => this.#parts.buffered.giveBack(this.#bytes),
    });
    this.#resolve({ outcome: { ...this.#answered, body: { kind: 'stream', stream: this.#flow } }, bytes, broken });
  }
}

/** A finished operation's answer once more. */
export function replayOf(answer: StoredAnswer | null): Outcome {
  const body = answer?.body ?? null;
  if (answer === null || body === null) {
    return refusal(
      'holdfast_answer_not_kept',
      'answer_not_kept',
      'The call was done under this operation before, but its answer was larger than limits.stored_answer and is not kept. Read the object instead of sending the call again.',
      null,
      'applied',
    );
  }
  const { status, headers } = answer;
  return {
    kind: 'answered',
    from: 'replay',
    status,
    headers,
    body: { kind: 'bytes', bytes: body },
    trailers: [],
    verdict: OK,
  };
}

/** Copied: a slice would pin the buffer of a socket for as long as the answer is kept. */
export function copied({ status, headers, body }: StoredAnswer): StoredAnswer {
  if (body === null) return { status, headers, body };
  const own = Buffer.allocUnsafeSlow(body.length);
  body.copy(own);
  return { status, headers, body: own };
}

/** What is said of an operation that may have taken effect. */
export function outcomeUnknown(): Refused {
  return refusal(
    'holdfast_outcome_unknown',
    'outcome_unknown',
    'This operation was sent before and may or may not have been applied. It is looked for; send the same call again to learn more, or look yourself.',
    null,
    'unknown',
  );
}

/** A refusal of this layer. `effect` is that of the operation the call asked for. */
export function refusal(
  code: HoldfastCode,
  reason: string,
  message: string,
  retryAfterMs: number | null,
  effect: Effect = 'none',
): Refused {
  const verdict = { ...refusedVerdict(reason, retryAfterMs), effect, repeatable: effect === 'none' };
  return { kind: 'refused', by: 'idempotency', code, message, retryAfterMs, verdict };
}
