/** The files of a ledger: who may write the directory, and in what condition the ledger is. Runs in the store's thread. */

import { chmodSync, closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectory, syncDirectory } from './directory.ts';
import { DirectoryHeld, damaged, isHeld, LedgerUnusable } from './faults.ts';
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts';
import { Sealer } from './seal.ts';

/** Small enough to be checked whole at every start, bytes. */
const CHECKED_WHOLE_MAX = 64 * 1024 * 1024;
/** What is sealed at the first start and must open at every other. */
const CHECK_WORDS = 'holdfast';
const HEADER_BYTES = 100;
/** The log is written into the ledger between batches (worker.ts), and by SQLite itself at 32 MiB, whatever the load. */
const LOG_PAGES_MAX = 8192;
const PAGE_BYTES = 4096;

/**
 * Takes the directory for this process: a second SQLite file with a transaction that never ends. The operating system
 * lets go of it when the process dies, also by kill -9, which a file with a process id in it would not. Throws
 * `DirectoryHeld`.
 */
export function holdDirectory(directory: string): DatabaseSync {
  makeDirectory(directory);
  const file = path.join(directory, 'holdfast.lock');
  // NOTE Never opened by us when it is there: closing any descriptor of it would drop this process's lock.
  if (!existsSync(file)) createPrivate(file);
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!isHeld(error)) throw error;
    throw new DirectoryHeld(
      `Another process uses the ledger in ${directory}. Stop it, or give this one a directory of its own (data, --data, HOLDFAST_DATA).`,
    );
  }
}

/** Opens the ledger, made or migrated when needed, checked, ready for writing. Closes it again when it throws. */
export function openLedger(directory: string, sealingKey: Uint8Array): DatabaseSync {
  const file = path.join(directory, 'holdfast.db');
  if (!existsSync(file)) createPrivate(file);
  else if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
  refuseForeign(file, directory);
  const wasClosed = !existsSync(`${file}-wal`) || statSync(`${file}-wal`).size === 0;
  const database = new DatabaseSync(file, { timeout: 0, defensive: true });
  try {
    // Before the first access: then the index of the log is in memory, and there is no -shm file.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON');
    const version = checkedVersion(database, directory);
    const sealer = new Sealer(sealingKey);
    if (version > 0) checkKey(database, sealer, directory);
    checkIntegrity(database, directory, wasClosed, statSync(file).size);
    database.exec(`
      PRAGMA auto_vacuum = INCREMENTAL;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA fullfsync = ON;
      PRAGMA checkpoint_fullfsync = ON;
      PRAGMA wal_autocheckpoint = ${LOG_PAGES_MAX};
      PRAGMA journal_size_limit = ${LOG_PAGES_MAX * PAGE_BYTES};
      PRAGMA cache_size = -8192;
      PRAGMA temp_store = MEMORY;
    `);
    migrate(database, version, sealer);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Writes and takes back what fills some pages: proof that there is room, and that the disk keeps it. */
export function tryToWrite(database: DatabaseSync): void {
  database.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('room', zeroblob(65536))");
  database.exec("DELETE FROM meta WHERE name = 'room'");
}

function createPrivate(file: string): void {
  closeSync(openSync(file, 'wx', 0o600));
  syncDirectory(path.dirname(file));
}

/** Looks at the header before SQLite does, which may write as soon as it reads: its own recovery. */
function refuseForeign(file: string, directory: string): void {
  const header = Buffer.alloc(HEADER_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    if (readSync(descriptor, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) return;
  } finally {
    closeSync(descriptor);
  }
  if (header.toString('latin1', 0, 16) === 'SQLite format 3\0') {
    refuseVersion(header.readUInt32BE(60), header.readUInt32BE(68), directory);
  }
}

/** Once more with what stands in the log only. */
function checkedVersion(database: DatabaseSync, directory: string): number {
  const version = pragma(database, 'user_version');
  refuseVersion(version, pragma(database, 'application_id'), directory);
  const { tables } = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number };
  if (tables > 0 && version === 0) throw foreign(directory);
  return version;
}

function refuseVersion(version: number, application: number, directory: string): void {
  if (application !== APPLICATION_ID && (application !== 0 || version !== 0)) throw foreign(directory);
  if (version > MIGRATIONS.length) {
    throw new LedgerUnusable(
      `The ledger in ${directory} is of a newer version (${version}; this one knows ${MIGRATIONS.length}). Nothing is ` +
        `written to it. Start the newer holdfast again, or use another directory.`,
    );
  }
}

function foreign(directory: string): LedgerUnusable {
  return new LedgerUnusable(
    `holdfast.db in ${directory} is not a ledger. Nothing is written to it. Move it away or use another directory.`,
  );
}

/**
 * A small ledger is checked whole, indexes against rows; a large one only after a crash, without the indexes; one that
 * was closed well has its pages looked at as they are used.
 */
function checkIntegrity(database: DatabaseSync, directory: string, wasClosed: boolean, bytes: number): void {
  if (wasClosed && bytes > CHECKED_WHOLE_MAX) return;
  const check = bytes > CHECKED_WHOLE_MAX ? 'quick_check(1)' : 'integrity_check(1)';
  const [found] = Object.values(database.prepare(`PRAGMA ${check}`).get() ?? {});
  if (found !== 'ok') throw new LedgerUnusable(damaged(directory, String(found)).text);
}

function migrate(database: DatabaseSync, from: number, sealer: Sealer): void {
  if (from === MIGRATIONS.length) return;
  for (let version = from; version < MIGRATIONS.length; version++) {
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(MIGRATIONS[version] as string);
      if (version === 0) {
        const words = sealer.seal('meta', 'check', CHECK_WORDS);
        database.prepare("INSERT INTO meta (name, value) VALUES ('check', ?)").run(words);
        database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      }
      database.exec(`PRAGMA user_version = ${version + 1}; COMMIT`);
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
  // The header must show the version, for `refuseForeign` of an older one.
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}

function checkKey(database: DatabaseSync, sealer: Sealer, directory: string): void {
  const words = database.prepare("SELECT value FROM meta WHERE name = 'check'").get()?.['value'];
  try {
    if (words instanceof Uint8Array && sealer.open('meta', 'check', words).toString() === CHECK_WORDS) return;
  } catch {
    // The same answer as for other words.
  }
  throw new LedgerUnusable(
    `The key file does not belong to the ledger in ${directory}. Nothing is written to it. Put the holdfast.key back ` +
      `that was beside it, or move holdfast.db away.`,
  );
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
}
