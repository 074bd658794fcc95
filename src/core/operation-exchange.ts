/**
 * From a stored operation back to an exchange that can enter the stack at `deadline`: after a crash, from the queue, or
 * for a redrive. Its history comes along, so that retries and effects count from where the earlier run stopped, and so
 * does the doubt of that run. The endpoint's rules are those of now and not of then: whoever changes the configuration
 * means the calls that are still to be made.
 */

import { type AttemptRecord, type Exchange, newExchange, type RequestBody } from './exchange.ts';
import type { Operation } from './operation.ts';
import type { EndpointMatch } from './settings.ts';

/** How an operation is run again. */
export interface RunAgain {
  /** Of the new exchange, for the log. */
  readonly id: string;
  /** Monotonic ms. */
  readonly nowMs: number;
  /** Monotonic ms. */
  readonly deadlineAtMs: number;
  /** RFC 9218 urgency, 0 to 7: nobody waits for most such runs. */
  readonly priority: number;
  /** Look at most, send nothing. */
  readonly lookOnly: boolean;
}

/** An exchange that runs the operation once more. What it adds to `attempts` is the history of this run. */
export function exchangeOfOperation(operation: Operation, match: EndpointMatch, run: RunAgain): Exchange {
  const exchange = newExchange({
    id: run.id,
    policy: match.policy,
    params: match.params,
    method: operation.method,
    target: operation.target,
    headers:
      operation.credential === null
        ? operation.headers.slice()
        : [...operation.headers, 'Authorization', operation.credential],
    body: bodyOf(operation),
    receivedAtMs: run.nowMs,
    deadlineAtMs: run.deadlineAtMs,
    priority: run.priority,
    credentialRef: operation.credentialRef,
    scope: operation.scope,
    idempotencyKey: null,
    context: operation.context,
    onInformational: null,
  });
  exchange.attempts.push(...historyOf(operation));
  exchange.operationClass = operation.operationClass;
  exchange.unattended = true;
  exchange.operation = {
    id: operation.id,
    recorded: true,
    sentAtMs: operation.sentAtMs,
    doubt: isInDoubt(operation)
      ? { looks: operation.looks, lostAtMs: operation.updatedAtMs, lookOnly: run.lookOnly || !operation.bodyKept }
      : null,
    names: {
      keyHash: operation.keyHash ?? operation.formerKeyHash,
      fingerprint: operation.fingerprint,
      identity: operation.identity,
    },
    askedAtMs: operation.createdAtMs,
    isDead: isDeadLetter(operation),
  };
  return exchange;
}

/** What a look has proven stands in the row alone: attempts are only ever added to. */
function historyOf({ operationClass, effect, attempts }: Operation): readonly AttemptRecord[] {
  if (operationClass !== 'create' || effect !== 'none') return attempts;
  return attempts.map((attempt) => (attempt.effect === 'none' ? attempt : { ...attempt, effect }));
}

/**
 * Whether an operation is a dead letter that somebody was told of. What a crash left in doubt is one only for the case that
 * it is not found.
 */
export function isDeadLetter({
  deadReason,
  state,
  reason,
}: Pick<Operation, 'deadReason' | 'state' | 'reason'>): boolean {
  return deadReason !== null && (state !== 'unknown' || reason !== 'interrupted');
}

/** Something of it was sent, and what came of it is not known to be nothing. */
function isInDoubt({ sentAtMs, effect, state }: Operation): boolean {
  return sentAtMs !== null && (effect !== 'none' || state === 'sent' || state === 'unknown');
}

/** A body that streamed through is gone: as one that was opened already, it forbids every attempt. */
function bodyOf({ body, bodyKept }: Operation): RequestBody {
  if (!bodyKept) return { kind: 'stream', lengthBytes: null, open: cannotOpen, opened: true };
  return body === null ? { kind: 'none' } : { kind: 'bytes', bytes: body };
}

function cannotOpen(): never {
  throw new Error('the body of this operation was not kept');
}
