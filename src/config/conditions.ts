/**
 * Conditions over the body of a request, in JSONata. The library is loaded when the first one is checked or asked, since
 * most processes never ask one. Evaluation is bounded in time, depth and length of sequences: JSONata's awaits are
 * microtasks, and a long evaluation would hold up every timer of the process.
 */

import type { BodyCondition } from '../core/policy.ts';
import { dangerOf } from './patterns.ts';

const BOUNDS = { timeout: 50, stack: 200, sequence: 10_000 };

/** Functions that give another result every time, or evaluate text. */
const FORBIDDEN = new Set(['now', 'millis', 'random', 'shuffle', 'eval']);

interface Expression {
  evaluate(input: unknown): Promise<unknown>;
  ast(): unknown;
}

async function compile(source: string): Promise<Expression> {
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
  let expression: Promise<Expression> | null = null;
  return {
    source,
    holds: async (body) => {
      if (body === null || body === undefined) return false;
      try {
        expression ??= compile(source);
        return isTrue(await (await expression).evaluate(body));
      } catch {
        return false;
      }
    },
  };
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
