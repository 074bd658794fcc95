import type { DatabaseSync } from 'node:sqlite';
import { type Operation, type OperationState, TRANSITIONS } from '../core/operation.ts';
import type { GateState, OpenOperation } from '../core/store.ts';
import { attemptLines, CHANGED, INSERTED, openOperationOf, operationOf, type Row } from './columns.ts';
import type { AnswerHead, ChangeText, OperationText } from './protocol.ts';
import { QUEUED } from './queue-schema.ts';
import type { Sealer } from './seal.ts';
import type { Statements } from './statements.ts';
import { giveBack, markReplaced } from './supersede.ts';

/** Selects what `whole` reads. */
export const WHOLE = `
  SELECT operations.*, requests.headers, requests.body, requests.credential, answers.answer FROM operations
  JOIN requests ON requests.n = operations.n LEFT JOIN answers ON answers.n = operations.n`;
/** Word for word what the index holds, then the whole. */
const BY_KEY = `${WHOLE}
  WHERE substr(key_hash, 1, 16) = substr(?1, 1, 16) AND substr(scope, 1, 8) = substr(?2, 1, 8)
    AND key_hash = ?1 AND scope = ?2`;
/** Of a dead letter beside what it holds: its row's fixed columns, and its entries in indexes. */
const COLUMNS_BYTES = 700;
const ENTRIES_BYTES = 800;
/** Pages of 4 KiB hold whole rows, and what is longer than one goes on in pages of its own (SQLite file format, 1.6). */
const PAGED = 'CASE WHEN size <= 4061 THEN 4096 / (4061 / size) ELSE 4096 * (1 + size / 4092) END';
const DEAD_REASON = INSERTED.indexOf('dead_reason');
/** Pages that `expire` gives back to the disk at once, and how many must be free before it does. */
const VACUUM_PAGES = 256;
const FREE_PAGES_KEPT = 2048;

/** The statements of the port on an open ledger, each prepared once. Runs in the store's thread, in its transaction. */
export class Ledger {
  readonly #database: DatabaseSync;
  readonly #sealer: Sealer;
  readonly #statements: Statements;

  constructor(database: DatabaseSync, statements: Statements, sealer: Sealer) {
    this.#database = database;
    this.#statements = statements;
    this.#sealer = sealer;
  }

