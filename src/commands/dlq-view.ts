import type { Io, Output } from './io.ts';

/** Colours of a terminal (ECMA-48 SGR); none where they are not wanted (no-color.org). */
export interface Paint {
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly green: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

/** What an output can show. */
export function paintFor(output: Output, env: Io['env']): Paint {
  const isPlain = output.isTTY !== true || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  const code =
    (n: number) =>
    (text: string): string =>
      isPlain || text === '' ? text : `\u001B[${n}m${text}\u001B[0m`;
  return { red: code(31), yellow: code(33), green: code(32), dim: code(2), bold: code(1) };
}

/** One column. A `flexible` one is cut when the line is too long; others keep their width, and are folded. */
export interface Column<T> {
  readonly head: string;
  readonly of: (row: T) => string;
  readonly right?: boolean;
  readonly flexible?: boolean;
  readonly paint?: (text: string, row: T) => string;
}

const GAP = '  ';
/** Less says nothing: it goes on a line of its own then. */
const FLEXIBLE_LEAST = 40;
const INDENT = '  ';

/**
 * Lines of a table, head first, without flexible columns that are empty. A row that is wider than `width` goes over several
 * lines; undefined: nothing is cut or folded.
 */
export function tableOf<T>(
  given: readonly Column<T>[],
  rows: readonly T[],
  width: number | undefined,
  paint: Paint,
): string[] {
  const columns = given.filter(({ flexible, of }) => flexible !== true || rows.some((row) => of(row) !== ''));
  const cells = rows.map((row) => columns.map(({ of }) => clean(of(row))));
  const widths = columns.map(({ head }, i) =>
    cells.reduce((most, line) => Math.max(most, widthOf(line[i] ?? '')), head.length),
  );
  const parts = width === undefined ? [columns.map((_, i) => i)] : folded(columns, widths, width);
  const linesOf = (texts: readonly string[], dress: (text: string, i: number) => string): string[] =>
    parts
      .map((part, at) => {
        const shown = part.map((i) => {
          const most = widths[i] ?? 0;
          const text = cut(texts[i] ?? '', most);
          const pad = ' '.repeat(Math.max(most - widthOf(text), 0));
          return columns[i]?.right === true ? pad + dress(text, i) : dress(text, i) + (i === part.at(-1) ? '' : pad);
        });
        return `${at === 0 ? '' : INDENT}${shown.join(GAP)}`.trimEnd();
      })
      .filter((line) => line !== '');
  return [
    ...linesOf(
      columns.map(({ head }) => head),
      (text) => paint.dim(text),
    ),
    ...cells.flatMap((line, at) => linesOf(line, (text, i) => columns[i]?.paint?.(text, rows[at] as T) ?? text)),
  ];
}

/** Which columns stand on which line; the widths of flexible ones become what there is room for. */
function folded(columns: readonly { readonly flexible?: boolean }[], widths: number[], width: number): number[][] {
  const least = widths.map((each, i) => (columns[i]?.flexible === true ? Math.min(each, FLEXIBLE_LEAST) : each));
  const parts: number[][] = [[]];
  let used = -GAP.length;
  for (const [i, each] of least.entries()) {
    if (used > 0 && used + GAP.length + each > width) {
      parts.push([]);
      used = INDENT.length - GAP.length;
    }
    used += GAP.length + each;
    parts.at(-1)?.push(i);
  }
  for (const [at, part] of parts.entries()) {
    const flexible = part.filter((i) => columns[i]?.flexible === true);
    shrink(flexible, widths, width - (at === 0 ? 0 : INDENT.length) - GAP.length * (part.length - 1), part);
  }
  return parts;
}

/** Takes from the widest of those that may be cut, until the line fits. */
function shrink(flexible: readonly number[], widths: number[], room: number, part: readonly number[]): void {
  const over = (): number => part.reduce((sum, i) => sum + (widths[i] ?? 0), -room);
  while (over() > 0) {
    const widest = flexible.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined || (widths[widest] ?? 0) <= 1) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

/** What others wrote, without what a terminal would obey. */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '·');
}

/** A document in one line, which says the same to programs and nothing to a terminal. */
export function jsonLine(document: unknown): string {
  const text = JSON.stringify(document).replaceAll(/[\u007f-\u009f\p{Cf}\u2028\u2029]/gu, escaped);
  return `${text}\n`;
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

/** The same with its lines. */
export function cleanLines(text: string): string {
  return text.split('\n').map(clean).join('\n');
}

function widthOf(text: string): number {
  return Array.from(text).length;
}

function cut(text: string, most: number): string {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, Math.max(most - 1, 0)).join('')}…`;
}

/** `3 d`, `5 h`, `12 min`, `8 s`: how long ago. */
export function ageOf(iso: string | null, nowMs: number): string {
  if (iso === null) return '';
  const seconds = Math.max(Math.round((nowMs - Date.parse(iso)) / 1000), 0);
  return durationOf(seconds);
}

/** A duration in its largest unit. */
export function durationOf(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** `1 row`, `2 rows`. */
export function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** By what has to be done about it; `text` when it says more than the state. */
export function paintState(state: string, paint: Paint, text = state): string {
  if (state === 'dead' || state === 'cancelled') return paint.red(text);
  if (state === 'unknown' || state === 'paused') return paint.yellow(text);
  if (state === 'succeeded' || state === 'done') return paint.green(text);
  return paint.dim(text);
}
