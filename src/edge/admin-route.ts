/**
 * One call of the admin API: what serves it and what describes it, in one value, so that the OpenAPI document cannot say
 * anything else than the server does. Input is checked against the very schemas that the document shows.
 */

import type { Context, Hono } from 'hono';
import { z } from 'zod';
import type { HoldfastCode } from '../core/outcome.ts';
import { StoreUnavailable } from '../core/store.ts';

/** What a handler is given; `query` and `body` have passed their schemas. */
export interface RouteCall<Q = Record<string, unknown>, B = unknown> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  readonly body: B;
}

/** What a handler gives back; JSON. */
export interface RouteAnswer {
  readonly status: 200 | 201 | 202 | 422;
  readonly body: unknown;
}

/** One call. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `/api/dead-letters/{id}`. */
  readonly path: string;
  /** What it does, one sentence. */
  readonly does: string;
  /** An object of strings; values given several times are lists. Null: the query is not looked at. */
  readonly query: z.ZodObject | null;
  /** Null: a body is not looked at. */
  readonly body: z.ZodType | null;
  /** Success and what it carries. */
  readonly answers: { readonly status: 200 | 201 | 202; readonly says: string };
  /** Another success, when there is one. */
  readonly alsoAnswers?: { readonly status: 200; readonly says: string };
  /** The errors that it has beside 401, 403, 500 and 503. */
  readonly errors: readonly (400 | 404 | 409 | 422)[];
  readonly handle: (call: RouteCall<never, never>) => Promise<RouteAnswer> | RouteAnswer;
}

/** Makes a route whose handler knows the types of its query and body. */
export function route<Q extends z.ZodObject | null, B extends z.ZodType | null>(
  given: Omit<AdminRoute, 'query' | 'body' | 'handle'> & {
    readonly query: Q;
    readonly body: B;
    readonly handle: (
      call: RouteCall<
        Q extends z.ZodType ? z.infer<Q> : Record<string, never>,
        B extends z.ZodType ? z.infer<B> : null
      >,
    ) => Promise<RouteAnswer> | RouteAnswer;
  },
): AdminRoute {
  return given;
}

/** A call cannot be done, and why, for the client. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal';
  readonly status: 400 | 404 | 409 | 422 | 503;
  readonly code: HoldfastCode;

  constructor(status: 400 | 404 | 409 | 422 | 503, message: string) {
    super(message);
    this.status = status;
    this.code =
      status === 404 ? 'holdfast_not_found' : status === 503 ? 'holdfast_store_unavailable' : 'holdfast_bad_request';
  }
}

/** Bodies of the admin API are small, but for the text of an edited request. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** Registers the calls; refusals are thrown as `ApiRefusal`, for `onError`. */
export function mountRoutes(app: Hono, routes: readonly AdminRoute[]): void {
  for (const each of routes) {
    app.on(each.method, each.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (c) => {
      const call = { params: c.req.param(), query: queryOf(each, c), body: await bodyOf(each, c) };
      try {
        const { status, body } = await each.handle(call as RouteCall<never, never>);
        return c.json(body as object, status);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        throw new ApiRefusal(503, `The ledger is unavailable: ${error.message}`);
      }
    });
  }
}

function queryOf({ query, path }: AdminRoute, c: Context): unknown {
  if (query === null) return {};
  const given = Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
  return checked(query, given, `query of ${path}`);
}

async function bodyOf({ body, path }: AdminRoute, c: Context): Promise<unknown> {
  if (body === null) return null;
  const text = await textOf(c);
  let given: unknown;
  try {
    given = text === '' ? {} : JSON.parse(text);
  } catch {
    throw new ApiRefusal(400, `The body is no JSON; ${path} takes an object (GET /api/openapi.json).`);
  }
  return checked(body, given, `body of ${path}`);
}

/** Counted as it comes: a body may have no length in front of it. Throws `ApiRefusal`. */
async function textOf(c: Context): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new ApiRefusal(422, 'The body is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Throws `ApiRefusal` with every fault: where, what is allowed. */
export function checked<T extends z.ZodType>(schema: T, given: unknown, what: string): z.infer<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 10).map(({ path, message }) => `${path.join('.') || 'all'}: ${message}`);
  throw new ApiRefusal(400, `The ${what} is not what it takes. ${faults.join('; ')}.`);
}

/** As it stands in documents. */
export function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest;
}
