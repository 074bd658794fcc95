import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { StoreUnavailable } from '../../src/core/store.ts';
import { openKeys } from '../../src/store/keys.ts';
import { openStore } from '../../src/store/sqlite.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { digests, testDirectory, testStore } from './files.ts';
import { Holding } from './holding.ts';
import { ended, row } from './rows.ts';

const ROOT = process.getuid?.() === 0;
/** "nobody": root ignores modes, so a test of modes runs as somebody else. */
const NOBODY = 65_534;
const AS_NOBODY = ROOT ? { uid: NOBODY, gid: NOBODY } : {};

function holding(...parts: ConstructorParameters<typeof Holding>): Holding {
  const holder = new Holding(...parts);
  onTestFinished(() => holder.kill());
  return holder;
}

/** A directory with a ledger of 40 operations that was closed well. */
async function filled(directory = testDirectory()): Promise<string> {
  const store = await testStore(directory);
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => store.insert(row({ id: `op-${n}`, body: Buffer.alloc(2000, 'b') }))),
  );
  await store.close();
  return directory;
}

/** That the store says so, keeps nothing, writes nothing, and does not try again. */
async function expectUntouched(directory: string, fault: RegExp): Promise<void> {
  const before = digests(directory);
  const told: (string | null)[] = [];
  const clock = new VirtualClock();
  const store = await testStore(directory, { told, clock });
  expect(store.health()).toEqual({ healthy: false, fault: expect.stringMatching(fault) as string });
  expect(told).toEqual([store.health().fault]);
  await expect(store.insert(row({ id: 'new' }))).rejects.toThrow(fault);
  await expect(store.get('op-1')).rejects.toBeInstanceOf(StoreUnavailable);
  store.delivered('op-1');
  expect(clock.pending).toBe(0);
  await store.close();
  expect(digests(directory)).toEqual(before);
}

describe('a disk that is full', () => {
  it('rejects what it cannot keep, says so, keeps what it had, and works again when there is room', async () => {
    const directory = testDirectory();
    const holder = holding(directory);
    await holder.says('opened');
    // A soft limit on the size of files is what every user can make and take away: SQLite sees a write that fails.
    const limit = (bytes: string): unknown =>
      execFileSync('prlimit', [`--pid=${holder.child.pid}`, `--fsize=${bytes}:unlimited`]);
    limit('3000000');
    let kept = 0;
    while ((await holder.insert(`op-${kept}`, 100_000)).event === 'done') kept++;
    expect(kept).toBeGreaterThan(5);
    expect((await holder.insert('refused')).event).toBe('failed');
    limit('unlimited');
    expect((await holder.says('health')).fault).toBeNull();
    expect((await holder.insert('again', 100_000)).event).toBe('done');
    holder.tell({ do: 'close' });
    await holder.says('closed');
    const store = await testStore(directory);
    const ids = (await store.open(0)).map(({ id }) => id);
    expect(ids).toEqual([...Array.from({ length: kept }, (_, n) => `op-${n}`), 'again']);
  });

  const disk = ROOT ? smallDisk() : null;
  it.skipIf(disk === null)('is named as such, at the start and later', async () => {
    const at = disk as string;
    onTestFinished(() => {
      execFileSync('umount', ['-l', at]);
      rmdirSync(at);
    });
    writeFileSync(path.join(at, 'ballast'), Buffer.alloc(4_100_000));
    const directory = path.join(at, 'data');
    const holder = holding(directory);
    expect((await holder.says('health')).fault).toMatch(/is full\. Free some space/);
    rmSync(path.join(at, 'ballast'));
    expect((await holder.says('health')).fault).toBeNull();
    let kept = 0;
    let last = await holder.insert('op-0', 100_000);
    for (; last.event === 'done'; last = await holder.insert(`op-${kept}`, 100_000)) kept++;
    expect(last).toMatchObject({ name: 'StoreUnavailable', message: expect.stringContaining('is full') as string });
    await holder.kill();
    execFileSync('mount', ['-o', 'remount,size=8m', at]);
    const store = await testStore(directory);
    expect((await store.open(0)).map(({ id }) => id)).toEqual(Array.from({ length: kept }, (_, n) => `op-${n}`));
  });
});

