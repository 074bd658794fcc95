/**
 * Compiles the regular expressions of error rules, and refuses those that can run for very long on an unlucky answer:
 * JavaScript's engine backtracks, and one such pattern would stop the whole proxy. What is reckoned is in how many ways
 * the pattern can match the same text. A repetition with a clear end, one that the next literal cannot belong to
 * (`\d+ in`), has one way; any other has as many as the text is long, and behind such a one a clear end helps no more,
 * since it is looked for as often. One is allowed, so that the work is at most quadratic. The reckoning errs on the side
 * of refusal.
 */

const LENGTH_MAX = 500;
/** The most ways of a pattern without an open repetition, and beside one. */
const WAYS_MAX = [200, 4];

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
    // Too large a program is found out at the first use.
    pattern.test('');
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

const MANY_WAYS: Danger = {
  message: 'can backtrack without end: it can match the same text in too many ways',
  allowed: 'one repetition without a clear end, such as [^"]*" or \\d+ in; no repetition inside a repeated group',
};
const OPEN_START: Danger = {
  message: 'starts with a repetition of anything',
  allowed: 'the pattern without it: patterns are searched for anywhere in the text',
};

/** An atom or a group, repeated `least` to `most` times. */
interface Item {
  /** The atom as written; `(` for a group. */
  readonly text: string;
  readonly inner: Alternatives | null;
  readonly least: number;
  readonly most: number;
}

type Alternatives = readonly (readonly Item[])[];

/** Ways to match one text of length n: `factor` · n^`power`. */
interface Ways {
  readonly power: number;
  readonly factor: number;
}

const ONE_WAY: Ways = { power: 0, factor: 1 };

/** Finds out whether a valid pattern is open to catastrophic backtracking; null when it is not. */
export function dangerOf(source: string): Danger | null {
  const alternatives = parse(source);
  const { power, factor } = waysOf(alternatives, 'end', { loose: false });
  if (factor > (WAYS_MAX[power] ?? 0)) return MANY_WAYS;
  return firstsOf(alternatives).some(({ text, most }) => most === Infinity && WIDE.test(text)) ? OPEN_START : null;
}

const WIDE = /^(?:\.|\\[SWDP]|\[\^|\[.*\\[SWD])/;

/** What comes after an item: another one, the end of the pattern, or nobody knows. */
type Next = Item | 'end' | 'unknown';

/** Whether a repetition without a clear end came before. */
interface Before {
  loose: boolean;
}

function waysOf(alternatives: Alternatives, next: Next, before: Before): Ways {
  const each = alternatives.map((items) =>
    items.map((item, i) => waysOfItem(item, items[i + 1] ?? next, before)).reduce(times, ONE_WAY),
  );
  if (each.length === 1) return each[0] ?? ONE_WAY;
  const power = Math.max(...each.map((ways) => ways.power));
  const factors = each.map(({ factor }) => factor);
  return {
    power,
    factor: beginApart(alternatives) ? Math.max(...factors) : factors.reduce((sum, one) => sum + one, 0),
  };
}

function waysOfItem(item: Item, next: Next, before: Before): Ways {
  const { inner, least, most } = item;
  const again: Next = most > 1 ? 'unknown' : next;
  const once = inner === null ? ONE_WAY : waysOf(inner, again, before);
  if (least === most) return toThe(once, most);
  if (inner === null && endsClearly(item, next, before)) return ONE_WAY;
  if (most !== Infinity) return times(toThe(once, most), { power: 0, factor: most - least + 1 });
  before.loose = true;
  return once.power > 0 || once.factor > 1 ? { power: Infinity, factor: 1 } : { power: 1, factor: 1 };
}

function times(one: Ways, other: Ways): Ways {
  return { power: one.power + other.power, factor: one.factor * other.factor };
}

function toThe({ power, factor }: Ways, exponent: number): Ways {
  return { power: power === 0 ? 0 : power * exponent, factor: factor === 1 ? 1 : factor ** exponent };
}

/** Nothing can fail behind the last item; and a literal that the atom does not match ends it in one place only. */
function endsClearly({ text, most }: Item, next: Next, { loose }: Before): boolean {
  if (next === 'end') return true;
  if (loose && most === Infinity) return false;
  if (next === 'unknown' || next.inner !== null || next.least === 0 || !LITERAL.test(next.text)) return false;
  return !new RegExp(`^(?:${text})$`, 'u').test(next.text.replace('\\', ''));
}

const LITERAL = /^(?:[^.[\\^$]|\\[^a-zA-Z0-9])$/u;

/** Every alternative begins with a literal of its own. */
function beginApart(alternatives: Alternatives): boolean {
  const starts = alternatives.map(([first]) => (first === undefined || first.least === 0 ? '' : first.text));
  return starts.every((start) => LITERAL.test(start)) && new Set(starts).size === starts.length;
}

function firstsOf(alternatives: Alternatives): Item[] {
  return alternatives.flatMap(([first]) => {
    if (first === undefined) return [];
    return first.inner === null ? [first] : firstsOf(first.inner);
  });
}

const ATOM = /\\(?:[pPkux](?:\{[^}]*\}|<[^>]*>)|.)|\[(?:\\.|[^\]\\])*\]|\(\?(?:[:=!]|<[=!]|<[^>]+>|[a-z-]*:)|[\s\S]/uy;
const QUANTIFIER = /(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/y;

/** Takes a valid pattern apart. */
function parse(source: string): Alternatives {
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
        ?.push({ text: '(', inner: group, ...countsOf(take(QUANTIFIER)) });
    } else group.at(-1)?.push({ text, inner: null, ...countsOf(take(QUANTIFIER)) });
  }
  return open[0] as Item[][];
}

function countsOf(quantifier: RegExpExecArray | null): { least: number; most: number } {
  if (quantifier === null) return { least: 1, most: 1 };
  const [, mark, least, comma, most] = quantifier;
  if (mark !== undefined) return { least: mark === '+' ? 1 : 0, most: mark === '?' ? 1 : Infinity };
  return { least: Number(least), most: comma === '' ? Number(least) : most === '' ? Infinity : Number(most) };
}
