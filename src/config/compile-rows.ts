/**
 * Makes the endpoint policies: the shipped rows, the rows of the file laid over them, and what holds for requests that
 * no row names. Precedence, weakest first: shipped defaults, the file's defaults, shipped row, profile, the file's row
 * for `*`, the file's row for the method.
 */

import { createMatcher, namesOf, parseTemplate, pathShapeOf, shapeOf, type Template } from '../core/match.ts';
import { nearest } from '../core/nearest.ts';
import type { AnswerPromise, EndpointPolicy, ErrorRule, ReconcileEntry } from '../core/policy.ts';
import type { EndpointMatch } from '../core/settings.ts';
import type { OperationClass } from '../core/verdict.ts';
import { type Report, repeatsBlindly } from './compile-errors.ts';
import { breakerFaults, type CompiledSections, compileSections, ms, optional } from './compile-policy.ts';
import { compileRecipe, exampleTarget, type WrittenRecipe } from './compile-recipes.ts';
import { createCondition, createExpression } from './conditions.ts';
import { type Filled, overlay } from './overlay.ts';
import { SHIPPED_PROFILES } from './profiles.ts';
import type { PolicySections } from './schema.ts';
import { policySections } from './schema-policy.ts';
import type { EndpointRow } from './schema-rows.ts';

/** A row whose template and error entries are compiled. */
export interface ReadRow {
  readonly row: Omit<EndpointRow, 'errors' | 'reconcile'>;
  readonly template: Template;
  readonly rules: readonly ErrorRule[];
  readonly recipes: readonly WrittenRecipe[];
  /** Where it stands: `config/intercom.yaml:220`. */
  readonly origin: string;
  /** For a row of the file: takes faults, with paths inside the row. */
  readonly report: RowReport | null;
}

/** Reports a fault or a warning of a row. */
export type RowReport = (
  severity: 'error' | 'warning',
  ...args: [...Parameters<Report>, nearestName?: string | null]
) => void;

/** What rows are compiled from. */
export interface RowParts {
  readonly mode: EndpointPolicy['mode'];
  readonly defaults: Filled<PolicySections>;
  readonly profile: string;
  readonly profiles: Readonly<Record<string, PolicySections>>;
  readonly shipped: readonly ReadRow[];
  readonly own: readonly ReadRow[];
  readonly generic: readonly ErrorRule[];
  readonly stampsEvents: boolean;
}

/** All policies, and how a request finds its own. */
export interface CompiledRows {
  readonly policies: readonly EndpointPolicy[];
  readonly match: (method: string, path: string) => EndpointMatch;
}

type ByMethod = (method: string) => EndpointPolicy;

/** Compiles the rows. Faults go to the rows' own reports. */
export function compileRows(parts: RowParts): CompiledRows {
  const compiler = new RowCompiler(parts);
  const own = new Map(parts.own.map((row) => [shapeOf(row.template), row]));
  const rules: [Template, ByMethod][] = [];
  const policies: EndpointPolicy[] = [];
  const add = (template: Template, rows: readonly (ReadRow | undefined)[]): void => {
    const stack = stackOf(rows);
    if (template.method !== '*' || stack.some(({ row }) => row.class)) {
      const given = stack.reduce((found, { row }) => row.class ?? found, classOf(template.method));
      const policy = compiler.policy(template, stack, given);
      policies.push(policy);
      rules.push([template, () => policy]);
      return;
    }
    const byClass = classes((operationClass) => compiler.policy(template, stack, operationClass));
    policies.push(...Object.values(byClass));
    rules.push([template, (method) => byClass[classOf(method)]]);
  };
  for (const shipped of parts.shipped) {
    const shape = shapeOf(shipped.template);
    const exact = own.get(shape);
    const star = own.get(`* ${pathShapeOf(shipped.template)}`);
    own.delete(shape);
    add(shipped.template, [shipped, star, exact]);
  }
  for (const row of own.values()) {
    const star = row.template.method === '*' ? undefined : own.get(`* ${pathShapeOf(row.template)}`);
    add(row.template, [star, row]);
  }
  const other = classes((operationClass) => compiler.other(operationClass));
  policies.push(...Object.values(other));
  const matcher = createMatcher(rules);
  const match: CompiledRows['match'] = (method, path) => {
    const found = matcher(method, path);
    if (found === null) return { policy: other[classOf(method)], params: {} };
    return { policy: found.value(method), params: found.params };
  };
  for (const row of parts.own) checkLooks(row, match);
  return { policies, match };
}

