/** Operations as rows and back. */

import type { DeadHead } from '../core/dead-letters.ts';
import type { AttemptRecord } from '../core/exchange.ts';
import type { DeadReason, Operation, OperationChange, OperationState } from '../core/operation.ts';
import type { OpenOperation } from '../core/store.ts';
import type { Effect, OperationClass } from '../core/verdict.ts';

/** What SQLite stores, without bytes. */
export type Value = string | number | null;

/** Columns of `operations` that an insert binds as they are, in the order of `valuesOf`. */
export const INSERTED: readonly string[] = [
  'id',
  'kind',
  'scope',
  'key_hash',
  'endpoint',
  'operation_class',
  'method',
  'target',
  'body_kept',
  'credential_ref',
  'fingerprint',
  'identity',
  'parent',
  'state',
  'effect',
  'reason',
  'dead_reason',
  'created_at_ms',
  'updated_at_ms',
  'sent_at_ms',
  'due_at_ms',
  'expires_at_ms',
  'answer_id',
  'delivered',
  'looks',
  'dead_at_ms',
  'cause_id',
  'cause_label',
  'count',
  'former_key_hash',
  'natural_key',
  'config_hash',
  'handed_over',
  'lane',
  'resource',
  'superseded_by',
  'maybe_superseded_by',
  'redrive_id',
];

/** The values for `INSERTED`. */
export function valuesOf(operation: Operation): Value[] {
  return [
    operation.id,
    operation.kind,
    operation.scope,
    operation.keyHash,
    operation.endpoint,
    operation.operationClass,
    operation.method,
    operation.target,
    operation.bodyKept ? 1 : 0,
    operation.credentialRef,
    operation.fingerprint,
    operation.identity,
    operation.parent,
    operation.state,
    operation.effect,
    operation.reason,
    operation.deadReason,
    operation.createdAtMs,
    operation.updatedAtMs,
    operation.sentAtMs,
    operation.dueAtMs,
    operation.expiresAtMs,
    operation.answerId,
    operation.delivered ? 1 : 0,
    operation.looks,
    operation.deadAtMs,
    operation.causeId,
    operation.causeLabel,
    operation.count,
    operation.formerKeyHash,
    operation.naturalKey,
    operation.configHash,
    operation.handedOver ? 1 : 0,
    operation.lane,
    operation.resource,
    operation.supersededBy,
    operation.maybeSupersededBy,
    operation.redriveId,
  ];
}

/** The column that a member of a change sets; `attempts` and `answer` have ways of their own. */
export const CHANGED: Readonly<Record<Exclude<keyof OperationChange, 'answer' | 'attempts'>, string>> = {
  state: 'state',
  updatedAtMs: 'updated_at_ms',
  keyHash: 'key_hash',
  identity: 'identity',
  effect: 'effect',
  reason: 'reason',
  deadReason: 'dead_reason',
  sentAtMs: 'sent_at_ms',
  dueAtMs: 'due_at_ms',
  expiresAtMs: 'expires_at_ms',
  answerId: 'answer_id',
  delivered: 'delivered',
  looks: 'looks',
  deadAtMs: 'dead_at_ms',
  causeId: 'cause_id',
  causeLabel: 'cause_label',
  formerKeyHash: 'former_key_hash',
  naturalKey: 'natural_key',
  configHash: 'config_hash',
  handedOver: 'handed_over',
  lane: 'lane',
  resource: 'resource',
  supersededBy: 'superseded_by',
  maybeSupersededBy: 'maybe_superseded_by',
  redriveId: 'redrive_id',
};

/** A row of `operations`, with what the statement joined to it. */
export type Row = Readonly<Record<string, Value | Uint8Array>>;

/** The part of an operation that a hold needs. */
export function openOperationOf(row: Row): OpenOperation {
  return {
    id: row['id'] as string,
    endpoint: row['endpoint'] as string,
    operationClass: row['operation_class'] as OperationClass,
    scope: row['scope'] as string,
    keyHash: row['key_hash'] as string | null,
    identity: row['identity'] as string,
    state: row['state'] as OperationState,
    effect: row['effect'] as Effect,
    createdAtMs: row['created_at_ms'] as number,
    updatedAtMs: row['updated_at_ms'] as number,
    sentAtMs: row['sent_at_ms'] as number | null,
    delivered: row['delivered'] === 1,
    handedOver: row['handed_over'] === 1,
  };
}

/** A whole operation; what was sealed is given in clear. */
export function operationOf(row: Row, opened: Pick<Operation, 'body' | 'credential' | 'answer'>): Operation {
  return {
    ...plainPartOf(row),
    ...opened,
    keyHash: row['key_hash'] as string | null,
    kind: row['kind'] as 'outbound',
    headers: JSON.parse(row['headers'] as string) as string[],
    fingerprint: row['fingerprint'] as string | null,
    formerKeyHash: row['former_key_hash'] as string | null,
    attempts: attemptsIn(row['attempts'] as string),
  };
}

/** What lists of dead letters show as well. */
export function plainPartOf(row: Row): Omit<DeadHead, 'attempts' | 'lastAttempt'> {
  const { keyHash: _, ...open } = openOperationOf(row);
  const context = row['context'] as string | null;
  return {
    ...open,
    method: row['method'] as string,
    target: row['target'] as string,
    bodyKept: row['body_kept'] === 1,
    credentialRef: row['credential_ref'] as string,
    context: context === null ? null : (JSON.parse(context) as Record<string, string>),
    parent: row['parent'] as string | null,
    reason: row['reason'] as string,
    deadReason: row['dead_reason'] as DeadReason | null,
    dueAtMs: row['due_at_ms'] as number | null,
    expiresAtMs: row['expires_at_ms'] as number | null,
    answerId: row['answer_id'] as string | null,
    looks: row['looks'] as number,
    deadAtMs: row['dead_at_ms'] as number | null,
    causeId: row['cause_id'] as string | null,
    causeLabel: row['cause_label'] as string | null,
    count: row['count'] as number,
    naturalKey: row['natural_key'] as string | null,
    configHash: row['config_hash'] as string | null,
    lane: row['lane'] as string | null,
    resource: row['resource'] as string | null,
    supersededBy: row['superseded_by'] as string | null,
    maybeSupersededBy: row['maybe_superseded_by'] as string | null,
    redriveId: row['redrive_id'] as string | null,
  };
}

/** Attempts as they are appended to those of a row. */
export function attemptLines(attempts: readonly AttemptRecord[]): string {
  return attempts.map((record) => `${JSON.stringify(record)}\n`).join('');
}

function attemptsIn(lines: string): AttemptRecord[] {
  return lines
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AttemptRecord);
}
