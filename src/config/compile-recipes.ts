/** Compiles the `reconcile` entries of a row, and says what is wrong with them. */

import { namesOf, type Template } from '../core/match.ts';
import { nearest } from '../core/nearest.ts';
import type { ErrorCondition, LookRequest, ProbeRecipe, ReconcileEntry, RequestPart } from '../core/policy.ts';
import { DIRECT_LOOKS_MS, SEARCH_LOOKS_MS } from '../core/reconcile.ts';
import { compileCondition } from './compile-errors.ts';
import { ms } from './compile-policy.ts';
import type { RowReport } from './compile-rows.ts';
import { checkCondition, createExpression } from './conditions.ts';
import type { RecipeEntry } from './schema-rows.ts';

/** An entry as it was written, and where. */
export interface WrittenRecipe {
  readonly entry: RecipeEntry;
  readonly origin: string;
}

/** The row that gave an entry: its own names of the path, and where its faults go (null for a shipped row). */
export interface Giver {
  readonly template: Template;
  readonly report: RowReport | null;
}

/** Compiles an entry for a rule. A row may call the names of the path otherwise: by position they are the same. */
export function compileRecipe(
  { entry, origin }: WrittenRecipe,
  n: number,
  giver: Giver,
  template: Template,
  answersNothing: boolean,
): ReconcileEntry {
  const at = ['reconcile', n];
  const report = (path: readonly PropertyKey[], message: string, allowed: string | null): void =>
    giver.report?.('error', [...at, ...path], message, allowed);
  const when = entry.on_error
    ? compileCondition(entry.on_error, (path, message, allowed) => report(['on_error', ...path], message, allowed))
    : null;
  const renamed = renaming(giver.template, template);
  const groups = when === null ? [] : groupsOf(when);
  const nameOf: NameOf = (name) => {
    const own = renamed.get(name);
    if (own !== undefined || groups.includes(name)) return own ?? name;
    const known = [...renamed.keys(), ...groups];
    giver.report?.(
      'error',
      [...at, 'request'],
      `names {${name}}, which neither the path nor a group of on_error gives`,
      known.map((each) => `{${each}}`).join(', ') || null,
      nearest(name, known),
    );
    return name;
  };
  const base = {
    request: compileRequest(entry.request, nameOf),
    landed: optional(entry.landed, createExpression),
    as: optional(entry.as, createExpression),
    more: optional(entry.more, createExpression),
    holdsFor: optional(entry.if, (source) => createExpression(`$boolean(${source})`)),
    full: optional(entry.full, (source) => compileRequest(source, nameOf)),
    anyAge: entry.any_age ?? false,
    status: entry.status ?? (answersNothing ? 202 : 200),
    origin,
  };
  if (when !== null) return { kind: 'on_error', when, ...base };
  return { kind: entry.probe ?? 'direct', ...base, ...looksOf(entry) };
}

function looksOf({
  probe,
  after,
  resend_if_absent: resend,
}: RecipeEntry): Pick<ProbeRecipe, 'looksAtMs' | 'resendIfAbsent'> {
  const usual = probe === 'search' ? SEARCH_LOOKS_MS : DIRECT_LOOKS_MS;
  return {
    looksAtMs: after ? [ms(after)] : usual,
    resendIfAbsent: typeof resend === 'string' ? ms(resend) : (resend ?? false),
  };
}

/** The names of the giver's path, with what the rule calls them. */
function renaming(giver: Template, template: Template): ReadonlyMap<string, string> {
  const names = namesOf(template);
  return new Map(namesOf(giver).map((name, i) => [name, names[i] ?? name]));
}

function groupsOf({ message, body }: ErrorCondition): string[] {
  return [message, body].flatMap((pattern) =>
    pattern === null ? [] : [...pattern.source.matchAll(/\(\?<([A-Za-z_]\w*)>/g)].map((found) => found[1] as string),
  );
}

type NameOf = (name: string) => string;

function compileRequest(request: RecipeEntry['request'], nameOf: NameOf): LookRequest {
  const { method, target, body } = partsOf(request);
  return {
    method,
    target: splitTarget(target).map((part) => compilePart(part, nameOf)),
    body: body === null ? null : createExpression(body),
  };
}

/** Method, target and body as written. */
function partsOf(request: RecipeEntry['request']): { method: string; target: string; body: string | null } {
  if (typeof request !== 'string') return { method: request.method, target: request.path, body: request.body ?? null };
  const space = request.indexOf(' ');
  return { method: request.slice(0, space), target: request.slice(space + 1), body: null };
}

const HOLE = /\{([^{}]*)\}/;

/** Text, and what stands in braces, by turns. */
function splitTarget(target: string): { hole: boolean; text: string }[] {
  return target.split(HOLE).map((text, i) => ({ hole: i % 2 === 1, text }));
}

function compilePart({ hole, text }: { hole: boolean; text: string }, nameOf: NameOf): RequestPart {
  if (!hole) return { kind: 'text', text };
  if (text.startsWith('$')) return { kind: 'expression', expression: createExpression(text) };
  return { kind: 'name', name: nameOf(text) };
}

/** A request line that looks like what will be sent: any value stands for each hole. */
export function exampleTarget({ target }: LookRequest): string {
  return target.map((part) => (part.kind === 'text' ? part.text : 'x')).join('');
}

/** Checks the expressions of entries of the file. */
export async function checkRecipes(entries: readonly RecipeEntry[], report: RowReport): Promise<void> {
  for (const [n, entry] of entries.entries()) {
    const { body, target, method } = partsOf(entry.request);
    const full = entry.full ? partsOf(entry.full).target : '';
    const sources: [PropertyKey[], string | null | undefined][] = [
      [['if'], entry.if],
      [['landed'], entry.landed],
      [['as'], entry.as],
      [['more'], entry.more],
      [typeof entry.request === 'string' ? ['request'] : ['request', 'body'], body],
      ...splitTarget(target)
        .filter(({ hole, text }) => hole && text.startsWith('$'))
        .map(({ text }): [PropertyKey[], string] => [['request'], text]),
      ...splitTarget(full)
        .filter(({ hole, text }) => hole && text.startsWith('$'))
        .map(({ text }): [PropertyKey[], string] => [['full'], text]),
    ];
    for (const [path, source] of sources) {
      const wrong = source ? await checkCondition(source) : null;
      if (wrong !== null) report('error', ['reconcile', n, ...path], wrong, null);
    }
    if (method !== 'GET' && method !== 'POST')
      report('error', ['reconcile', n, 'request'], 'must read', 'GET, or POST of an operation that reads');
    const unclosed = /[{}]/.test(target.replaceAll(/\{[^{}]*\}/g, ''));
    if (unclosed) report('error', ['reconcile', n, 'request'], 'has a brace without its other half', '{name}');
  }
}

function optional<T>(source: string | null | undefined, compile: (source: string) => T): T | null {
  return source ? compile(source) : null;
}
