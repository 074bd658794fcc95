import type { Fault } from './protocol.ts';
import { SealBroken } from './seal.ts';

/** A ledger that must stay as it is: damaged, of a newer version, under another key. `message` says what to do. */
export class LedgerUnusable extends Error {
  override readonly name = 'LedgerUnusable';
  readonly code = 'LEDGER_UNUSABLE';
}

/** Another process holds the directory. */
export class DirectoryHeld extends Error {
  override readonly name = 'DirectoryHeld';
  readonly code = 'DIRECTORY_HELD';
}

/** Result codes of SQLite (sqlite.org/rescode.html), the low byte of what `node:sqlite` reports as `errcode`. */
const SQLITE = {
  BUSY: 5,
  NOMEM: 7,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  NOTADB: 26,
} as const;

/** An extended code: a unique index has the values already. */
const CONSTRAINT_UNIQUE = 2067;

/** Whether a statement was refused because the id or the key is there already. */
export function isTaken(error: unknown): boolean {
  return extendedCode(error) === CONSTRAINT_UNIQUE;
}

/** Whether somebody else holds the file. */
export function isHeld(error: unknown): boolean {
  return sqliteCode(error) === SQLITE.BUSY;
}

/** Whether the connection is of no use any more, even when the fault passes: it was opened for reading only. */
export function wantsReopening(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === SQLITE.READONLY || code === SQLITE.CANTOPEN;
}

/** What an error says about the whole store; null when it is about one request only. */
export function faultOf(error: unknown, directory: string): Fault | null {
  if (error instanceof DirectoryHeld) return { text: error.message, passing: true, inUse: true };
  if (error instanceof LedgerUnusable) return { text: error.message, passing: false, inUse: false };
  if (error instanceof SealBroken) return damaged(directory, error.message);
  const code = sqliteCode(error);
  if (code !== null) return faultOfSqlite(code, (error as Error).message, directory);
  const { code: system } = error as NodeJS.ErrnoException;
  return system === undefined ? null : faultOfSystem(system, directory);
}

function extendedCode(error: unknown): number | null {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number' ? errcode : null;
}

function sqliteCode(error: unknown): number | null {
  const code = extendedCode(error);
  return code === null ? null : code & 0xff;
}

function faultOfSqlite(code: number, message: string, directory: string): Fault | null {
  switch (code) {
    case SQLITE.FULL:
      return passing(`The disk of the ledger in ${directory} is full. Free some space; it is tried again by itself.`);
    case SQLITE.IOERR:
      return passing(
        `The disk of the ledger in ${directory} fails (${message}). See to the disk, its quota and the limits of this process; it is tried again by itself.`,
      );
    case SQLITE.READONLY:
    case SQLITE.CANTOPEN:
      return passing(notWritable(directory, message));
    case SQLITE.NOMEM:
      return passing(`There was no memory for the ledger in ${directory}. It is tried again by itself.`);
    case SQLITE.BUSY:
      return passing(`Something else has the ledger in ${directory} open. Close it; it is tried again by itself.`);
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return damaged(directory, message);
    default:
      return null;
  }
}

function faultOfSystem(code: string, directory: string): Fault | null {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return passing(`The disk of the ledger in ${directory} is full. Free some space; it is tried again by itself.`);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EEXIST':
    case 'EIO':
    case 'EMFILE':
    case 'ENFILE':
      return passing(notWritable(directory, code));
    default:
      return null;
  }
}

/** A damaged ledger: nothing is written to it any more. */
export function damaged(directory: string, detail: string): Fault {
  return {
    text:
      `The ledger in ${directory} is damaged (${detail.replaceAll('\n', ' ')}). Nothing is written to it. Keep a copy of the directory, move ` +
      `holdfast.db away (with holdfast.db-wal, when there is one) or put back a backup, and start again.`,
    passing: false,
    inUse: false,
  };
}

function notWritable(directory: string, detail: string): string {
  return (
    `The directory of the ledger, ${directory}, cannot be made or written (${detail}). Give this user a directory that ` +
    `it can write; it is tried again by itself.`
  );
}

function passing(text: string): Fault {
  return { text, passing: true, inUse: false };
}