/** A look must change nothing. */
function checkLooks({ recipes, template, report }: ReadRow, match: CompiledRows['match']): void {
  for (const [n, written] of recipes.entries()) {
    const { request } = compileRecipe(written, n, { template, report: null }, template, false);
    const [path = ''] = exampleTarget(request).split('?');
    const { policy } = match(request.method, path);
    if (policy.operationClass === 'read') continue;
    const what = `${request.method} ${path} is no read: its class is ${policy.operationClass}`;
    report?.('error', ['reconcile', n, 'request'], what, 'GET, or an operation of class read');
  }
}

const DEFAULT_ID: readonly string[] = ['id'];

/** The sections that a row sets. */
function sectionsOf(row: ReadRow['row']): PolicySections {
  const names = (Object.keys(policySections) as (keyof PolicySections)[]).filter((name) => row[name]);
  return Object.fromEntries(names.map((name) => [name, row[name] === 'never' ? KEEP_NOTHING : row[name]]));
}

/** `dead_letter: never`. */
const KEEP_NOTHING = { on: [] };

/** Weakest first; a row that replaces stands on nothing. */
function stackOf(rows: readonly (ReadRow | undefined)[]): ReadRow[] {
  const present = rows.filter((row) => row !== undefined);
  const from = present.findLastIndex(({ row }) => row.replace === true);
  return from === -1 ? present : present.slice(from);
}

/** What is known of a request by its method alone (RFC 9110 §9.2). */
function classOf(method: string): OperationClass {
  if (method === 'GET' || method === 'HEAD') return 'read';
  return method === 'PUT' || method === 'DELETE' ? 'idempotent' : 'create';
}

function classes<T>(make: (operationClass: OperationClass) => T): Record<OperationClass, T> {
  return { read: make('read'), idempotent: make('idempotent'), create: make('create') };
}

class RowCompiler {
  readonly #parts: RowParts;
  readonly #profiles: Readonly<Record<string, PolicySections>>;
  readonly #plain = new Map<string, CompiledSections>();

  constructor(parts: RowParts) {
    this.#parts = parts;
    this.#profiles = overlay(SHIPPED_PROFILES, parts.profiles);
  }

  other(operationClass: OperationClass): EndpointPolicy {
    return {
      name: 'other',
      known: false,
      origin: 'no row',
      operationClass,
      idempotentIf: null,
      guardedBy: null,
      guardedForMs: null,
      naturalKey: null,
      reconcile: [],
      answerId: DEFAULT_ID,
      stamp: null,
      profile: this.#parts.profile,
      mode: this.#parts.mode,
      ...this.#sections(this.#parts.profile, []),
      errors: this.#parts.generic,
      answer: { kind: 'any' },
      whole: 'ends',
    };
  }

  policy(template: Template, stack: readonly ReadRow[], operationClass: OperationClass): EndpointPolicy {
    const rows = stack.map(({ row }) => row);
    const last = <K extends keyof EndpointRow>(name: Exclude<K, 'errors' | 'reconcile'>) =>
      rows.reduce<NonNullable<EndpointRow[K]> | null>((found, row) => row[name] ?? found, null);
    const profile = last('profile') ?? this.#parts.profile;
    const strongest = stack.toReversed();
    const own = strongest.flatMap(({ rules }) => rules);
    const policy: EndpointPolicy = {
      name: template.text,
      known: true,
      origin: strongest.map((each) => each.origin).join(', '),
      operationClass,
      idempotentIf: optional(last('idempotent_if'), createCondition),
      guardedBy: optional(last('guarded_by'), createCondition),
      guardedForMs: optional(last('guarded_for'), ms),
      naturalKey: optional(last('natural_key'), createExpression),
      reconcile: operationClass === 'create' ? this.#recipes(stack, template) : [],
      answerId: last('answer_id')?.split('.') ?? DEFAULT_ID,
      stamp: this.#parts.stampsEvents ? last('stamp') : null,
      profile,
      mode: this.#parts.mode,
      ...this.#sections(profile, stack),
      errors: own.length === 0 ? this.#parts.generic : [...own, ...this.#parts.generic],
      answer: this.#answer(stack, template),
      // A create that is cut and looks whole would be told as done to a client that cannot read it, and repeated by it.
      whole: last('whole') ?? (operationClass === 'create' ? 'parse' : 'ends'),
    };
    for (const row of stack) this.#inspect(row, policy);
    return policy;
  }

