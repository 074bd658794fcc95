import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { StoreUnavailable } from '../../src/core/store.ts';
import { DirectoryInUse } from '../../src/store/sqlite.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { storeContract } from './contract.ts';
import { deadLetterContract } from './dead-contract.ts';
import { testDirectory, testStore } from './files.ts';
import { Holding } from './holding.ts';
import { queueContract } from './queue-contract.ts';
import { ended, NOW_MS, row } from './rows.ts';

storeContract('SqliteStore', () => testStore(testDirectory()));
deadLetterContract('SqliteStore', () => testStore(testDirectory()));
queueContract(() => testStore(testDirectory()));

const LEFT_OPEN = ['holdfast.db', 'holdfast.db-wal', 'holdfast.key', 'holdfast.lock'];

function holding(directory: string): Holding {
  const holder = new Holding(directory);
  onTestFinished(() => holder.kill());
  return holder;
}

it('keeps everything over a restart', async () => {
  const directory = testDirectory();
  const first = await testStore(directory);
  await first.insert(row({ id: 'a', keyHash: 'k' }));
  await first.change('a', ended());
  first.delivered('a');
  first.keepGate({ kind: 'breaker', name: 'n', value: '{"open":true}', expiresAtMs: NOW_MS });
  await first.close();
  const second = await testStore(directory);
  const { state, ...change } = ended();
  expect(await second.get('a')).toEqual({ ...row({ id: 'a', keyHash: 'k' }), state, ...change, delivered: true });
  expect(await second.gates(0)).toHaveLength(1);
});

it('leaves one file after a good end, beside key and lock', async () => {
  const directory = testDirectory();
  const store = await testStore(directory);
  await store.insert(row({ id: 'a' }));
  expect(readdirSync(directory).sort()).toEqual(LEFT_OPEN);
  await store.close();
  expect(readdirSync(directory).sort()).toEqual(['holdfast.db', 'holdfast.key', 'holdfast.lock']);
});

it('makes the directory for its user alone, and every file', async () => {
  const directory = path.join(testDirectory(), 'deep', 'data');
  const store = await testStore(directory);
  await store.insert(row({ id: 'a' }));
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  for (const file of LEFT_OPEN) expect(statSync(path.join(directory, file)).mode & 0o777, file).toBe(0o600);
});

it('§9: writes neither body nor credential nor answer in clear', async () => {
  const directory = testDirectory();
  const store = await testStore(directory);
  await store.insert(row({ id: 'a' }));
  await store.change('a', ended());
  const inClear = (): string[] =>
    readdirSync(directory).filter((file) => readFileSync(path.join(directory, file)).includes('planted'));
  expect(inClear()).toEqual([]);
  await store.close();
  expect(inClear()).toEqual([]);
  expect(readFileSync(path.join(directory, 'holdfast.db')).includes('POST /contacts')).toBe(true);
});

it('refuses a directory that another process uses, says what to do, and takes it when that is killed', async () => {
  const directory = testDirectory();
  const holder = holding(directory);
  await holder.says('opened');
  expect((await holder.insert('a')).event).toBe('done');
  const refusal = await testStore(directory).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(DirectoryInUse);
  expect((refusal as Error).message).toMatch(/Another process uses the ledger in .+ Stop it, or give this one/);
  await holder.kill();
  const store = await testStore(directory);
  expect((await store.get('a'))?.state).toBe('sent');
});

it('refuses a directory that the same process uses', async () => {
  const directory = testDirectory();
  const first = await testStore(directory);
  await expect(testStore(directory)).rejects.toBeInstanceOf(DirectoryInUse);
  await first.insert(row({ id: 'a' }));
  await first.close();
  expect((await (await testStore(directory)).get('a'))?.id).toBe('a');
});

it('commits 10,000 concurrent inserts together, in a log of bounded length', async () => {
  const directory = testDirectory();
  const store = await testStore(directory);
  const before = store.batches;
  await Promise.all(Array.from({ length: 10_000 }, (_, n) => store.insert(row({ id: `op-${n}` }))));
  expect(store.batches - before).toBeLessThanOrEqual(10);
  expect(await store.open(0)).toHaveLength(10_000);
  // 3,000 pages, give and take what the last batch wrote.
  expect(statSync(path.join(directory, 'holdfast.db-wal')).size).toBeLessThan(24 * 1024 * 1024);
});

it('refuses what waits beyond its bounds, by count and by bytes, and keeps what it took', async () => {
  const store = await testStore(testDirectory());
  const all = await Promise.allSettled(Array.from({ length: 20_100 }, (_, n) => store.insert(row({ id: `op-${n}` }))));
  expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(20_000);
  const body = Buffer.alloc(1 << 20);
  const large = await Promise.allSettled(
    Array.from({ length: 70 }, (_, n) => store.insert(row({ id: `l-${n}`, body }))),
  );
  const refused = large.filter((result) => result.status === 'rejected');
  expect(refused).toHaveLength(6);
  expect(refused[0]?.reason).toBeInstanceOf(StoreUnavailable);
  expect(store.health().healthy).toBe(true);
});

