import type {
  DeadCount,
  DeadFilter,
  DeadHead,
  DeadLimits,
  Evictable,
  Success,
  Superseded,
} from '../core/dead-letters.ts';
import type { OperationState } from '../core/operation.ts';
import type { Row } from './columns.ts';
import { type Conditions, conditionsOf } from './dead-filter.ts';
import { headOf } from './dead-rows.ts';
import { type Ledger, WHOLE } from './ledger.ts';
import type { DeadGroupPart, KeptFacts, OperationText, Slice } from './protocol.ts';
import type { Statements } from './statements.ts';

/** One request looks at so many index entries, or decrypts so many rows: some ms, and other batches come between. */
const SLICE_ROWS = 10_000;
const SLICE_WHOLE_ROWS = 300;
/** A deletion writes: the rows of one request. */
const SLICE_DELETED = 200;

const SCAN = 'FROM operations INDEXED BY operations_dead WHERE dead_reason IS NOT NULL';
const GROUPS_OF_ROWS = `
  SELECT coalesce(cause_id, '') AS cause_id, endpoint, dead_reason, state, count(*) AS rows, sum(count) AS calls,
    sum(bytes) AS bytes, min(created_at_ms) AS first_ms, max(dead_at_ms) AS last_ms,
    coalesce((SELECT label FROM dead_groups WHERE dead_groups.cause_id = operations.cause_id LIMIT 1), endpoint) AS label
  FROM operations INDEXED BY operations_dead
  WHERE dead_reason IS NOT NULL AND n IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3, 4`;
/** What runs is left alone. */
const DELETABLE = "state NOT IN ('redriving', 'sent', 'reserved', 'waiting')";

/** The statements of dead letters on an open ledger. Runs in the store's thread, in its transaction. */
export class DeadLedger {
  readonly #statements: Statements;
  readonly #ledger: Ledger;

  constructor(statements: Statements, ledger: Ledger) {
    this.#statements = statements;
    this.#ledger = ledger;
  }

  keep(text: OperationText, facts: KeptFacts, body: Uint8Array | null, answerBody: Uint8Array | null): string {
    const reserved = this.#statements.run("SELECT n FROM operations WHERE id = ? AND state = 'reserved'").get(facts.id);
    if (reserved !== undefined) this.#ledger.removeRow(reserved['n'] as number);
    if (facts.refused) {
      const equal = this.#statements
        .run(
          `SELECT n, id FROM operations WHERE identity = ? AND dead_reason = 'refused' AND state = 'dead' AND scope = ?
           AND former_key_hash IS ? AND cause_id IS ? ORDER BY n DESC LIMIT 1`,
        )
        .get(facts.identity, facts.scope, facts.formerKeyHash, facts.causeId);
      if (equal !== undefined) {
        this.#statements
          .run('UPDATE operations SET count = count + 1, updated_at_ms = ?1, dead_at_ms = ?1 WHERE n = ?2')
          .run(facts.nowMs, equal['n'] as number);
        return equal['id'] as string;
      }
    }
    this.#ledger.insert(text, body, answerBody);
    return facts.id;
  }

  supersede(success: Success): Superseded {
    const { id, scope, endpoint, keyHash, naturalKey, identity, sentAtMs, nowMs } = success;
    const row =
      (keyHash === null
        ? undefined
        : this.#statements
            .run(
              `SELECT n, id FROM operations WHERE former_key_hash = ? AND scope = ? AND state = 'dead'
               AND dead_reason IS NOT NULL AND id <> ? ORDER BY n LIMIT 1`,
            )
            .get(keyHash, scope, id)) ??
      (naturalKey === null
        ? undefined
        : this.#statements
            .run(
              `SELECT n, id FROM operations WHERE natural_key = ? AND scope = ? AND endpoint = ?
               AND state IN ('dead', 'unknown') AND dead_reason IS NOT NULL AND dead_at_ms <= ? AND id <> ?
               ORDER BY n LIMIT 1`,
            )
            .get(naturalKey, scope, endpoint, sentAtMs, id));
    if (row !== undefined) {
      this.#statements
        .run("UPDATE operations SET state = 'superseded', superseded_by = ?, updated_at_ms = ? WHERE n = ?")
        .run(id, nowMs, row['n'] as number);
      return { superseded: row['id'] as string, maybe: null };
    }
    const equal = this.#statements
      .run(
        `SELECT n, id FROM operations WHERE identity = ? AND scope = ? AND dead_reason IS NOT NULL
         AND state IN ('dead', 'unknown') AND maybe_superseded_by IS NULL AND id <> ? ORDER BY n LIMIT 1`,
      )
      .get(identity, scope, id);
    if (equal === undefined) return { superseded: null, maybe: null };
    this.#statements
      .run('UPDATE operations SET maybe_superseded_by = ?, updated_at_ms = ? WHERE n = ?')
      .run(id, nowMs, equal['n'] as number);
    return { superseded: null, maybe: equal['id'] as string };
  }

