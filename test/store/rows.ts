import type { AttemptRecord } from '../../src/core/exchange.ts';
import type { Operation, OperationChange } from '../../src/core/operation.ts';

export const NOW_MS = Date.UTC(2026, 10, 22);

/** An operation as the idempotency layer would insert it; what a test is about, it gives. */
export function row(given: Partial<Operation> & Pick<Operation, 'id'>): Operation {
  return {
    kind: 'outbound',
    endpoint: 'POST /contacts',
    operationClass: 'create',
    method: 'POST',
    target: '/contacts?a=1',
    headers: ['Content-Type', 'application/json', 'X-A', 'é\u0000"'],
    body: Buffer.from('{"email":"planted-body@example.com"}'),
    bodyKept: true,
    scope: 'scope-a',
    credentialRef: 'c0ffee',
    credential: 'Bearer planted-credential',
    keyHash: null,
    fingerprint: null,
    identity: `identity of ${given.id}`,
    context: { workflow: 'enrich' },
    parent: null,
    state: 'sent',
    effect: 'none',
    reason: 'ok',
    deadReason: null,
    createdAtMs: NOW_MS,
    updatedAtMs: NOW_MS,
    sentAtMs: NOW_MS,
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    delivered: false,
    looks: 0,
    deadAtMs: null,
    causeId: null,
    causeLabel: null,
    count: 1,
    formerKeyHash: null,
    naturalKey: null,
    configHash: null,
    handedOver: false,
    lane: null,
    resource: null,
    supersededBy: null,
    maybeSupersededBy: null,
    redriveId: null,
    attempts: [],
    ...given,
  };
}

/** A change as the end of a run would make it. */
export function ended(given: Partial<OperationChange> = {}): OperationChange {
  return {
    state: 'succeeded',
    updatedAtMs: NOW_MS + 200,
    effect: 'applied',
    expiresAtMs: NOW_MS + 86_400_000,
    answer: { status: 200, headers: ['X-Planted', 'planted-header'], body: Buffer.from('{"id":"planted-answer"}') },
    answerId: '42',
    attempts: [attempt(1)],
    ...given,
  };
}

/** The record of one try. */
export function attempt(n: number): AttemptRecord {
  return {
    n,
    startedAtMs: NOW_MS,
    durationMs: 12.5,
    status: 200,
    failure: null,
    sent: 'yes',
    verdict: 'ok',
    reason: 'ok',
    effect: 'applied',
    waitedMs: 0,
    waitReason: null,
    requestId: `r-${n}`,
  };
}
