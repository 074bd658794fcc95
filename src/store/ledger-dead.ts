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
import type { Row, Value } from './columns.ts';
import { type DeadSource, sourceOf } from './dead-filter.ts';
import { headOf, partOf } from './dead-rows.ts';
import { type Ledger, WHOLE } from './ledger.ts';
import type { DeadGroupPart, GroupSums, KeptFacts, OperationText, Slice } from './protocol.ts';
import type { Statements } from './statements.ts';
import { giveBack, supersede } from './supersede.ts';

/** One request looks at so many index entries, or decrypts so many rows: two or three ms, and other batches come between. */
const SLICE_ROWS = 5000;
const SLICE_WHOLE_ROWS = 25;
/** A deletion writes: the rows of one request. */
const SLICE_DELETED = 50;

/** In the order of `GroupSums`. */
const SUMS = 'dead.group_id, count(*), sum(dead.count), sum(dead.bytes), min(dead.created_at_ms), max(dead.dead_at_ms)';
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
    return supersede(this.#statements, success);
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

  /** What the matching rows of the next slice add to each group. */
  sums(filter: DeadFilter, cursor: number | null): Slice<GroupSums> {
    const part = this.#part(filter, cursor);
    if (part === null) return { found: [], next: null };
    const among = part.filtersText ? 'dead_rows AS dead WHERE dead.n IN (SELECT value FROM json_each(?))' : part.sql;
    const bound = part.filtersText ? [JSON.stringify(this.#found(part, filter, -1))] : part.values;
    const statement = this.#statements.run(`SELECT ${SUMS} FROM ${among} GROUP BY dead.group_id`);
    statement.setReturnArrays(true);
    return { found: statement.all(...bound) as unknown as GroupSums[], next: part.from };
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
      const groups = this.#statements.run(`SELECT id FROM dead_groups WHERE ${rank}`).all();
      if (groups.length === 0) continue;
      const rows = this.#statements
        .run(
          `SELECT operations.id, dead.bytes FROM dead_rows AS dead CROSS JOIN operations ON operations.n = dead.n
           WHERE group_id IN (SELECT value FROM json_each(?)) ORDER BY dead.n LIMIT ?`,
        )
        .iterate(JSON.stringify(groups.map(({ id }) => id)), limit);
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
      giveBack(this.#statements, n);
      this.#ledger.removeRow(n);
      removed.push(row['id'] as string);
    }
    return removed;
  }

  /** Numbers of the matching rows in a bounded part of the list, newest first, and where the next part begins. */
  #slice(filter: DeadFilter, cursor: number | null, limit: number): Slice<number> {
    const part = this.#part(filter, cursor);
    if (part === null) return { found: [], next: null };
    const found = this.#found(part, filter, limit);
    return { found, next: found.length === limit ? (found.at(-1) ?? null) : part.from };
  }

  /** A bounded part of what the filter means; null when nothing can. */
  #part(filter: DeadFilter, cursor: number | null): Part | null {
    const before = cursor ?? Number.MAX_SAFE_INTEGER;
    const groups = this.#groupsMeant(filter);
    if (groups?.length === 0) return null;
    const { sql, values, n, walk } = sourceOf(filter, groups);
    const filtersText = filter.match !== undefined;
    const from = walk === null ? null : this.#endOf(walk, before, filtersText ? SLICE_WHOLE_ROWS : SLICE_ROWS);
    const bounded = `${sql} AND ${n} >= ? AND ${n} < ?`;
    return { sql: bounded, n, values: [...values, from ?? 0, before], from, filtersText };
  }

  /** The number of the last of `size` rows before `before`; null when there are not so many. */
  #endOf(walk: NonNullable<DeadSource['walk']>, before: number, size: number): number | null {
    const row = this.#statements
      .run(`SELECT dead.n FROM ${walk.sql} AND dead.n < ? ORDER BY dead.n DESC LIMIT 1 OFFSET ?`)
      .get(...walk.values, before, size - 1);
    return (row?.['n'] as number | undefined) ?? null;
  }

  /** `limit` -1: all. */
  #found({ sql, n, values, filtersText }: Part, { match }: DeadFilter, limit: number): number[] {
    const rows = this.#statements
      .run(`SELECT dead.n FROM ${sql} ORDER BY ${n} DESC LIMIT ?`)
      .all(...values, filtersText ? -1 : limit);
    return this.#matching(
      rows.map((row) => row['n'] as number),
      match,
      limit,
    );
  }

  /** Endpoint, cause and state are those of groups, which are few. Null: they do not matter. */
  #groupsMeant({ endpoint, cause, states }: DeadFilter): number[] | null {
    if (endpoint === undefined && cause === undefined && states === undefined) return null;
    const rows = this.#statements
      .run(
        `SELECT id FROM dead_groups WHERE coalesce(endpoint = ?1, true) AND coalesce(dead_reason = ?2 OR cause_id = ?2, true)
         AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3)))`,
      )
      .all(endpoint ?? null, cause ?? null, states === undefined ? null : JSON.stringify(states));
    return rows.map((row) => row['id'] as number);
  }

  #matching(ns: readonly number[], match: string | undefined, limit: number): number[] {
    if (match === undefined) return [...ns];
    const text = match.toLowerCase();
    const found: number[] = [];
    for (const n of ns) {
      if (found.length === limit) break;
      if (this.#contains(n, text)) found.push(n);
    }
    return found;
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

/** Rows between two numbers. */
interface Part extends Pick<DeadSource, 'n'> {
  readonly sql: string;
  readonly values: readonly Value[];
  /** Where it ends and the next begins; null at the end. */
  readonly from: number | null;
  /** What was found has to be read whole. */
  readonly filtersText: boolean;
}
