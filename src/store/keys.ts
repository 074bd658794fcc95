/** The key file: 32 random bytes from which every key of an instance is derived. Whoever loses it loses what is sealed. */

import { createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { link, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectory, syncDirectory } from './directory.ts';

const FILE_NAME = 'holdfast.key';
const LENGTH_BYTES = 32;
/** What a directory answers that cannot be written now: the proxy still serves, the ledger does not work. */
const UNWRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENOENT', 'ENOTDIR', 'EEXIST', 'EIO']);

/** The keys of an instance, 32 bytes each. */
export interface Keys {
  /** For the names of credentials and operations (HMAC). Made once: from bytes it would be made again for every hash. */
  readonly names: KeyObject;
  /** For the sealed fields of the ledger (AES-256-GCM). */
  readonly sealing: Buffer;
  /** Why they are not in a file and will be others after a restart; null when they are. No ledger is written with such. */
  readonly unsaved: string | null;
}

/** A key file that cannot be used as it is. The message says what to do. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
  readonly code = 'KEY_FILE';
}

/**
 * Reads the keys from `<directory>/holdfast.key`, which is made when it is not there, or from a file that is given.
 * Rejects with `KeyFileError` for a file that is not ours to use; a directory that cannot be written gives keys that
 * are good until the process ends.
 */
export async function openKeys(directory: string, givenFile: string | null = null): Promise<Keys> {
  const file = givenFile ?? path.join(directory, FILE_NAME);
  const found = await secretIn(file);
  if (found !== null) return derived(found, null);
  if (givenFile !== null) throw new KeyFileError(`The key file ${file} does not exist. Put 32 random bytes there.`);
  const fresh = randomBytes(LENGTH_BYTES);
  try {
    makeDirectory(directory);
    await place(file, fresh);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || !UNWRITABLE.has(code)) throw error;
    return derived(fresh, `the key file ${file} cannot be made (${code}): make ${directory} writable and start again`);
  }
  // Another process may have been first: what is in the file counts.
  return derived((await secretIn(file)) ?? fresh, null);
}

async function secretIn(file: string): Promise<Buffer | null> {
  let secret: Buffer;
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) {
      throw new KeyFileError(
        `The key file ${file} may be used by others (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}`,
      );
    }
    secret = await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    if (error instanceof KeyFileError) throw error;
    throw new KeyFileError(
      `The key file ${file} cannot be read (${code ?? String(error)}). Give this user access to it.`,
    );
  }
  if (secret.length !== LENGTH_BYTES) {
    throw new KeyFileError(
      `The key file ${file} has ${secret.length} bytes and must have ${LENGTH_BYTES}. Put the right one back; ` +
        `only when there is no ledger beside it yet, delete it and a new one is made.`,
    );
  }
  return secret;
}

/** Whole or not at all, and only when there is none: written aside, linked to its name, both durable. */
async function place(file: string, secret: Buffer): Promise<void> {
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(secret);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(aside, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(aside, { force: true });
  }
  syncDirectory(path.dirname(file));
}

function derived(secret: Buffer, unsaved: string | null): Keys {
  const key = (use: string): Buffer => Buffer.from(hkdfSync('sha256', secret, '', `holdfast ${use} v1`, 32));
  return { names: createSecretKey(key('names')), sealing: key('sealing'), unsaved };
}
