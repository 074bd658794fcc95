import type { DeadHead } from '../core/dead-letters.ts';
import type { AttemptRecord } from '../core/exchange.ts';
import type { OperationState } from '../core/operation.ts';
import { plainPartOf, type Row } from './columns.ts';
import type { DeadGroupPart } from './protocol.ts';

/** A dead letter as lists show it. Of the attempts only the last is read. */
export function headOf(row: Row): DeadHead {
  const lines = row['attempts'] as string;
  const before = lines.lastIndexOf('\n', lines.length - 2);
  return {
    ...plainPartOf(row),
    attempts: lines.split('\n').length - 1,
    lastAttempt: lines === '' ? null : (JSON.parse(lines.slice(before + 1)) as AttemptRecord),
  };
}

/** The rows of a group in one state. */
export function partOf(row: Row): DeadGroupPart {
  return {
    id: row['id'] as number,
    causeId: row['cause_id'] as string,
    label: row['label'] as string,
    endpoint: row['endpoint'] as string,
    deadReason: row['dead_reason'] as DeadGroupPart['deadReason'],
    state: row['state'] as OperationState,
    rows: row['rows'] as number,
    calls: row['calls'] as number,
    bytes: row['bytes'] as number,
    firstAtMs: row['first_ms'] as number,
    lastAtMs: row['last_ms'] as number,
  };
}
