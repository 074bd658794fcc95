import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { starterFile } from '../config/starter.ts';
import type { Io } from './io.ts';

/** What `init` uses of the process. */
export type InitIo = Pick<Io, 'stdout' | 'stderr'>;

/** The `init` command; `done` receives its exit code. */
export function initCommand(io: InitIo, done: (exitCode: number) => void): Command {
  return new Command('init')
    .description('write a commented starter configuration; an existing file is left alone')
    .argument('[file]', 'where to', 'holdfast.yaml')
    .action(async (file: string) => done(await init(file, io)));
}

/** Writes the starter file; the exit code. */
export async function init(file: string, io: InitIo): Promise<number> {
  try {
    await writeFile(file, starterFile(), { flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const known: Readonly<Record<string, string>> = {
      EEXIST: `${file} is there already; name another file, or move it away`,
      ENOENT: `${file} cannot be written: there is no such folder`,
    };
    io.stderr.write(`init: ${known[code ?? ''] ?? message}\n`);
    return 1;
  }
  io.stdout.write(`${file} written. Check it: holdfast check --config ${file}\n`);
  return 0;
}
