/**
 * README to the letter: a fresh clone, `npm ci`, `npm start`, the demo and the tour on the ports that stand there, by the machine's
 * own Node. What is not committed is not in a clone.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshEnvironment, isTaken, Shell, walk } from '../docs/walk.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const WALK_MS = 600_000;
let folder: string;

beforeAll(async () => {
  for (const port of [8080, 8081, 8090]) {
    if (await isTaken(port)) {
      throw new Error(
        `Port ${port} is taken by another program. README's commands use 8080, 8081 and 8090: end it first.`,
      );
    }
  }
  folder = path.join(mkdtempSync(path.join(tmpdir(), 'holdfast-clone-')), 'holdfast');
  const { status, stderr } = spawnSync('git', ['clone', '--quiet', '--no-hardlinks', ROOT, folder], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
});

afterAll(() => rmSync(path.dirname(folder), { recursive: true, force: true }));

// It does not come back: looked at while it runs, as a newcomer would from a second terminal, and ended.
const typed = (command: string): string =>
  command === 'npm start'
    ? 'npm start > /dev/null & curl -s --retry 60 --retry-connrefused --retry-delay 1 127.0.0.1:8081/readyz; kill %1; wait'
    : command;

it(
  'says what README prints, command by command, in a fresh clone',
  async () => {
    const page = readFileSync(path.join(folder, 'README.md'), 'utf8');
    const shell = new Shell(folder, freshEnvironment());
    try {
      expect(await walk({ shell, page, isLeftOut: () => false, typed })).toEqual([]);
    } finally {
      await shell.end();
    }
  },
  WALK_MS,
);
