/**
 * Compiles the regular expressions of error rules, and refuses those that can run for minutes on an unlucky answer:
 * JavaScript's engine backtracks, and one such pattern would stop the whole proxy. The test is cheap and errs on the
 * side of refusal: a repeated group may hold no repetition and no alternatives that can begin alike, and a pattern may
 * repeat a wide class such as `.` without bound only once, and not at its start.
 */

const LENGTH_MAX = 500;
/** A counted repetition beyond this is as bad as one without bound. */
const COUNT_MAX = 20;

/** A pattern, or what is wrong with it. */
export type CompiledPattern =
  | { readonly ok: true; readonly pattern: RegExp }
  | { readonly ok: false; readonly message: string; readonly allowed: string | null };

/** Compiles a pattern with the `u` flag. */
export function compilePattern(source: string): CompiledPattern {
  if (source.length > LENGTH_MAX) {
    return { ok: false, message: `is ${source.length} characters long`, allowed: `at most ${LENGTH_MAX} characters` };
  }
  let pattern: RegExp;
  try {
    pattern = new RegExp(source, 'u');
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error), allowed: null };
  }
  const danger = dangerOf(source);
  return danger === null ? { ok: true, pattern } : { ok: false, ...danger };
}

interface Danger {
  readonly message: string;
  readonly allowed: string;
}

const REPEATED_GROUP: Danger = {
  message: 'can backtrack without end: a repeated group holds a repetition, or alternatives that can begin alike',
  allowed: 'repeat the group a fixed number of times, or write a character class such as [a-z ]+',
};
const WIDE_REPEATS: Danger = {
  message: 'can backtrack for very long: an unbounded .* at its start, or more than one',
  allowed: 'leave it out at the start (patterns are searched for anywhere), and write .{0,100} for a second one',
};

/** `some`: `?` or a small count that varies. `counted`: a large count. */
type Repeat = 'none' | 'fixed' | 'some' | 'counted' | 'unbounded';

interface Item {
  /** The atom as written; `(` for a group. */
  readonly text: string;
  readonly inner: readonly Item[][] | null;
  readonly repeat: Repeat;
}

/** Finds out whether a valid pattern is open to catastrophic backtracking; null when it is not. */
export function dangerOf(source: string): Danger | null {
  const alternatives = parse(source);
  const all = flatten(alternatives);
  const often = all.filter((item) => item.repeat === 'unbounded' || item.repeat === 'counted');
  if (often.some((item) => item.inner !== null && isTangled(item.inner))) return REPEATED_GROUP;
  const wide = all.filter((item) => item.repeat === 'unbounded' && WIDE.test(item.text));
  return wide.length > 1 || wide.some((item) => firstsOf(alternatives).includes(item)) ? WIDE_REPEATS : null;
}

const WIDE = /^(?:\.|\\[SWDP]|\[\^|\[.*\\[SWD])/;

function isTangled(alternatives: readonly Item[][]): boolean {
  if (flatten(alternatives).some((item) => item.repeat !== 'none' && item.repeat !== 'fixed')) return true;
  if (alternatives.length === 1) return false;
  const starts = alternatives.map((items) => items[0]?.text ?? '');
  // Classes, groups and nothing at all may begin like any other alternative.
  return starts.some((start) => !/^[^.[(\\]$/u.test(start)) || new Set(starts).size < starts.length;
}

function flatten(alternatives: readonly Item[][]): Item[] {
  return alternatives.flat().flatMap((item) => [item, ...(item.inner === null ? [] : flatten(item.inner))]);
}

function firstsOf(alternatives: readonly Item[][]): Item[] {
  return alternatives.flatMap(([first]) => {
    if (first === undefined) return [];
    return first.inner === null ? [first] : [first, ...firstsOf(first.inner)];
  });
}

const ATOM = /\\(?:[pPkux](?:\{[^}]*\}|<[^>]*>)|.)|\[(?:\\.|[^\]\\])*\]|\(\?(?:[:=!]|<[=!]|<[^>]+>|[a-z-]*:)|[\s\S]/uy;
const QUANTIFIER = /(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/y;

/** Takes a valid pattern apart. */
function parse(source: string): Item[][] {
  const open: Item[][][] = [[[]]];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    at += found?.[0].length ?? 0;
    return found;
  };
  while (at < source.length) {
    const text = take(ATOM)?.[0] ?? '';
    const group = open.at(-1) as Item[][];
    if (text.startsWith('(')) open.push([[]]);
    else if (text === '|') group.push([]);
    else if (text === ')') {
      open.pop();
      open
        .at(-1)
        ?.at(-1)
        ?.push({ text: '(', inner: group, repeat: repeatOf(take(QUANTIFIER)) });
    } else group.at(-1)?.push({ text, inner: null, repeat: repeatOf(take(QUANTIFIER)) });
  }
  return open[0] as Item[][];
}

function repeatOf(quantifier: RegExpExecArray | null): Repeat {
  if (quantifier === null) return 'none';
  const [text, least, comma, most] = quantifier;
  if (least === undefined) return text.startsWith('?') ? 'some' : 'unbounded';
  const last = comma === '' ? Number(least) : most === '' ? Infinity : Number(most);
  if (last === Infinity) return 'unbounded';
  if (last > COUNT_MAX) return 'counted';
  return Number(least) === last ? 'fixed' : 'some';
}
