/**
 * Conditions over the body of a request, in JSONata. The library is loaded when the first one is checked or asked, since
 * most processes never ask one. Evaluation is bounded in time, depth and length of sequences: JSONata's awaits are
 * microtasks, and a long evaluation would hold up every timer of the process.
 */

import type { BodyCondition, Expression } from '../core/policy.ts';
import { dangerOf } from './patterns.ts';

const BOUNDS = { timeout: 50, stack: 200, sequence: 10_000 };

/** Functions that give another result every time, or evaluate text. */
const FORBIDDEN = new Set(['now', 'millis', 'random', 'shuffle', 'eval']);

interface Compiled {
  evaluate(input: unknown, bindings?: Readonly<Record<string, unknown>>): Promise<unknown>;
  ast(): unknown;
}

/** JSONata's code for one that was out of time. */
const OUT_OF_TIME = 'D1012';

let turn: Promise<unknown> = Promise.resolve();

/** One at a time: evaluations that run side by side take turns at every step, and each would count the time of all. */
function alone<T>(evaluation: () => Promise<T>): Promise<T> {
  const mine = turn.then(evaluation);
  turn = mine.catch(() => undefined);
  return mine;
}

async function compile(source: string): Promise<Compiled> {
  const { default: jsonata } = await import('jsonata');
  return jsonata(source, BOUNDS);
}

/** Checks an expression; returns what is wrong with it, or null. */
export async function checkCondition(source: string): Promise<string | null> {
  try {
    return findForbidden((await compile(source)).ast());
  } catch (error) {
    const { message, position } = error as { message?: string; position?: number };
    const where = position === undefined ? '' : ` (at character ${position})`;
    return `is not valid JSONata: ${message ?? String(error)}${where}`;
  }
}

/** Makes the condition. `source` must have passed `checkCondition`; an error while it is evaluated means false. */
export function createCondition(source: string): BodyCondition {
  const { evaluate } = createExpression(source);
  const field = loneFieldOf(source);
  return {
    source,
    holds: async (body) => {
      if (body === null || body === undefined) return false;
      return (field === null ? null : plainTruth(body, field)) ?? isTrue(await evaluate(body));
    },
  };
}

const LONE_FIELD = /^(?:\$boolean\(([A-Za-z_]\w*)\)|([A-Za-z_]\w*))$/;
const WORDS = new Set(['true', 'false', 'null', 'and', 'or', 'in', 'function']);

/** The field when a condition only asks whether it is there, as nearly all do: JSONata takes 15 µs of a call for that. */
function loneFieldOf(source: string): string | null {
  const [, called, bare] = LONE_FIELD.exec(source) ?? [];
  const field = called ?? bare ?? null;
  return field === null || WORDS.has(field) ? null : field;
}

/** What JSONata says of a field of an object that is a plain value; null for all else. */
function plainTruth(body: unknown, field: string): boolean | null {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return null;
  if (!Object.hasOwn(body, field)) return field in body ? null : false;
  const value: unknown = (body as Record<string, unknown>)[field];
  return typeof value === 'object' && value !== null ? null : Boolean(value);
}

/** Makes the expression. `source` must have passed `checkCondition`; an error while it is evaluated means undefined. */
export function createExpression(source: string): Expression {
  let compiled: Promise<Compiled> | null = null;
  const result: Expression['result'] = async (input, bindings) => {
    compiled ??= compile(source);
    const expression = await compiled;
    const evaluation = (): Promise<unknown> => expression.evaluate(input, bindings);
    try {
      return { value: await alone(evaluation) };
    } catch (error) {
      if ((error as { code?: unknown }).code !== OUT_OF_TIME) return null;
    }
    // A machine that stalls looks the same as an expression without end: the time is the wall's.
    return alone(evaluation).then(
      (value) => ({ value }),
      () => null,
    );
  };
  return { source, result, evaluate: async (input, bindings) => (await result(input, bindings))?.value };
}

/** What `$boolean` says, so that `company_id` alone asks whether it is there. */
function isTrue(result: unknown): boolean {
  if (Array.isArray(result)) return result.some(isTrue);
  if (typeof result === 'function') return false;
  if (typeof result === 'object' && result !== null) return Object.keys(result).length > 0;
  return Boolean(result);
}

function findForbidden(node: unknown): string | null {
  if (typeof node !== 'object' || node === null) return null;
  const { type, value } = node as { type?: unknown; value?: unknown };
  if (type === 'variable' && typeof value === 'string' && FORBIDDEN.has(value)) {
    return `must not use $${value}: the same request must always give the same answer`;
  }
  if (value instanceof RegExp) return dangerOf(value.source)?.message ?? null;
  for (const child of Object.values(node)) {
    const found = findForbidden(child);
    if (found !== null) return found;
  }
  return null;
}