  /** The first statement is the one that finds the id or the key taken: then nothing is done. */
  insert(text: OperationText, body: Uint8Array | null, answerBody: Uint8Array | null): void {
    const id = text.values[0] as string;
    const { lastInsertRowid: n } = this.#statements
      .run(
        `INSERT INTO operations (${INSERTED.join()}, context, attempts) VALUES (${'?,'.repeat(INSERTED.length)}?, ?)`,
      )
      .run(...text.values, text.context === null ? null : JSON.stringify(text.context), attemptLines(text.attempts));
    this.#statements
      .run('INSERT INTO requests (n, headers, body, credential) VALUES (?, ?, ?, ?)')
      .run(
        n,
        JSON.stringify(text.headers),
        body === null ? null : this.#sealer.seal(id, 'body', body),
        text.credential === null ? null : this.#sealer.seal(id, 'credential', text.credential),
      );
    if (text.answer !== null) this.#putAnswer(Number(n), id, text.answer, answerBody);
    if (text.values[DEAD_REASON] === null) return;
    this.#weigh(Number(n));
    markReplaced(this.#statements, Number(n));
  }

  /** Like `insert`, only the first writing statement can find a key taken. `head` false leaves the answer. */
  change(
    id: string,
    change: ChangeText,
    from: readonly OperationState[] | null,
    head: AnswerHead | null | false,
    answerBody: Uint8Array | null,
  ): boolean {
    const row = this.#statements.run('SELECT n, state FROM operations WHERE id = ?').get(id);
    if (row === undefined) return false;
    const state = row['state'] as OperationState;
    if (!TRANSITIONS[state].includes(change.state) || (from !== null && !from.includes(state))) return false;
    const n = row['n'] as number;
    if (change.state === 'discarded') giveBack(this.#statements, n);
    const { attempts, ...set } = change;
    const columns = Object.keys(set).map((name) => CHANGED[name as keyof typeof CHANGED]);
    const values = Object.values(set).map((value) => (typeof value === 'boolean' ? Number(value) : value));
    if (attempts !== undefined && attempts.length > 0) {
      this.#statements
        .run(
          `UPDATE operations SET ${columns.map((column) => `${column} = ?, `).join('')}attempts = attempts || ? WHERE n = ?`,
        )
        .run(...values, attemptLines(attempts), n);
    } else {
      this.#statements.run(`UPDATE operations SET ${columns.join(' = ?, ')} = ? WHERE n = ?`).run(...values, n);
    }
    if (head === null) this.#statements.run('DELETE FROM answers WHERE n = ?').run(n);
    else if (head !== false) this.#putAnswer(n, id, head, answerBody);
    if (typeof change.deadReason === 'string') this.#weigh(n);
    if (change.state === 'dead') markReplaced(this.#statements, n);
    return true;
  }

  delivered(id: string): void {
    this.#statements.run('UPDATE operations SET delivered = 1 WHERE id = ? AND delivered = 0').run(id);
  }

  remove(id: string): void {
    const row = this.#statements.run('SELECT n FROM operations WHERE id = ?').get(id);
    if (row !== undefined) this.removeRow(row['n'] as number);
  }

  get(id: string): Operation | null {
    return this.whole(this.#statements.run(`${WHOLE} WHERE operations.id = ?`).get(id));
  }

  byKey(scope: string, keyHash: string): Operation | null {
    return this.whole(this.#statements.run(BY_KEY).get(keyHash, scope));
  }

  /** Three queries, each word for word the condition of its partial index. */
  open(sinceMs: number): readonly OpenOperation[] {
    const inDoubt = this.#statements
      .run("SELECT * FROM operations WHERE state IN ('reserved', 'sent', 'unknown')")
      .all();
    const undelivered = this.#statements
      .run("SELECT * FROM operations WHERE state = 'succeeded' AND delivered = 0 AND updated_at_ms >= ?")
      .all(sinceMs);
    const untold = this.#statements
      .run(`SELECT * FROM operations WHERE ${QUEUED} AND state = 'waiting' AND delivered = 0 AND created_at_ms >= ?`)
      .all(sinceMs);
    return [...inDoubt, ...undelivered, ...untold]
      .sort((a, b) => (a['n'] as number) - (b['n'] as number))
      .map((row) => openOperationOf(row as Row));
  }

  due(states: readonly OperationState[], nowMs: number, limit: number): readonly Operation[] {
    const rows = this.#statements
      .run(`
      ${WHOLE} WHERE operations.due_at_ms <= ? AND operations.state IN (SELECT value FROM json_each(?))
      ORDER BY operations.due_at_ms, operations.n LIMIT ?`)
      .all(nowMs, JSON.stringify(states), limit);
    return rows.map((row) => this.whole(row)).filter((operation) => operation !== null);
  }

  claimed(scope: string, endpoint: string, answerId: string, exceptId: string): boolean {
    const found = this.#statements
      .run('SELECT 1 FROM operations WHERE answer_id = ? AND scope = ? AND endpoint = ? AND id <> ? LIMIT 1')
      .get(answerId, scope, endpoint, exceptId);
    return found !== undefined;
  }

  keepGate(gate: GateState): void {
    this.#statements
      .run('INSERT OR REPLACE INTO gates (kind, name, value, expires_at_ms) VALUES (?, ?, ?, ?)')
      .run(gate.kind, gate.name, gate.value, gate.expiresAtMs);
  }

  gates(nowMs: number): readonly GateState[] {
    const rows = this.#statements.run('SELECT * FROM gates WHERE expires_at_ms > ?').all(nowMs);
    return rows.map((row) => ({
      kind: row['kind'] as GateState['kind'],
      name: row['name'] as string,
      value: row['value'] as string,
      expiresAtMs: row['expires_at_ms'] as number,
    }));
  }

  expire(nowMs: number, limit: number): number {
    this.#statements.run('DELETE FROM gates WHERE expires_at_ms <= ?').run(nowMs);
    const rows = this.#statements
      .run('SELECT n FROM operations WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?')
      .all(nowMs, limit);
    for (const row of rows) this.removeRow(row['n'] as number);
    const free = Object.values(this.#statements.run('PRAGMA freelist_count').get() ?? {})[0] as number;
    if (free > FREE_PAGES_KEPT) this.#database.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
    return rows.length;
  }

  /** Deletes a row by its number. */
  removeRow(n: number): void {
    this.#statements.run('DELETE FROM operations WHERE n = ?').run(n);
    this.#statements.run('DELETE FROM requests WHERE n = ?').run(n);
    this.#statements.run('DELETE FROM answers WHERE n = ?').run(n);
  }

  /** What a dead letter takes on the disk, about, and rather more than less. */
  #weigh(n: number): void {
    this.#statements
      .run(
        `UPDATE operations SET bytes = ${ENTRIES_BYTES} + (SELECT sum(${PAGED}) FROM (
           SELECT ${COLUMNS_BYTES} + length(attempts) + length(target) + coalesce(length(context), 0) AS size
           UNION ALL SELECT 20 + length(headers) + coalesce(length(body), 0) + coalesce(length(credential), 0) FROM requests
             WHERE requests.n = operations.n
           UNION ALL SELECT 20 + length(answer) FROM answers WHERE answers.n = operations.n))
         WHERE n = ?`,
      )
      .run(n);
  }

  /** Head and body are sealed as one: the length of the head, the head, the body. */
  #putAnswer(n: number, id: string, head: AnswerHead, body: Uint8Array | null): void {
    const text = Buffer.from(JSON.stringify(head));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    const clear = Buffer.concat([length, text, body ?? Buffer.alloc(0)]);
    const sealed = this.#sealer.seal(id, 'answer', clear);
    this.#statements.run('INSERT OR REPLACE INTO answers (n, answer) VALUES (?, ?)').run(n, sealed);
  }

  #answer(id: string, sealed: Uint8Array): NonNullable<Operation['answer']> {
    const clear = this.#sealer.open(id, 'answer', sealed);
    const bodyAt = 4 + clear.readUInt32BE(0);
    const head = JSON.parse(clear.toString('utf8', 4, bodyAt)) as AnswerHead;
    return {
      status: head.status,
      headers: head.headers,
      body: head.body === null ? null : own(clear.subarray(bodyAt)),
    };
  }

  /** The operation in a row of `WHOLE`. */
  whole(found: Record<string, unknown> | undefined): Operation | null {
    if (found === undefined) return null;
    const row = found as Row;
    const id = row['id'] as string;
    const { body, credential, answer } = row;
    return operationOf(row, {
      body: body instanceof Uint8Array ? own(this.#sealer.open(id, 'body', body)) : null,
      credential: credential instanceof Uint8Array ? this.#sealer.open(id, 'credential', credential).toString() : null,
      answer: answer instanceof Uint8Array ? this.#answer(id, answer) : null,
    });
  }
}

/** A copy with a buffer of its own: on its way to the main thread a slice would take its whole pool along. */
function own(bytes: Uint8Array): Buffer {
  return Buffer.from(new Uint8Array(bytes).buffer);
}
