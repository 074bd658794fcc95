import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { systemClock } from '../../src/ops/clock.ts';
import { openKeys } from '../../src/store/keys.ts';
import { openStore } from '../../src/store/sqlite.ts';
import { storeContract } from './contract.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'holdfast-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

storeContract('SqliteStore', async () =>
  openStore({ directory, keys: await openKeys(directory), clock: systemClock, onHealth: () => {} }),
);
