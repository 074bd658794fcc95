import type { Success, Superseded } from '../core/dead-letters.ts';
import type { Row } from './columns.ts';
import type { Statements } from './statements.ts';

/** Rows that one success marks: some ms of the disk. */
const MARKED_MAX = 1000;

/** Nothing of it is on the wire: a redrive asks once more before it sends what it has taken. */
const OPEN = "dead_reason IS NOT NULL AND (state IN ('dead', 'unknown') OR (state = 'redriving' AND reason <> 'sent'))";
/** Older rows of a success's natural key, of its scope or of none. */
const OLDER = `natural_key IN (?, ?) AND endpoint = ? AND ${OPEN} AND dead_at_ms <= ? AND id <> ?`;

/** Older ones of a key are marked by the next: who sends one refused call under one key for months costs no more. */
const LAST_OF_KEY = `SELECT n FROM operations WHERE former_key_hash = ?1 AND scope = ?2 AND n < ?3 ORDER BY n DESC LIMIT ${MARKED_MAX}`;

/** What a success does to dead letters (`DeadLetterStore.supersede`). Runs in the store's thread, in its transaction. */
export function supersede(statements: Statements, success: Success): Superseded {
  const row = ofEdit(statements, success) ?? ofKey(statements, success) ?? oldestOfNature(statements, success);
  if (row !== undefined) settle(statements, row, success);
  markOfKey(statements, success);
  const older = markOlder(statements, success);
  if (row !== undefined) return { superseded: row['id'] as string, maybe: null };
  return { superseded: null, maybe: older ?? markEqual(statements, success) };
}

/** The key that a redrive lent it goes back, or nobody could use it again. */
function settle(statements: Statements, row: Row, { id, nowMs }: Success): void {
  statements
    .run(
      `UPDATE operations SET state = 'superseded', superseded_by = ?, updated_at_ms = ?,
       key_hash = CASE WHEN key_hash = former_key_hash THEN NULL ELSE key_hash END WHERE n = ?`,
    )
    .run(id, nowMs, row['n'] as number);
}

/** What an edited form was made of, and that of it in turn: the first, when all but that are settled. */
function ofEdit(statements: Statements, success: Success): Row | undefined {
  const first = originalOf(statements, success.id);
  for (let row = first; row !== undefined; row = originalOf(statements, row['id'] as string)) {
    settle(statements, row, success);
  }
  return first;
}

function originalOf(statements: Statements, id: string): Row | undefined {
  return statements
    .run(`SELECT n, id FROM operations WHERE id = (SELECT parent FROM operations WHERE id = ?) AND ${OPEN}`)
    .get(id) as Row | undefined;
}

function ofKey(statements: Statements, { id, scope, keyHash, sentAtMs }: Success): Row | undefined {
  if (keyHash === null) return undefined;
  return statements
    .run(
      `SELECT n, id FROM operations WHERE former_key_hash = ? AND scope = ? AND state = 'dead'
       AND dead_reason IS NOT NULL AND dead_at_ms <= ? AND id <> ? ORDER BY n LIMIT 1`,
    )
    .get(keyHash, scope, sentAtMs, id) as Row | undefined;
}

/** The others: when the key of the success is forgotten, nothing else would tell a redrive of it. */
function markOfKey(statements: Statements, { id, scope, keyHash, sentAtMs, nowMs }: Success): void {
  if (keyHash === null) return;
  statements
    .run(
      `UPDATE operations SET maybe_superseded_by = ?4, updated_at_ms = ?5
       WHERE n IN (${LAST_OF_KEY}) AND ${OPEN} AND maybe_superseded_by IS NULL AND dead_at_ms <= ?6 AND id <> ?4`,
    )
    .run(keyHash, scope, Number.MAX_SAFE_INTEGER, id, nowMs, sentAtMs);
}