  /** The matching rows of the next slice before `cursor`, newest first. */
  list(filter: DeadFilter, cursor: number | null, limit: number): Slice<DeadHead> {
    const slice = this.#slice(filter, cursor, limit);
    const rows = slice.found.map((n) => this.#statements.run('SELECT * FROM operations WHERE n = ?').get(n) as Row);
    return { found: rows.map(headOf), next: slice.next };
  }

  /** All groups, from the counts that triggers keep. */
  groups(): DeadGroupPart[] {
    const rows = this.#statements.run('SELECT * FROM dead_groups').all() as Row[];
    return rows.map(partOf);
  }

  /** The groups of the matching rows of the next slice. */
  groupsOf(filter: DeadFilter, cursor: number | null): Slice<DeadGroupPart> {
    const { found, next } = this.#slice(filter, cursor, SLICE_ROWS);
    const rows = this.#statements.run(GROUPS_OF_ROWS).all(JSON.stringify(found)) as Row[];
    return { found: rows.map(partOf), next };
  }

  /** Ids of the newest rows of each of these causes, at most three each. */
  samples(causeIds: readonly string[]): string[][] {
    const newest = this.#statements.run(
      'SELECT id FROM operations WHERE cause_id = ? AND dead_reason IS NOT NULL ORDER BY n DESC LIMIT 3',
    );
    return causeIds.map((causeId) => newest.all(causeId).map((row) => row['id'] as string));
  }

  counts(): DeadCount[] {
    const rows = this.#statements
      .run('SELECT endpoint, state, sum(rows) AS rows, sum(bytes) AS bytes FROM dead_groups GROUP BY 1, 2')
      .all();
    return rows.map((row) => ({
      endpoint: row['endpoint'] as string,
      state: row['state'] as OperationState,
      rows: row['rows'] as number,
      bytes: row['bytes'] as number,
    }));
  }

