import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { KeyFileError, openKeys } from '../../src/store/keys.ts';
import { testDirectory } from './files.ts';

const MODE = 0o600;

it('makes a key file of 32 bytes for its user alone, and derives the same keys from it ever after', async () => {
  const directory = path.join(testDirectory(), 'data');
  const first = await openKeys(directory);
  const file = path.join(directory, 'holdfast.key');
  expect([statSync(file).mode & 0o777, readFileSync(file).length, readdirSync(directory)]).toEqual([
    MODE,
    32,
    ['holdfast.key'],
  ]);
  expect(await openKeys(directory)).toEqual(first);
  expect(first).toMatchObject({ unsaved: null });
  const names = first.names.export();
  const distinct = new Set([names, first.sealing, readFileSync(file)].map((key) => key.toString('hex')));
  expect([distinct.size, names.length, first.sealing.length]).toEqual([3, 32, 32]);
});

it('gives one pair of keys to many that start at once', async () => {
  const directory = testDirectory();
  const all = await Promise.all(Array.from({ length: 20 }, () => openKeys(directory)));
  expect(new Set(all.map(({ sealing }) => sealing.toString('hex'))).size).toBe(1);
  expect(readdirSync(directory)).toEqual(['holdfast.key']);
});

it('takes the file that is given, and makes none', async () => {
  const directory = testDirectory();
  const file = path.join(directory, 'secret');
  writeFileSync(file, Buffer.alloc(32, 7), { mode: MODE });
  const given = await openKeys(path.join(directory, 'data'), file);
  expect(given.sealing.toString('hex')).not.toBe((await openKeys(directory)).sealing.toString('hex'));
  await expect(openKeys(directory, path.join(directory, 'none'))).rejects.toThrow(
    /key file .+ does not exist\. Put 32 random bytes there/,
  );
});

it('refuses a key file that others may use, or of another length, and says what to do', async () => {
  const directory = testDirectory();
  await openKeys(directory);
  const file = path.join(directory, 'holdfast.key');
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(file, mode);
    await expect(openKeys(directory)).rejects.toThrow(`Run: chmod 600 ${file}`);
  }
  chmodSync(file, MODE);
  for (const length of [0, 31, 33]) {
    writeFileSync(file, Buffer.alloc(length));
    await expect(openKeys(directory)).rejects.toThrow(KeyFileError);
    await expect(openKeys(directory)).rejects.toThrow(`has ${length} bytes and must have 32. Put the right one back`);
  }
});
