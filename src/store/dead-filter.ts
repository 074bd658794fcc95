import type { DeadFilter } from '../core/dead-letters.ts';
import type { Value } from './columns.ts';

/** The rows that a filter means: what follows FROM, up to its conditions, and what it binds. Few texts, so few statements. */
export interface DeadSource {
  /** Everything but `match`, which only reads what is sealed. */
  readonly sql: string;
  readonly values: readonly Value[];
  /** What to bound to read a part: SQLite does not carry a range from one side of a join to the other. */
  readonly n: 'dead.n' | 'named.n';
  /** The rows that have to be walked for it, and what that binds; null when they are few. */
  readonly walk: { readonly sql: string; readonly values: readonly Value[] } | null;
}

/** `groups` are the ids of the groups that fit; null when the filter does not tell groups apart. */
export function sourceOf(filter: DeadFilter, groups: readonly number[] | null): DeadSource {
  const parts: string[] = [];
  const values: Value[] = [];
  const add = (sql: string, ...bound: Value[]): void => {
    parts.push(sql);
    values.push(...bound);
  };
  const [first, ...others] = Object.entries(filter.context ?? {});
  if (first !== undefined) add('named.key = ? AND named.value = ?', ...first);
  for (const pair of others) {
    add(
      'EXISTS (SELECT 1 FROM dead_context AS other WHERE other.key = ? AND other.value = ? AND other.n = dead.n)',
      ...pair,
    );
  }
  if (groups !== null) add('dead.group_id IN (SELECT value FROM json_each(?))', JSON.stringify(groups));
  if (filter.ids !== undefined) add(`dead.n IN (${OF_IDS})`, JSON.stringify(filter.ids));
  if (filter.redriveId !== undefined)
    add('dead.n IN (SELECT n FROM operations WHERE redrive_id = ?)', filter.redriveId);
  if (filter.sinceMs !== undefined) add('dead.dead_at_ms >= ?', filter.sinceMs);
  if (filter.untilMs !== undefined) add('dead.dead_at_ms < ?', filter.untilMs);
  const from =
    first === undefined ? 'dead_rows AS dead' : 'dead_context AS named CROSS JOIN dead_rows AS dead USING (n)';
  const few = filter.ids !== undefined || filter.redriveId !== undefined;
  const sql = `${from} WHERE ${['true', ...parts].join(' AND ')}`;
  return { sql, values, n: first === undefined ? 'dead.n' : 'named.n', walk: few ? null : walkOf(first) };
}

const OF_IDS = 'SELECT n FROM operations WHERE id IN (SELECT value FROM json_each(?))';

function walkOf(pair: readonly [string, string] | undefined): DeadSource['walk'] {
  if (pair === undefined) return { sql: 'dead_rows AS dead WHERE true', values: [] };
  return { sql: 'dead_context AS dead WHERE dead.key = ? AND dead.value = ?', values: pair };
}