  /** Deletes what matches in the next slice; `found` has the ids. */
  purge(filter: DeadFilter, cursor: number | null): Slice<string> {
    const { found, next } = this.#slice(filter, cursor, SLICE_DELETED);
    return { found: this.#remove(found), next };
  }

  evictable({ beforeMs, maxEntries, maxBytes }: DeadLimits, limit: number): Evictable[] {
    const old = this.#statements
      .run(
        `SELECT id FROM operations WHERE dead_at_ms < ? AND dead_reason IS NOT NULL AND ${DELETABLE}
         ORDER BY dead_at_ms LIMIT ?`,
      )
      .all(beforeMs, limit)
      .map((row): Evictable => ({ id: row['id'] as string, why: 'age' }));
    if (old.length > 0) return old;
    const total = this.#statements.run('SELECT sum(rows) AS rows, sum(bytes) AS bytes FROM dead_groups').get() ?? {};
    let rowsOver = ((total['rows'] as number | null) ?? 0) - maxEntries;
    let bytesOver = ((total['bytes'] as number | null) ?? 0) - maxBytes;
    const taken: Evictable[] = [];
    if (rowsOver <= 0 && bytesOver <= 0) return taken;
    // Those that need nothing any more, then those that the upstream refused for good, then the rest.
    const ranks = [
      "state IN ('discarded', 'superseded', 'succeeded', 'rejected')",
      "state IN ('dead', 'unknown') AND dead_reason = 'permanent'",
      "state IN ('dead', 'unknown') AND dead_reason <> 'permanent'",
    ];
    for (const rank of ranks) {
      if (taken.length === limit || (rowsOver <= 0 && bytesOver <= 0)) break;
      const rows = this.#statements.run(`SELECT id, bytes ${SCAN} AND ${rank} ORDER BY n LIMIT ?`).iterate(limit);
      for (const row of rows) {
        if (taken.length === limit || (rowsOver <= 0 && bytesOver <= 0)) break;
        taken.push({ id: row['id'] as string, why: rowsOver > 0 ? 'count' : 'bytes' });
        rowsOver -= 1;
        bytesOver -= row['bytes'] as number;
      }
    }
    return taken;
  }

  evict(ids: readonly string[]): number {
    const rows = this.#statements
      .run('SELECT n FROM operations WHERE id IN (SELECT value FROM json_each(?)) AND dead_reason IS NOT NULL')
      .all(JSON.stringify(ids));
    return this.#remove(rows.map((row) => row['n'] as number)).length;
  }

  #remove(ns: readonly number[]): string[] {
    const removed: string[] = [];
    for (const n of ns) {
      const row = this.#statements.run(`SELECT id FROM operations WHERE n = ? AND ${DELETABLE}`).get(n);
      if (row === undefined) continue;
      this.#ledger.removeRow(n);
      removed.push(row['id'] as string);
    }
    return removed;
  }

  /** Numbers of the matching rows in a bounded part of the list, newest first, and where the next part begins. */
  #slice(filter: DeadFilter, cursor: number | null, limit: number): Slice<number> {
    const before = cursor ?? Number.MAX_SAFE_INTEGER;
    const conditions = conditionsOf(filter);
    if (filter.ids !== undefined) return this.#among(filter, conditions, before, limit);
    const size = filter.match === undefined ? SLICE_ROWS : SLICE_WHOLE_ROWS;
    const end = this.#statements
      .run(`SELECT n ${SCAN} AND n < ? ORDER BY n DESC LIMIT 1 OFFSET ?`)
      .get(before, size - 1);
    const from = (end?.['n'] as number | undefined) ?? null;
    const found = this.#matching(SCAN, conditions, filter.match, from ?? 0, before, limit);
    if (found.length === limit) return { found, next: found.at(-1) ?? null };
    return { found, next: from };
  }

  /** Named ones are found by their names. */
  #among(filter: DeadFilter, conditions: Conditions, before: number, limit: number): Slice<number> {
    const source = 'FROM operations WHERE dead_reason IS NOT NULL';
    const found = this.#matching(source, conditions, filter.match, 0, before, limit);
    return { found, next: found.length === limit ? (found.at(-1) ?? null) : null };
  }

  #matching(
    source: string,
    { sql, values }: Conditions,
    match: string | undefined,
    from: number,
    before: number,
    limit: number,
  ): number[] {
    const query = `SELECT n ${source} AND n >= ? AND n < ? ${sql} ORDER BY n DESC LIMIT ?`;
    const rows = this.#statements.run(query).all(from, before, ...values, match === undefined ? limit : -1);
    const found = rows.map((row) => row['n'] as number);
    if (match === undefined) return found;
    return found.filter((n) => this.#contains(n, match.toLowerCase())).slice(0, limit);
  }

  #contains(n: number, text: string): boolean {
    const operation = this.#ledger.whole(this.#statements.run(`${WHOLE} WHERE operations.n = ?`).get(n));
    if (operation === null) return false;
    const { target, context, body, answer } = operation;
    if (target.toLowerCase().includes(text)) return true;
    if (context !== null && JSON.stringify(context).toLowerCase().includes(text)) return true;
    return [body, answer?.body ?? null].some((bytes) => bytes?.toString().toLowerCase().includes(text) === true);
  }
}

function partOf(row: Row): DeadGroupPart {
  return {
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
