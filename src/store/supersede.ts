import type { Success, Superseded } from '../core/dead-letters.ts';
import type { Statements } from './statements.ts';

/** Rows that one success marks: some ms of the disk. */
const MARKED_MAX = 1000;

/** Older rows of a success's natural key. */
const OLDER = `natural_key = ? AND scope = ? AND endpoint = ? AND state IN ('dead', 'unknown')
  AND dead_reason IS NOT NULL AND dead_at_ms <= ? AND id <> ?`;

/** What a success does to dead letters (`DeadLetterStore.supersede`). Runs in the store's thread, in its transaction. */
export function supersede(statements: Statements, success: Success): Superseded {
  const { id, nowMs } = success;
  const row = ofKey(statements, success) ?? oldestOfNature(statements, success);
  if (row !== undefined) {
    statements
      .run("UPDATE operations SET state = 'superseded', superseded_by = ?, updated_at_ms = ? WHERE n = ?")
      .run(id, nowMs, row['n'] as number);
    markOlder(statements, success);
    return { superseded: row['id'] as string, maybe: null };
  }
  const equal = statements
    .run(
      `SELECT n, id FROM operations WHERE identity = ? AND scope = ? AND dead_reason IS NOT NULL
       AND state IN ('dead', 'unknown') AND maybe_superseded_by IS NULL AND id <> ? ORDER BY n LIMIT 1`,
    )
    .get(success.identity, success.scope, id);
  if (equal === undefined) return { superseded: null, maybe: null };
  statements
    .run('UPDATE operations SET maybe_superseded_by = ?, updated_at_ms = ? WHERE n = ?')
    .run(id, nowMs, equal['n'] as number);
  return { superseded: null, maybe: equal['id'] as string };
}

function ofKey(statements: Statements, { id, scope, keyHash }: Success) {
  if (keyHash === null) return undefined;
  return statements
    .run(
      `SELECT n, id FROM operations WHERE former_key_hash = ? AND scope = ? AND state = 'dead'
       AND dead_reason IS NOT NULL AND id <> ? ORDER BY n LIMIT 1`,
    )
    .get(keyHash, scope, id);
}

function oldestOfNature(statements: Statements, { id, scope, endpoint, naturalKey, sentAtMs }: Success) {
  if (naturalKey === null) return undefined;
  return statements
    .run(`SELECT n, id FROM operations WHERE ${OLDER} ORDER BY n LIMIT 1`)
    .get(naturalKey, scope, endpoint, sentAtMs, id);
}

/** The others: sent again, one of them would undo the success, or be refused for it. */
function markOlder(statements: Statements, { id, scope, endpoint, naturalKey, sentAtMs, nowMs }: Success): void {
  if (naturalKey === null) return;
  statements
    .run(
      `UPDATE operations SET maybe_superseded_by = ?, updated_at_ms = ? WHERE n IN (
         SELECT n FROM operations WHERE ${OLDER} AND maybe_superseded_by IS NULL LIMIT ${MARKED_MAX})`,
    )
    .run(id, nowMs, naturalKey, scope, endpoint, sentAtMs, id);
}
