import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { shippedFile } from '../config/shipped.ts';
import type { Io } from './io.ts';

/** The `schema` command; `done` receives its exit code. */
export function schemaCommand(io: Pick<Io, 'stdout'>, done: (exitCode: number) => void): Command {
  return new Command('schema')
    .description('print the JSON Schema of the configuration file')
    .action(async () => done(await schema(io)));
}

/** Prints config/schema.json, which is made from the declaration; the exit code. */
export async function schema(io: Pick<Io, 'stdout'>): Promise<number> {
  io.stdout.write(await readFile(shippedFile('schema.json'), 'utf8'));
  return 0;
}
