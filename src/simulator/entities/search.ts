import { type Json, text } from '../base/route.ts';
import type { Document } from '../base/world.ts';

/** Says whether a document fits a query. */
export type Predicate = (doc: Document) => boolean;

/** A query that Intercom would refuse. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
}

/** Names of search fields that are not the path of the value in the document. */
export type Aliases = Readonly<Record<string, (doc: Document) => unknown>>;

const GROUP_FILTERS_MAX = 15;
const NESTING_MAX = 2;

/** Compiles the `query` of a search body. Throws `QueryError`. */
export function compileQuery(query: unknown, aliases: Aliases, depth = 0): Predicate {
  if (typeof query !== 'object' || query === null) throw new QueryError('query is missing or not an object');
  const { field, operator, value } = query as Json;
  if (typeof operator !== 'string') throw new QueryError('operator is missing');
  if (operator === 'AND' || operator === 'OR') {
    if (!Array.isArray(value)) throw new QueryError(`value of ${operator} must be an array`);
    if (value.length > GROUP_FILTERS_MAX) throw new QueryError(`at most ${GROUP_FILTERS_MAX} filters per group`);
    if (depth >= NESTING_MAX) throw new QueryError(`at most ${NESTING_MAX} nested groups`);
    const parts = value.map((part) => compileQuery(part, aliases, depth + 1));
    return operator === 'AND' ? (doc) => parts.every((fits) => fits(doc)) : (doc) => parts.some((fits) => fits(doc));
  }
  if (typeof field !== 'string') throw new QueryError('field is missing');
  const test = compileOperator(operator, value);
  const read = aliases[field] ?? ((doc: Document) => valueAt(doc, field));
  return (doc) => {
    const found = read(doc);
    return test(Array.isArray(found) ? found : [found]);
  };
}

/** A test over all values of a field: `!=` wants none of them equal, the others any that fits. */
type Test = (found: readonly unknown[]) => boolean;

function any(fits: (found: unknown) => boolean): Test {
  return (found) => found.some(fits);
}

function none(fits: (found: unknown) => boolean): Test {
  return (found) => !found.some(fits);
}

function compileOperator(operator: string, value: unknown): Test {
  const wanted = Array.isArray(value) ? value : [value];
  const isWanted = (found: unknown): boolean => wanted.some((one) => same(found, one));
  switch (operator) {
    case '=':
    case 'IN':
      return any(isWanted);
    case '!=':
    case 'NIN':
      return none(isWanted);
    case '>':
      return any((found) => found !== null && Number(found) > Number(value));
    case '<':
      return any((found) => found !== null && Number(found) < Number(value));
    case '~':
      return any((found) => textOf(found).includes(textOf(value)));
    case '!~':
      return none((found) => textOf(found).includes(textOf(value)));
    case '^':
      return any((found) => textOf(found).startsWith(textOf(value)));
    case '$':
      return any((found) => textOf(found).endsWith(textOf(value)));
    default:
      throw new QueryError(`'${operator}' is not a valid operator`);
  }
}

function same(found: unknown, wanted: unknown): boolean {
  if (found === wanted) return true;
  if (found === null || found === undefined || wanted === null || wanted === undefined)
    return (found ?? null) === (wanted ?? null);
  return typeof found !== 'object' && textOf(found) === textOf(wanted);
}

/** Search ignores case. */
function textOf(value: unknown): string {
  return text(value).toLowerCase();
}

function valueAt(doc: Document, path: string): unknown {
  let value: unknown = doc;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Json)[name];
  }
  return value;
}
