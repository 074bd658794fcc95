/** Holdfast's own paths on the data plane, under `/.holdfast/`: a hono application, because nothing here is hot. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { respondRefusal } from './respond.ts';

/** The raw target decides, before any router could fold it (semantics §10). */
export const RESERVED_PREFIX = '/.holdfast/';

/** Serves one request under the prefix; resolves when its answer was handed to Node. */
export type Reserved = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Builds the application. What it does not know is 404 in the shape of all our errors. */
export function createReserved(newId: () => string, via: string): Reserved {
  const app = new Hono();
  app.notFound((c) => notFound(c, newId(), via));
  return getRequestListener(app.fetch, { overrideGlobalObjects: false });
}

function notFound(c: Context, requestId: string, via: string): Response {
  const reply = respondRefusal(
    {
      kind: 'refusal',
      status: 404,
      code: 'holdfast_not_found',
      reason: 'not_found',
      message: 'There is nothing at this path; paths under /.holdfast/ belong to Holdfast and are never forwarded.',
      retryAfterS: null,
    },
    null,
    requestId,
    c.req.header('accept') ?? null,
    via,
  );
  for (let i = 0; i < reply.headers.length; i += 2)
    c.header(reply.headers[i] as string, reply.headers[i + 1] as string);
  return c.body(reply.body.kind === 'bytes' ? reply.body.bytes.toString() : '', 404);
}