it('lets one request that cannot be kept fail alone', async () => {
  const store = await testStore(testDirectory());
  const results = await Promise.allSettled([
    store.insert(row({ id: 'a' })),
    store.insert(row({ id: 'b', looks: Number.NaN })),
    store.insert(row({ id: 'c' })),
    store.change('a', ended({ looks: Number.NaN })),
    store.change('c', ended()),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled']);
  expect(await store.get('a')).toEqual(row({ id: 'a' }));
  expect((await store.get('c'))?.answer?.body?.toString()).toBe('{"id":"planted-answer"}');
  expect(store.health().healthy).toBe(true);
});

it('writes what nobody waits for within 50 ms, and with the next batch before that', async () => {
  const directory = testDirectory();
  const clock = new VirtualClock();
  const store = await testStore(directory, { clock });
  await store.insert(row({ id: 'a', state: 'succeeded' }));
  const before = store.batches;
  store.delivered('a');
  expect(clock.pending).toBe(1);
  await clock.advance(50);
  expect((await store.get('a'))?.delivered).toBe(true);
  expect(store.batches - before).toBe(2);
  store.delivered('a');
  await store.get('a');
  expect([clock.pending, store.batches - before]).toEqual([0, 3]);
});

it('reads a long list in slices, adds them up, and lets what is written meanwhile come between', async () => {
  const store = await testStore(testDirectory());
  const dead = { state: 'dead', deadReason: 'exhausted', causeLabel: 'down', deadAtMs: NOW_MS } as const;
  const rows = Array.from({ length: 9000 }, (_, n) =>
    row({ id: `d${n}`, ...dead, causeId: `cause-${n % 2}`, deadAtMs: NOW_MS + n, createdAtMs: NOW_MS - n }),
  );
  await Promise.all(rows.map((each) => store.insert(each)));
  const order: string[] = [];
  const reading = store.groupDead({ context: { workflow: 'enrich' }, sinceMs: NOW_MS + 1000 }, 10).then((groups) => {
    order.push('groups');
    return groups;
  });
  await Promise.all(['a', 'b'].map((id) => store.insert(row({ id })).then(() => order.push(id))));
  expect(await reading).toMatchObject([
    {
      causeId: 'cause-1',
      rows: 4000,
      firstAtMs: NOW_MS - 8999,
      lastAtMs: NOW_MS + 8999,
      samples: ['d8999', 'd8997', 'd8995'],
    },
    {
      causeId: 'cause-0',
      rows: 4000,
      firstAtMs: NOW_MS - 8998,
      lastAtMs: NOW_MS + 8998,
      samples: ['d8998', 'd8996', 'd8994'],
    },
  ]);
  expect(order).toEqual(['a', 'b', 'groups']);
});

it('§9: counts what dead letters take as the disk does, of every size', async () => {
  for (const size of [0, 300, 1500, 3000, 6000]) {
    const directory = testDirectory();
    const store = await testStore(directory);
    const died = {
      state: 'dead',
      deadReason: 'exhausted',
      causeId: 'cause',
      causeLabel: 'down',
      deadAtMs: NOW_MS,
    } as const;
    const rows = Array.from({ length: 1000 }, (_, n) => {
      const identity = createHash('sha256').update(`${n}`).digest('hex');
      const names = { id: identity.slice(0, 36), identity, naturalKey: identity };
      return row({ ...names, ...died, target: `/${'t'.repeat(size)}`, body: Buffer.alloc(size, 'b') });
    });
    await Promise.all(rows.map((each) => store.insert(each)));
    const counted = (await store.countDead()).reduce((sum, { bytes }) => sum + bytes, 0);
    await store.close();
    const taken = statSync(path.join(directory, 'holdfast.db')).size;
    expect(taken, `${size}`).toBeLessThan(counted + 200_000);
    expect(taken, `${size}`).toBeGreaterThan(counted / 2);
  }
});

it('says that its thread died, rejects what waits, and hangs nowhere', async () => {
  const told: (string | null)[] = [];
  const worker = new Promise<{ terminate: () => Promise<number> }>((resolve) => {
    process.once('worker', resolve);
  });
  const store = await testStore(testDirectory(), { told });
  const waiting = [store.insert(row({ id: 'a' })), store.get('a')];
  await (await worker).terminate();
  for (const call of waiting) await call.catch((error: unknown) => expect(error).toBeInstanceOf(StoreUnavailable));
  await expect(store.insert(row({ id: 'b' }))).rejects.toBeInstanceOf(StoreUnavailable);
  expect(store.health().fault).toContain('The thread of the ledger died');
  expect(told).toEqual([null, store.health().fault]);
  await store.close();
});
