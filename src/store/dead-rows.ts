import type { DeadHead } from '../core/dead-letters.ts';
import type { AttemptRecord } from '../core/exchange.ts';
import { plainPartOf, type Row } from './columns.ts';

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
