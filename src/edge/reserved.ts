/** Holdfast's own paths on the data plane, under `/.holdfast/`: a hono application, because nothing here is hot. */

import type { IncomingMessage } from 'node:http';
import { type Context, Hono } from 'hono';
import { OPERATIONS_PATH } from '../core/operation-view.ts';
import { runBatch } from './batch.ts';
import { BATCH_CODING, BATCH_KEY, BATCH_METHOD, TOO_MANY_BATCHES } from './batch-refusal.ts';
import { honoListener } from './hono-listener.ts';
import { serveOperation } from './operations.ts';
import type { Plane, Reserved, ReservedCall } from './plane.ts';
import type { Refusal } from './refusal.ts';
import { respondRefusal } from './respond.ts';

const OPERATIONS_PATH_BEGIN = `${OPERATIONS_PATH}/`;
const BATCH_PATH = '/.holdfast/batch';
/** Each keeps lines and results of its own in memory. */
const BATCHES_MAX = 16;

/** Builds the application. What it does not know is 404 in the shape of all our errors. */
export function createReserved(plane: Plane): Reserved {
  const app = new Hono();
  app.notFound((c) => notFound(c, plane));
  const listener = honoListener(app.fetch);
  let batches = 0;
  return async (call) => {
    if (call.request.url?.startsWith(OPERATIONS_PATH_BEGIN) === true) return serveOperation(plane, call);
    // Not by hono: a batch is read and answered as it flows, and streams of the web cost several times as much.
    if (call.request.url?.split('?', 1)[0] !== BATCH_PATH) return listener(call.request, call.response);
    const fault = batchFault(call.request) ?? (batches >= BATCHES_MAX ? TOO_MANY_BATCHES : null);
    if (fault !== null) return refuse(plane, call, fault);
    batches += 1;
    try {
      await runBatch({ plane, ...call });
    } finally {
      batches -= 1;
    }
  };
}

/** Why a batch is refused as a whole; null when it is not. */
function batchFault({ method, headers }: IncomingMessage): Refusal | null {
  if (method !== 'POST') return BATCH_METHOD;
  if (headers['idempotency-key'] !== undefined) return BATCH_KEY;
  const coding = headers['content-encoding'];
  return coding === undefined || coding === 'identity' ? null : BATCH_CODING;
}

function refuse(plane: Plane, { request, response }: ReservedCall, refusal: Refusal): void {
  const accept = request.headers.accept ?? null;
  const { status, headers, body } = respondRefusal(refusal, null, plane.newId(), accept, plane.via);
  response.writeHead(status, headers);
  response.end(body.kind === 'bytes' ? body.bytes : undefined);
}

function notFound(c: Context, plane: Plane): Response {
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
    plane.newId(),
    c.req.header('accept') ?? null,
    plane.via,
  );
  for (let i = 0; i < reply.headers.length; i += 2)
    c.header(reply.headers[i] as string, reply.headers[i + 1] as string);
  return c.body(reply.body.kind === 'bytes' ? reply.body.bytes.toString() : '', 404);
}