describe('a directory that cannot be written', () => {
  it('gives a store that says so, and works by itself when it can be', async () => {
    const directory = await filled();
    for (const file of readdirSync(directory)) if (ROOT) chownSync(path.join(directory, file), NOBODY, NOBODY);
    chmodSync(directory, 0o555);
    const before = digests(directory);
    const holder = holding(directory, AS_NOBODY);
    expect((await holder.says('health')).fault).toMatch(/cannot be made or written .+ Give this user a directory/);
    expect(await holder.insert('a')).toMatchObject({ event: 'failed', name: 'StoreUnavailable' });
    expect(digests(directory)).toEqual(before);
    chmodSync(directory, 0o777);
    expect((await holder.says('health')).fault).toBeNull();
    expect((await holder.insert('a')).event).toBe('done');
  });

  it('is no ledger for keys that would not outlive the process', async () => {
    const directory = testDirectory();
    chmodSync(directory, 0o555);
    const holder = holding(directory, AS_NOBODY);
    expect((await holder.says('health')).fault).toMatch(/key file .+ cannot be made \(EACCES\): make .+ writable/);
    await holder.says('opened');
    expect((await holder.insert('a')).event).toBe('failed');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('may be a file', async () => {
    const file = path.join(testDirectory(), 'data');
    writeFileSync(file, 'mine');
    const told: (string | null)[] = [];
    const store = await testStore(file, { told });
    expect(store.health().fault).toMatch(/The ledger is off: the key file .+ cannot be made/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });
});

describe('a ledger that must stay as it is', () => {
  it('is damaged in the middle', async () => {
    const directory = await filled();
    const file = path.join(directory, 'holdfast.db');
    const bytes = readFileSync(file);
    bytes.fill(0xa5, 5 * 4096, 8 * 4096);
    writeFileSync(file, bytes);
    await expectUntouched(directory, /is damaged .+ Keep a copy of the directory, move holdfast.db away/);
  });

  it('is damaged at its head', async () => {
    const directory = await filled();
    const file = path.join(directory, 'holdfast.db');
    const bytes = readFileSync(file);
    bytes.fill(0, 0, 64);
    writeFileSync(file, bytes);
    await expectUntouched(directory, /is damaged/);
  });

  it('is cut off', async () => {
    const directory = await filled();
    truncateSync(path.join(directory, 'holdfast.db'), 6 * 4096);
    await expectUntouched(directory, /is damaged/);
  });

  it('is of a newer version', async () => {
    const directory = await filled();
    const database = new DatabaseSync(path.join(directory, 'holdfast.db'));
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expectUntouched(directory, /newer version \(99; this one knows \d+\).+ Start the newer holdfast again/s);
  });

  it('belongs to another program', async () => {
    const directory = testDirectory();
    await openKeys(directory);
    const database = new DatabaseSync(path.join(directory, 'holdfast.db'));
    database.exec('CREATE TABLE mine (a); INSERT INTO mine VALUES (1)');
    database.close();
    await expectUntouchedButLock(directory);
  });

  it('was written under another key', async () => {
    const directory = await filled();
    rmSync(path.join(directory, 'holdfast.key'));
    await openKeys(directory);
    await expectUntouched(directory, /key file does not belong to the ledger .+ Put the holdfast.key back/);
  });
});

/** Like `expectUntouched`, in a directory that never had a lock. */
async function expectUntouchedButLock(directory: string): Promise<void> {
  writeFileSync(path.join(directory, 'holdfast.lock'), '', { mode: 0o600 });
  await expectUntouched(directory, /is not a ledger/);
}

it('finds damage that shows only later, keeps nothing from then on, and says so', async () => {
  const directory = await filled();
  const told: (string | null)[] = [];
  const store = await testStore(directory, { told });
  // Behind the back of the running store: only what is sealed tells.
  const other = testDirectory();
  await store.close();
  copyFileSync(path.join(directory, 'holdfast.db'), path.join(other, 'holdfast.db'));
  copyFileSync(path.join(directory, 'holdfast.key'), path.join(other, 'holdfast.key'));
  const database = new DatabaseSync(path.join(other, 'holdfast.db'));
  database.exec('UPDATE requests SET body = (SELECT body FROM requests WHERE n = 2) WHERE n = 1');
  database.close();
  const swapped = await testStore(other, { told });
  expect((await swapped.get('op-1'))?.id).toBe('op-1');
  await expect(swapped.get('op-0')).rejects.toThrow(/is damaged \(The body of op-0 does not open/);
  await expect(swapped.change('op-1', ended())).rejects.toBeInstanceOf(StoreUnavailable);
  expect(told).toEqual([null, null, swapped.health().fault]);
});

it('takes a ledger over from a process that was killed in the middle of its writing', async () => {
  const directory = testDirectory();
  for (let round = 0; round < 5; round++) {
    const holder = holding(directory);
    await holder.says('opened');
    const first = `op-${round}`;
    expect((await holder.insert(first)).event).toBe('done');
    for (let n = 0; n < 200; n++) holder.tell({ do: 'insert', id: `${first}-${n}`, bodyBytes: 5000 });
    await holder.says('done');
    await holder.kill();
  }
  const store = await testStore(directory);
  expect(store.health().healthy).toBe(true);
  for (let round = 0; round < 5; round++) {
    expect((await store.get(`op-${round}`))?.state).toBe('sent');
    expect((await store.get(`op-${round}-0`))?.body).toHaveLength(5000);
  }
});

it('closes without a word while it is unavailable', async () => {
  const directory = await filled();
  writeFileSync(path.join(directory, 'holdfast.db'), Buffer.alloc(100_000, 'x'));
  const keys = await openKeys(directory);
  const store = await openStore({ directory, keys, clock: new VirtualClock(), onHealth: () => {} });
  await store.close();
  await store.close();
});

/** A disk of 4 MiB that is really full when it is full; null where this user may not mount one. */
function smallDisk(): string | null {
  const directory = `/dev/shm/holdfast-${process.pid}`;
  try {
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'holdfast', directory], { stdio: 'ignore' });
    return directory;
  } catch {
    rmSync(directory, { recursive: true, force: true });
    return null;
  }
}
