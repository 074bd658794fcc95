import type { DeadFilter } from '../core/dead-letters.ts';
import type { Value } from './columns.ts';

/** Conditions of a filter as SQL, each with `AND` before it, and what they bind. Few texts, so few statements. */
export interface Conditions {
  readonly sql: string;
  readonly values: readonly Value[];
}

/** All but `match`, which only reads what is sealed. */
export function conditionsOf(filter: DeadFilter): Conditions {
  const parts: string[] = [];
  const values: Value[] = [];
  const add = (sql: string, ...bound: Value[]): void => {
    parts.push(`AND ${sql}`);
    values.push(...bound);
  };
  if (filter.ids !== undefined) add('id IN (SELECT value FROM json_each(?))', JSON.stringify(filter.ids));
  if (filter.endpoint !== undefined) add('endpoint = ?', filter.endpoint);
  if (filter.cause !== undefined) add('(dead_reason = ? OR cause_id = ?)', filter.cause, filter.cause);
  if (filter.states !== undefined) add('state IN (SELECT value FROM json_each(?))', JSON.stringify(filter.states));
  if (filter.redriveId !== undefined) add('redrive_id = ?', filter.redriveId);
  if (filter.sinceMs !== undefined) add('dead_at_ms >= ?', filter.sinceMs);
  if (filter.untilMs !== undefined) add('dead_at_ms < ?', filter.untilMs);
  for (const [key, value] of Object.entries(filter.context ?? {})) {
    // No path of JSON: a key may hold anything.
    add('EXISTS (SELECT 1 FROM json_each(context) AS part WHERE part.key = ? AND part.value = ?)', key, value);
  }
  return { sql: parts.join(' '), values };
}
