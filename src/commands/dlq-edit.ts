import { DlqError, must, type Reply } from './dlq-access.ts';
import { letterOf } from './dlq-read.ts';
import { redrive } from './dlq-redrive.ts';
import type { DlqRun } from './dlq-run.ts';
import { jsonLine } from './dlq-view.ts';

type Json = Reply['json'];

interface EditOptions {
  readonly set?: string[];
  readonly bodyFile?: string;
  readonly target?: string;
  readonly redrive?: true;
}

/** `dlq edit`: a new row below the original, which stays as it is. */
export async function edit(run: DlqRun, [id = '']: string[], options: EditOptions): Promise<number> {
  if (options.redrive === true && !run.access.sends)
    throw new DlqError('no instance runs here that could send: start holdfast serve, or edit without --redrive');
  const letter = await letterOf(run, id);
  const change: Record<string, unknown> = options.target === undefined ? {} : { target: options.target };
  if (options.set !== undefined && options.bodyFile !== undefined)
    throw new DlqError('--set or --body-file, not both', 2);
  let kept: { readonly file: string; readonly drop: () => void } | null = null;
  if (options.set !== undefined) change['body'] = withMembers(letter.request.body, options.set);
  else if (options.bodyFile !== undefined) change['body_base64'] = base64(textIn(run, options.bodyFile));
  else if (options.target === undefined) {
    const edited = await inEditor(run, letter.request.body);
    if (edited === null) return unchanged(run);
    kept = edited;
    change['body_base64'] = base64(edited.text);
  }
  const child: Json = await must(run.access, `PATCH /api/dead-letters/${encodeURIComponent(id)}`, change).catch(
    (error: unknown) => {
      if (kept !== null) run.io.stderr.write(`Your text is in ${kept.file}: --body-file takes it\n`);
      throw error;
    },
  );
  kept?.drop();
  const made = `${child.id} is the edited form of ${letter.id}\n`;
  if (options.redrive === true) {
    // It stays, whatever comes of its redrive.
    run.io.stderr.write(made);
    return redrive(run, [child.id], { canary: '0' });
  }
  run.io.stdout.write(run.json ? jsonLine(child) : made);
  return 0;
}

function unchanged({ io }: DlqRun): number {
  io.stderr.write('holdfast: nothing was changed\n');
  return 1;
}

async function inEditor(
  { io }: DlqRun,
  body: Json,
): Promise<{ readonly text: string; readonly file: string; readonly drop: () => void } | null> {
  if (io.edit === undefined) throw new DlqError('no terminal for $EDITOR here: give --set, --body-file or --target', 2);
  if (body.kind === 'base64') throw new DlqError('the body is no text: give --body-file', 2);
  const before = body.kind === 'json' ? `${JSON.stringify(body.json, null, 2)}\n` : (body.text ?? '');
  const edited = await io.edit(before, body.kind === 'json' ? '.json' : '.txt');
  if (edited === null) throw new DlqError('the editor ended with an error');
  if (edited.text !== before) return edited;
  edited.drop();
  return null;
}

/** `a.b=value` into a JSON body; the value is JSON when it parses, else text. */
function withMembers(body: Json, sets: readonly string[]): unknown {
  if (body.kind !== 'json') throw new DlqError('--set wants a JSON body: give --body-file', 2);
  const document = structuredClone(body.json) as unknown;
  for (const set of sets) {
    const at = set.indexOf('=');
    if (at < 1) throw new DlqError(`--set: got ${set}, allowed is path=value`, 2);
    const names = set.slice(0, at).split('.');
    if (names.some((name) => /[[\]]/.test(name)))
      throw new DlqError(`--set: got ${set}; places of a list are written list.0=value, or give --body-file`, 2);
    let inside = document;
    for (const [i, name] of names.entries()) {
      const where = names.slice(0, i).join('.') || 'the body';
      if (typeof inside !== 'object' || inside === null) throw new DlqError(`--set: ${where} is no object`, 2);
      if (Array.isArray(inside) && !(/^\d{1,6}$/.test(name) && Number(name) <= inside.length))
        throw new DlqError(`--set: ${where} is a list: got ${name}, allowed is 0 to ${inside.length}`, 2);
      const members = inside as Record<string, unknown>;
      const value =
        i === names.length - 1 ? valueOf(set.slice(at + 1)) : Object.hasOwn(members, name) ? members[name] : {};
      // Not by assignment: a member may be called __proto__.
      Object.defineProperty(members, name, { value, enumerable: true, configurable: true, writable: true });
      inside = value;
    }
  }
  return document;
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function textIn({ io }: DlqRun, file: string): string {
  try {
    return io.readFile(file);
  } catch (error) {
    throw new DlqError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
