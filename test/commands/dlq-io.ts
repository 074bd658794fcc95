import { readFileSync } from 'node:fs';
import type { Io } from '../../src/commands/io.ts';
import { run } from '../../src/commands/program.ts';

/** What a command ended with, and what it wrote. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `holdfast dlq …` in this process, beside no terminal unless `terminal` says what it has. */
export async function dlq(args: readonly string[], terminal: Partial<Io> & { columns?: number } = {}): Promise<Ran> {
  let [out, err] = ['', ''];
  const { columns, ...rest } = terminal;
  const isTTY = columns === undefined ? {} : { isTTY: true, columns };
  const io: Io = {
    version: 'test',
    nodeVersion: process.versions.node,
    env: {},
    stdout: { write: (text) => void (out += text), ...isTTY },
    stderr: { write: (text) => void (err += text) },
    stdoutFd: 1,
    readFile: (file) => readFileSync(file, 'utf8'),
    onSignal: () => () => {},
    onExit: () => {},
    ...rest,
  };
  const code = await run(['dlq', ...args], io);
  return { code, out, err };
}
