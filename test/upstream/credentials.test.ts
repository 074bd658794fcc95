import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openCredentials } from '../../src/upstream/credentials.ts';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-'));
  file = join(folder, 'token');
});

afterEach(() => rmSync(folder, { recursive: true }));

test('passthrough brings nothing of its own', async () => {
  const credentials = await openCredentials({ kind: 'passthrough' }, {});
  expect([credentials.current(), await credentials.reread()]).toEqual([null, null]);
});

test.each(['secret', ' secret\n', 'Bearer secret\n'])('a file of %j is the bearer token in it', async (text) => {
  writeFileSync(file, text);
  expect((await openCredentials({ kind: 'bearer_file', file }, {})).current()).toBe('Bearer secret');
});

test('§3: reading again says whether the credential changed, and uses the new one', async () => {
  writeFileSync(file, 'one');
  const credentials = await openCredentials({ kind: 'bearer_file', file }, {});
  expect(await credentials.reread()).toBe(false);
  writeFileSync(file, 'two');
  expect([await credentials.reread(), credentials.current()]).toEqual([true, 'Bearer two']);
});

test('a file that turned bad leaves the last good credential in force', async () => {
  writeFileSync(file, 'one');
  const credentials = await openCredentials({ kind: 'bearer_file', file }, {});
  writeFileSync(file, 'a b\r\nX-Evil: 1');
  expect(await credentials.reread()).toBe(false);
  rmSync(file);
  expect([await credentials.reread(), credentials.current()]).toEqual([false, 'Bearer one']);
});

test('an environment variable serves too, and is looked at again', async () => {
  const env: Record<string, string> = { TOKEN: 'one' };
  const credentials = await openCredentials({ kind: 'bearer_env', name: 'TOKEN' }, env);
  env['TOKEN'] = 'two';
  expect([await credentials.reread(), credentials.current()]).toEqual([true, 'Bearer two']);
});

test('a source without a token stops the start, and the message shows no content', async () => {
  writeFileSync(file, 'sec ret');
  await expect(openCredentials({ kind: 'bearer_file', file }, {})).rejects.toThrow(
    /^upstream\.credentials: .*token holds no token/,
  );
  await expect(openCredentials({ kind: 'bearer_file', file: join(folder, 'none') }, {})).rejects.toThrow(/ENOENT/);
  await expect(openCredentials({ kind: 'bearer_env', name: 'TOKEN' }, {})).rejects.toThrow(
    /environment variable TOKEN/,
  );
});
