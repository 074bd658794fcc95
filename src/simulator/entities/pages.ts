import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, text } from '../base/route.ts';
import type { Document } from '../base/world.ts';
import { type Aliases, compileQuery, QueryError } from './search.ts';

/** How a list of one entity looks. */
export interface ListShape {
  /** `list`, `conversation.list`, `ticket.list`. */
  readonly type: string;
  /** The field with the entries: `data`, `conversations`, `tickets`. */
  readonly entries: string;
  readonly perPageDefault: number;
  /** The field to sort by when the caller names none, descending. */
  readonly sortField: string;
}

const PER_PAGE_MAX = 150;

interface Cursor {
  readonly value: number;
  readonly id: string;
  readonly page: number;
}

/**
 * One page by cursor. The cursor is a position and not an offset, so that entities which are created meanwhile shift
 * nothing; Intercom's own cursors do shift (intercom.md §7, 15).
 */
export function cursorPage(
  call: Call,
  documents: Iterable<Document>,
  shape: ListShape,
  wishes: { perPage: unknown; startingAfter: unknown; sort?: unknown },
): Answer {
  const perPage = Number(wishes.perPage ?? shape.perPageDefault);
  if (!Number.isInteger(perPage) || perPage < 1 || perPage > PER_PAGE_MAX) {
    return error(call.requestId, 400, 'parameter_invalid', `per_page must be between 1 and ${PER_PAGE_MAX}`);
  }
  const cursor = decodeCursor(wishes.startingAfter);
  if (cursor === 'invalid') {
    return error(call.requestId, 400, 'client_error', 'Invalid starting_after param');
  }
  const sort = (typeof wishes.sort === 'object' && wishes.sort !== null ? wishes.sort : {}) as Json;
  const field = typeof sort['field'] === 'string' ? sort['field'] : shape.sortField;
  const sign = sort['order'] === 'ascending' ? 1 : -1;
  const position = (doc: Document): Cursor => ({ value: Number(doc[field] ?? 0), id: doc.id, page: 0 });
  const compare = (a: Cursor, b: Cursor): number =>
    sign * (a.value - b.value || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const sorted = [...documents].sort((a, b) => compare(position(a), position(b)));
  const rest = cursor === null ? sorted : sorted.filter((doc) => compare(position(doc), cursor) > 0);
  const entries = rest.slice(0, perPage);
  const last = entries.at(-1);
  const page = cursor === null ? 1 : cursor.page;
  const next =
    last === undefined || rest.length <= perPage
      ? undefined
      : { page: page + 1, starting_after: encodeCursor({ ...position(last), page: page + 1 }) };
  return json(200, {
    type: shape.type,
    [shape.entries]: entries,
    total_count: sorted.length,
    pages: {
      type: 'pages',
      next,
      page,
      per_page: perPage,
      total_pages: Math.max(1, Math.ceil(sorted.length / perPage)),
    },
  });
}

/** `POST …/search`: query, sort and pagination from the body. */
export function searchPage(call: Call, documents: Iterable<Document>, shape: ListShape, aliases: Aliases): Answer {
  try {
    const fits = compileQuery(call.body['query'], aliases);
    const pagination = (call.body['pagination'] ?? {}) as Json;
    return cursorPage(call, [...documents].filter(fits), shape, {
      perPage: pagination['per_page'],
      startingAfter: pagination['starting_after'],
      sort: call.body['sort'],
    });
  } catch (fault) {
    if (!(fault instanceof QueryError)) throw fault;
    return error(call.requestId, 400, 'parameter_invalid', fault.message);
  }
}

/** `GET …` of a cursor list: pagination from the query string. */
export function listPage(call: Call, documents: Iterable<Document>, shape: ListShape): Answer {
  return cursorPage(call, documents, shape, {
    perPage: call.query.get('per_page') ?? undefined,
    startingAfter: call.query.get('starting_after') ?? undefined,
  });
}

function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify([cursor.value, cursor.id, cursor.page])).toString('base64url');
}

function decodeCursor(cursor: unknown): Cursor | null | 'invalid' {
  if (cursor === undefined || cursor === null) return null;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text(cursor), 'base64url').toString());
    if (!Array.isArray(parsed) || parsed.length !== 3) return 'invalid';
    const [value, id, page] = parsed as [unknown, unknown, unknown];
    if (typeof value !== 'number' || typeof id !== 'string' || typeof page !== 'number') return 'invalid';
    return { value, id, page };
  } catch {
    return 'invalid';
  }
}

/** How a list that is paged by number looks. */
export interface NumberedShape {
  /** `list`, `office_hours_schedule.list`. */
  readonly type: string;
  /** Where the page is described: an object `pages`, fields beside `data`, or nowhere because all is on one page. */
  readonly paging: 'pages' | 'fields' | 'none';
  readonly perPageDefault: number;
  readonly perPageMax: number;
  /** `newest`: as documented for it, by `updated_at` or else as creation goes. `oldest`: nothing is documented. */
  readonly order: 'newest' | 'oldest';
}

/** One page by number, of entries that come oldest first. */
export function numberedPage(call: Call, entries: readonly Json[], shape: NumberedShape): Answer {
  const { type, paging, perPageDefault, perPageMax, order } = shape;
  const sorted = order === 'newest' ? entries.toReversed() : entries;
  if (paging === 'none') return json(200, { type, data: sorted });
  const perPage = Number(call.query.get('per_page') ?? perPageDefault);
  const page = Number(call.query.get('page') ?? 1);
  if (!Number.isInteger(perPage) || perPage < 1 || perPage > perPageMax || !Number.isInteger(page) || page < 1) {
    return error(call.requestId, 400, 'parameter_invalid', `per_page must be between 1 and ${perPageMax}`);
  }
  const data = sorted.slice((page - 1) * perPage, page * perPage);
  const numbers = { page, per_page: perPage, total_pages: Math.max(1, Math.ceil(sorted.length / perPage)) };
  const described = paging === 'pages' ? { pages: { type: 'pages', ...numbers } } : numbers;
  return json(200, { type, data, total_count: sorted.length, ...described });
}
