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

/** One column. A `flexible` one is cut when the line is too long; others keep their width. */
export interface Column<T> {
  readonly head: string;
  readonly of: (row: T) => string;
  readonly right?: boolean;
  readonly flexible?: boolean;
  readonly paint?: (text: string, row: T) => string;
}

const GAP = '  ';
const FLEXIBLE_LEAST = 4;

/** Lines of a table, head first, without flexible columns that are empty; `width` is undefined where nothing is cut. */
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
  if (width !== undefined) shrink(columns, widths, width);
  const lineOf = (texts: readonly string[], dress: (text: string, i: number) => string): string =>
    texts
      .map((text, i) => {
        const most = widths[i] ?? 0;
        const shown = cut(text, most);
        const pad = ' '.repeat(Math.max(most - widthOf(shown), 0));
        const dressed = dress(shown, i);
        return columns[i]?.right === true ? pad + dressed : dressed + (i === texts.length - 1 ? '' : pad);
      })
      .join(GAP)
      .trimEnd();
  return [
    lineOf(
      columns.map(({ head }) => head),
      (text) => paint.dim(text),
    ),
    ...cells.map((line, at) => lineOf(line, (text, i) => columns[i]?.paint?.(text, rows[at] as T) ?? text)),
  ];
}

/** Takes from the widest of those that may be cut, until the line fits. */
function shrink(columns: readonly Column<never>[] | readonly Column<unknown>[], widths: number[], width: number): void {
  const flexible = columns.flatMap(({ flexible: may }, i) => (may === true ? [i] : []));
  for (;;) {
    const over = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - width;
    if (over <= 0) return;
    const widest = flexible.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined || (widths[widest] ?? 0) <= FLEXIBLE_LEAST) return;
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

/** By what has to be done about it. */
export function paintState(state: string, paint: Paint): string {
  if (state === 'dead' || state === 'cancelled') return paint.red(state);
  if (state === 'unknown' || state === 'paused') return paint.yellow(state);
  if (state === 'succeeded' || state === 'done') return paint.green(state);
  return paint.dim(state);
}
