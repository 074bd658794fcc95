import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { check } from '../../src/commands/check.ts';
import { init } from '../../src/commands/init.ts';
import { CommandIo } from './command-io.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'holdfast-init-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test('writes a file that check takes', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  const io = new CommandIo();
  expect(await init(file, io)).toBe(0);
  expect(io.out).toContain('holdfast check --config');
  expect(await check({ config: file, strict: true }, new CommandIo())).toBe(0);
});

test('leaves an existing file alone', async () => {
  const file = path.join(directory, 'holdfast.yaml');
  await writeFile(file, 'mine');
  const io = new CommandIo();
  expect(await init(file, io)).toBe(1);
  expect(io.err).toMatch(/^init: .*holdfast\.yaml is there already; .*\n$/);
  expect(await readFile(file, 'utf8')).toBe('mine');
});

test('says when the folder is missing', async () => {
  const io = new CommandIo();
  expect(await init(path.join(directory, 'no', 'x.yaml'), io)).toBe(1);
  expect(io.err).toContain('there is no such folder');
});
