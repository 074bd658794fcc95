import { closeSync, openSync, writeFileSync } from 'node:fs';
import { DlqError, must, type Reply } from './dlq-access.ts';
import { lettersOf } from './dlq-read.ts';
import type { DlqFilter, DlqRun } from './dlq-run.ts';
import { count, jsonLine } from './dlq-view.ts';

type Json = Reply['json'];

/** Lines that one call brings, and characters: a call has a bound. */
const IMPORT_LINES = 200;
const IMPORT_CHARS = 8 * 1024 * 1024;

/** `dlq export`: lines of JSON. Credentials are never in them; bodies only when they are asked for. */
export async function exportTo(
  run: DlqRun,
  [file]: string[],
  options: DlqFilter & { withBodies?: true },
): Promise<number> {
  const write = file === undefined ? null : writerTo(file);
  let written = 0;
  let shut = 0;
  try {
    for await (const { id } of lettersOf(run, options, Infinity)) {
      const { status, json } = await run.access.call(`GET /api/dead-letters/${encodeURIComponent(id)}`);
      // It may have gone meanwhile.
      if (status !== 200) continue;
      const shown = options.withBodies === true ? json : withoutBodies(json);
      const line = jsonLine(shown);
      if (shown.request.body.kind === 'withheld') shut += 1;
      if (write === null) run.io.stdout.write(line);
      else write.line(line);
      written += 1;
    }
  } finally {
    write?.close();
  }
  if (file !== undefined) run.io.stderr.write(`${count(written, 'dead letter')} in ${file}\n`);
  if (shut > 0) run.io.stderr.write(`${shut} without bodies: cannot be redriven from here; --with-bodies keeps them\n`);
  return 0;
}

function withoutBodies(letter: Json): Json {
  const { request, answer, attempts } = letter;
  const shut = { kind: 'withheld' };
  return {
    ...letter,
    request: { ...request, body: request.body.kind === 'none' ? request.body : shut },
    answer: answer === null ? null : { ...answer, body: shut },
    attempts: attempts.map((attempt: Json) => ({ ...attempt, excerpt: null })),
  };
}

/** Only its owner can read it. */
function writerTo(file: string): { line: (text: string) => void; close: () => void } {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new DlqError(code === 'EEXIST' ? `${file} is there already` : `${file} cannot be written (${code})`);
    }
  };
  const descriptor = attempt(() => openSync(file, 'wx', 0o600));
  return {
    line: (text) => attempt(() => writeFileSync(descriptor, text)),
    close: () => closeSync(descriptor),
  };
}

/** `dlq import`: rows with new ids where theirs are taken are not made; what is there stays. */
export async function importFrom(run: DlqRun, [file = '-']: string[]): Promise<number> {
  const lines = textOf(run, file).split('\n');
  const sums = { imported: 0, known: 0, refused: 0, without_body: 0 };
  let batch: { readonly n: number; readonly letter: Json }[] = [];
  let chars = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const body = { dead_letters: batch.map(({ letter }) => letter) };
    const { results } = await must(run.access, 'POST /api/dead-letters/import', body);
    for (const [i, { n }] of batch.entries()) {
      const { result, message, without_body: without } = results[i];
      sums[result as keyof typeof sums] += 1;
      if (without === true) sums.without_body += 1;
      if (result === 'refused') run.io.stderr.write(`holdfast: line ${n}: ${message}\n`);
    }
    batch = [];
    chars = 0;
  };
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    if (batch.length === IMPORT_LINES || chars + line.length > IMPORT_CHARS) await flush();
    const letter = parsed(line);
    if (letter === undefined) {
      sums.refused += 1;
      run.io.stderr.write(`holdfast: line ${i + 1}: is no JSON\n`);
      continue;
    }
    batch.push({ n: i + 1, letter });
    chars += line.length;
  }
  await flush();
  const text = `imported ${count(sums.imported, 'dead letter')}, ${sums.known} known already, ${sums.refused} refused`;
  run.io.stdout.write(run.json ? jsonLine(sums) : `${text}\n`);
  if (sums.without_body > 0)
    run.io.stderr.write(
      `${sums.without_body} of them without bodies: cannot be redriven, unless an edit gives them one (export --with-bodies has them)\n`,
    );
  return sums.refused === 0 ? 0 : 1;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

function textOf({ io }: DlqRun, file: string): string {
  try {
    return io.readFile(file === '-' ? '/dev/stdin' : file);
  } catch (error) {
    throw new DlqError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
}
