import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/ops/clock.ts';
import { openKeys } from '../../src/store/keys.ts';
import { openStore, type SqliteStore } from '../../src/store/sqlite.ts';

/** A folder that is gone after the test. */
export function testDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-store-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A store in the directory, closed after the test; `told` collects what `onHealth` hears. */
export async function testStore(
  directory: string,
  given: { readonly told?: (string | null)[]; readonly clock?: Clock } = {},
): Promise<SqliteStore> {
  const store = await openStore({
    directory,
    keys: await openKeys(directory),
    clock: given.clock ?? systemClock,
    onHealth: (fault) => void given.told?.push(fault),
  });
  onTestFinished(() => store.close());
  return store;
}

/** Name and SHA-256 of every file in the directory. */
export function digests(directory: string): Record<string, string> {
  const files = readdirSync(directory).sort();
  return Object.fromEntries(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(path.join(directory, file)))
        .digest('hex'),
    ]),
  );
}
