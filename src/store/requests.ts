import type { Operation, OperationChange, OperationState, StoredAnswer } from '../core/operation.ts';
import { valuesOf } from './columns.ts';
import type { AnswerHead, KeptFacts, OperationText, Request } from './protocol.ts';

/** A request on its way to the thread: text made at once, so that later changes of lists do not reach the store. */
export interface Packed {
  readonly json: string;
  /** Copied when the batch goes out. */
  readonly bodies: readonly Uint8Array[];
  /** Of all bodies. */
  readonly bytes: number;
}

/** A request without bodies. */
export function pack(request: Request): Packed {
  return { json: JSON.stringify(request), bodies: [], bytes: 0 };
}

/** The request to insert an operation. */
export function packInsert(operation: Operation): Packed {
  return withBodies(['insert', textOf(operation)], operation.body, operation.answer?.body ?? null);
}

/** The request to keep a call that died. */
export function packDead(operation: Operation): Packed {
  const { id, scope, identity, formerKeyHash, causeId, deadReason, updatedAtMs } = operation;
  const facts: KeptFacts = {
    id,
    scope,
    identity,
    formerKeyHash,
    causeId,
    refused: deadReason === 'refused',
    nowMs: updatedAtMs,
  };
  return withBodies(['keepDead', textOf(operation), facts], operation.body, operation.answer?.body ?? null);
}

function textOf(operation: Operation): OperationText {
  return {
    values: valuesOf(operation),
    headers: operation.headers,
    credential: operation.credential,
    context: operation.context,
    attempts: operation.attempts,
    body: operation.body?.length ?? null,
    answer: headOf(operation.answer),
  };
}

/** The request to change an operation. */
export function packChange(id: string, change: OperationChange, from: readonly OperationState[] | null): Packed {
  const { answer, ...text } = change;
  return withBodies(
    ['change', id, text, from, answer === undefined ? false : headOf(answer)],
    answer?.body ?? null,
    null,
  );
}

/** One block of the bodies of a batch, to be given away. */
export function blockOf(batch: readonly Packed[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const { bytes } of batch) length += bytes;
  const block = new Uint8Array(length);
  let at = 0;
  for (const { bodies } of batch) {
    for (const body of bodies) {
      block.set(body, at);
      at += body.length;
    }
  }
  return block;
}

function headOf(answer: StoredAnswer | null): AnswerHead | null {
  return answer === null ? null : { status: answer.status, headers: answer.headers, body: answer.body?.length ?? null };
}

function withBodies(request: Request, first: Uint8Array | null, second: Uint8Array | null): Packed {
  const bodies: Uint8Array[] = [];
  if (first !== null) bodies.push(first);
  if (second !== null) bodies.push(second);
  return { json: JSON.stringify(request), bodies, bytes: (first?.length ?? 0) + (second?.length ?? 0) };
}
