import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { EditedText } from './io.ts';

/** Asks on a terminal; an empty line when it was closed. */
export async function ask(
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
  question: string,
): Promise<string> {
  const lines = createInterface({ input, output });
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  try {
    return await Promise.race([lines.question(question), closed]);
  } finally {
    lines.close();
  }
}

/** Opens $VISUAL, $EDITOR or vi on a file that only this user can read. Null when the editor failed. */
export function editWith(
  env: Readonly<Record<string, string | undefined>>,
  text: string,
  suffix: string,
): EditedText | null {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-edit-'));
  const file = path.join(directory, `body${suffix}`);
  const drop = (): void => rmSync(directory, { recursive: true, force: true });
  writeFileSync(file, text, { mode: 0o600 });
  // By the shell, since $EDITOR may have arguments (`code --wait`); the file is an argument and no part of the command.
  const editor = env['VISUAL'] ?? env['EDITOR'] ?? 'vi';
  const { status } = spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
  if (status === 0) return { text: readFileSync(file, 'utf8'), file, drop };
  drop();
  return null;
}
