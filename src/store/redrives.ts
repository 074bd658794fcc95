import { NO_COUNTS, type Redrive, type RedriveRow, type RedriveStore, type RowResult } from '../core/redrive.ts';
import type { RedriveRequest } from './protocol.ts';
import { pack } from './requests.ts';
import type { Statements } from './statements.ts';
import type { StoreThread } from './thread.ts';

/** Redrives that are over and remembered. */
const KEPT_MAX = 200;
/** Rows that one request writes. */
const ROWS_AT_ONCE = 1000;

/** Redrives, as requests to the store's thread. */
export class SqliteRedrives implements RedriveStore {
  readonly #thread: StoreThread;

  constructor(thread: StoreThread) {
    this.#thread = thread;
  }

  async put(redrive: Redrive): Promise<void> {
    await this.#ask({ does: 'put', redrive });
  }

  async addRows(id: string, operations: readonly string[]): Promise<void> {
    for (let from = 0; from < operations.length; from += ROWS_AT_ONCE) {
      await this.#ask({ does: 'addRows', id, operations: operations.slice(from, from + ROWS_AT_ONCE) });
    }
  }

  async settleRow(id: string, row: RedriveRow): Promise<void> {
    await this.#ask({ does: 'settleRow', id, row });
  }

  get(id: string): Promise<Redrive | null> {
    return this.#ask({ does: 'get', id }) as Promise<Redrive | null>;
  }

  list(limit: number): Promise<readonly Redrive[]> {
    return this.#ask({ does: 'list', limit }) as Promise<readonly Redrive[]>;
  }

  rows(id: string, afterN: number, limit: number, pending: boolean): Promise<readonly RedriveRow[]> {
    return this.#ask({ does: 'rows', id, afterN, limit, pending }) as Promise<readonly RedriveRow[]>;
  }

  counts(id: string): Promise<Readonly<Record<RowResult, number>>> {
    return this.#ask({ does: 'counts', id }) as Promise<Readonly<Record<RowResult, number>>>;
  }

  async remove(id: string): Promise<void> {
    await this.#ask({ does: 'remove', id });
  }

  #ask(request: RedriveRequest): Promise<unknown> {
    return this.#thread.ask(pack(['redrives', request]));
  }
}

/** The statements of redrives. Runs in the store's thread, in its transaction. */
export class RedriveLedger {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  run(request: RedriveRequest): unknown {
    switch (request.does) {
      case 'put':
        return this.#put(request.redrive);
      case 'addRows':
        return this.#addRows(request.id, request.operations);
      case 'settleRow':
        return this.#settleRow(request.id, request.row);
      case 'get':
        return this.#get(request.id);
      case 'list':
        return this.#list(request.limit);
      case 'rows':
        return this.#rows(request.id, request.afterN, request.limit, request.pending);
      case 'counts':
        return this.#counts(request.id);
      case 'remove':
        return this.#remove(request.id);
    }
  }

  #put(redrive: Redrive): void {
    const over = redrive.state === 'done' || redrive.state === 'cancelled' ? 1 : 0;
    const { changes } = this.#statements
      .run('UPDATE redrives SET over = ?, head = ? WHERE id = ?')
      .run(over, JSON.stringify(redrive), redrive.id);
    if (changes > 0) return;
    this.#statements
      .run('INSERT INTO redrives (id, over, head) VALUES (?, ?, ?)')
      .run(redrive.id, over, JSON.stringify(redrive));
    const old = this.#statements
      .run('SELECT id FROM redrives WHERE over = 1 ORDER BY n DESC LIMIT 5 OFFSET ?')
      .all(KEPT_MAX);
    for (const row of old) this.#remove(row['id'] as string);
  }

  #addRows(id: string, operations: readonly string[]): void {
    const last = this.#statements.run('SELECT max(n) AS n FROM redrive_rows WHERE redrive = ?').get(id);
    let n = (last?.['n'] as number | null) ?? 0;
    const insert = this.#statements.run(
      "INSERT INTO redrive_rows (redrive, n, operation, result, detail, at_ms) VALUES (?, ?, ?, NULL, '', NULL)",
    );
    for (const operation of operations) insert.run(id, ++n, operation);
  }

  #settleRow(id: string, row: RedriveRow): void {
    this.#statements
      .run('UPDATE redrive_rows SET result = ?, detail = ?, at_ms = ? WHERE redrive = ? AND n = ? AND result IS NULL')
      .run(row.result, row.detail, row.atMs, id, row.n);
  }

  #get(id: string): Redrive | null {
    const row = this.#statements.run('SELECT head FROM redrives WHERE id = ?').get(id);
    return row === undefined ? null : (JSON.parse(row['head'] as string) as Redrive);
  }

  #list(limit: number): Redrive[] {
    const rows = this.#statements.run('SELECT head FROM redrives ORDER BY over, n DESC LIMIT ?').all(limit);
    return rows.map((row) => JSON.parse(row['head'] as string) as Redrive);
  }

  #rows(id: string, afterN: number, limit: number, pending: boolean): RedriveRow[] {
    const rows = this.#statements
      .run(
        `SELECT n, operation, result, detail, at_ms FROM redrive_rows WHERE redrive = ? AND n > ?
         ${pending ? 'AND result IS NULL' : ''} ORDER BY n LIMIT ?`,
      )
      .all(id, afterN, limit);
    return rows.map((row) => ({
      n: row['n'] as number,
      operation: row['operation'] as string,
      result: row['result'] as RowResult | null,
      detail: row['detail'] as string,
      atMs: row['at_ms'] as number | null,
    }));
  }

  #counts(id: string): Record<RowResult, number> {
    const counts = { ...NO_COUNTS };
    const rows = this.#statements
      .run('SELECT result, count(*) AS rows FROM redrive_rows WHERE redrive = ? AND result IS NOT NULL GROUP BY result')
      .all(id);
    for (const row of rows) counts[row['result'] as RowResult] = row['rows'] as number;
    return counts;
  }

  #remove(id: string): void {
    this.#statements.run('DELETE FROM redrives WHERE id = ?').run(id);
    this.#statements.run('DELETE FROM redrive_rows WHERE redrive = ?').run(id);
  }
}