function oldestOfNature(statements: Statements, success: Success): Row | undefined {
  return statements
    .run(`SELECT n, id FROM operations WHERE ${OLDER} AND scope = ? ORDER BY n LIMIT 1`)
    .get(...olderThan(success), success.scope) as Row | undefined;
}

/** The others: sent again, one of them would undo the success, or be refused for it. The first of them. */
function markOlder(statements: Statements, success: Success): string | null {
  const marked = statements
    .run(
      `UPDATE operations SET maybe_superseded_by = ?, updated_at_ms = ? WHERE n IN (
         SELECT n FROM operations WHERE ${OLDER} AND maybe_superseded_by IS NULL LIMIT ${MARKED_MAX}) RETURNING id`,
    )
    .all(success.id, success.nowMs, ...olderThan(success));
  return (marked[0]?.['id'] as string | undefined) ?? null;
}

function olderThan({ id, endpoint, naturalKey, anyScope, sentAtMs }: Success) {
  return [naturalKey, anyScope.naturalKey, endpoint, sentAtMs, id] as const;
}

/** An idempotent write that was wished for later is not the same: another one may stand between them. */
function markEqual(statements: Statements, { id, identity, anyScope, scope, sentAtMs, nowMs }: Success): string | null {
  const equal = statements
    .run(
      `SELECT n, id FROM operations WHERE identity IN (?1, ?2) AND (scope = ?3 OR identity = ?2) AND ${OPEN}
       AND maybe_superseded_by IS NULL AND (operation_class <> 'idempotent' OR dead_at_ms <= ?4) AND id <> ?5
       ORDER BY n LIMIT 1`,
    )
    .get(identity, anyScope.identity, scope, sentAtMs, id);
  if (equal === undefined) return null;
  statements
    .run('UPDATE operations SET maybe_superseded_by = ?, updated_at_ms = ? WHERE n = ?')
    .run(id, nowMs, equal['n'] as number);
  return equal['id'] as string;
}

/** What a dead letter stands in the place of: the row that it is an edited form of, and what died before under its key. */
const REPLACED = `n IN (SELECT n FROM operations WHERE id = ?4 UNION ALL SELECT n FROM (${LAST_OF_KEY}))`;

/** A dead letter is there, again or for the first time: what it stands for is passed by as long as it is. */
export function markReplaced(statements: Statements, n: number): void {
  const row = statements
    .run(
      `SELECT id, parent, former_key_hash, scope, updated_at_ms FROM operations
       WHERE n = ? AND state = 'dead' AND dead_reason IS NOT NULL`,
    )
    .get(n) as Row | undefined;
  if (row === undefined || (row['parent'] === null && row['former_key_hash'] === null)) return;
  statements
    .run(
      `UPDATE operations SET maybe_superseded_by = ?5, updated_at_ms = ?6
       WHERE ${REPLACED} AND n < ?3 AND ${OPEN} AND maybe_superseded_by IS NULL`,
    )
    .run(...replaced(row, n), row['id'] as string, row['updated_at_ms'] as number);
}

/** A dead letter that never came home goes: what it stood for wants something done again, or stands behind the next one. */
export function giveBack(statements: Statements, n: number): void {
  const row = statements
    .run(
      `SELECT id, parent, former_key_hash, scope, maybe_superseded_by FROM operations
       WHERE n = ? AND state = 'dead' AND dead_reason IS NOT NULL`,
    )
    .get(n) as Row | undefined;
  if (row === undefined || (row['parent'] === null && row['former_key_hash'] === null)) return;
  statements
    .run(`UPDATE operations SET maybe_superseded_by = ?6 WHERE ${REPLACED} AND maybe_superseded_by = ?5`)
    .run(...replaced(row, n), row['id'] as string, row['maybe_superseded_by'] as string | null);
}

function replaced(row: Row, n: number) {
  return [row['former_key_hash'] as string | null, row['scope'] as string, n, row['parent'] as string | null] as const;
}