  #recipes(stack: readonly ReadRow[], template: Template): readonly ReconcileEntry[] {
    const empty = stack.findLast(({ row }) => row.answer)?.row.answer === 'empty';
    return stack
      .toReversed()
      .flatMap((giver) => giver.recipes.map((written, n) => compileRecipe(written, n, giver, template, empty)));
  }

  /** A shipped row is weaker than the profile, a row of the file stronger. */
  #sections(profile: string, stack: readonly ReadRow[]): CompiledSections {
    const parts = stack.map(({ row }) => sectionsOf(row));
    const plain = parts.every((part) => Object.keys(part).length === 0);
    const known = plain ? this.#plain.get(profile) : undefined;
    if (known !== undefined) return known;
    const shipped = stack[0]?.report === null;
    const [below, above] = shipped ? [parts.slice(0, 1), parts.slice(1)] : [[], parts];
    const { [profile]: chosen } = this.#profiles;
    const filled = overlay<PolicySections>(this.#parts.defaults, ...below, chosen, ...above);
    const compiled = compileSections(filled as Filled<PolicySections>);
    if (plain) this.#plain.set(profile, compiled);
    return compiled;
  }

  /** A row may call the names of the path otherwise than the row below it: by position they are the same. */
  #answer(stack: readonly ReadRow[], template: Template): AnswerPromise {
    const giver = stack.findLast(({ row }) => row.answer);
    const answer = giver?.row.answer;
    if (giver === undefined || !answer) return { kind: 'any' };
    if (typeof answer === 'string') return { kind: answer };
    const names = namesOf(template);
    const given = namesOf(giver.template);
    const filled: Record<string, string | number | boolean> = {};
    for (const [field, value] of Object.entries(answer)) {
      filled[field] =
        typeof value !== 'string'
          ? value
          : value.replaceAll(/\{([a-z][a-z0-9_]*)\}/g, (whole, name: string) => {
              const position = given.indexOf(name);
              if (position !== -1) return `{${names[position]}}`;
              giver.report?.(
                'error',
                ['answer', field],
                'names no part of the path',
                given.map((each) => `{${each}}`).join(', '),
                nearest(name, given),
              );
              return whole;
            });
    }
    return { kind: 'template', template: filled };
  }

  #inspect({ row, template, rules, recipes, report }: ReadRow, policy: EndpointPolicy): void {
    if (report === null) return;
    if (policy.operationClass !== 'create' && template.method !== '*' && recipes.length > 0)
      report(
        'error',
        ['reconcile'],
        `is for creates: the class of the row is ${policy.operationClass}`,
        'class: create',
      );
    if (row.profile && !Object.hasOwn(this.#profiles, row.profile)) {
      const names = Object.keys(this.#profiles);
      report('error', ['profile'], 'no such profile', names.join(', '), nearest(row.profile, names));
    }
    if (row.breaker) {
      for (const [key, message, allowed] of breakerFaults(row.breaker, policy.breaker))
        report('error', ['breaker', key], message, allowed);
    }
    const knows = policy.idempotentIf !== null || policy.guardedBy !== null;
    if (policy.operationClass === 'create' && !knows) {
      for (const [i, rule] of rules.entries())
        if (repeatsBlindly(rule)) report('error', ['errors', i, 'verdict'], BLIND, SEEING);
    }
    if (policy.operationClass !== 'create' && template.method !== '*') {
      for (const name of ['idempotent_if', 'guarded_by'] as const) {
        if (row[name])
          report('warning', [name], `has no effect: the class of the row is ${policy.operationClass}`, null);
      }
    }
    if (row.guarded_for && policy.guardedBy === null && template.method !== '*')
      report('warning', ['guarded_for'], 'has no effect without guarded_by', null);
  }
}

const BLIND =
  'asks for a repeat of a create that may have taken effect (408, 500, 502, 504 and broken connections prove nothing)';
const SEEING =
  'statuses that prove that nothing was done (4xx, 429, 503), or idempotent_if or guarded_by on the row, or verdict permanent';

/** The template of a row that was checked before. */
export function checkedTemplate(match: string): Template {
  const template = parseTemplate(match);
  if (typeof template === 'string') throw new TypeError(`${match}: ${template}`);
  return template;
}
