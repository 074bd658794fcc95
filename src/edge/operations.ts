/**
 * The operations of a caller (contract, "Data plane"): what became of a call, its answer, and its cancellation. Only the
 * credential that made a call sees it; to everybody else its address does not exist. By hand and not by hono, because an
 * upstream's answer goes out with its fields in their order, byte for byte.
 */

import type { Operation } from '../core/operation.ts';
import { askAgainS, isOver, viewOf } from '../core/operation-view.ts';
import { StoreUnavailable } from '../core/store.ts';
import { sleep } from '../ops/clock.ts';
import { holdfastHeader } from './holdfast-header.ts';
import {
  ALREADY_SENT,
  NO_ANSWER,
  NO_OPERATION,
  NOT_DONE,
  OPERATIONS_METHOD,
  STORE_GONE,
  TOO_LARGE_TO_KEEP,
} from './operations-refusal.ts';
import type { Plane, ReservedCall } from './plane.ts';
import { parsePrefer } from './prefer.ts';
import type { Refusal } from './refusal.ts';
import { respondRefusal } from './respond.ts';

/** `/.holdfast/operations/{id}` and what lies below it. */
const PATH = /^\/\.holdfast\/operations\/([A-Za-z0-9_-]{1,64})(\/response)?$/;
/** How long a poll is held open at most, ms; proxies on the way give up after a minute. */
const POLL_MS_MAX = 55_000;
/** Between looks at the ledger: quick at first, since most calls are, ms. */
const POLL_FIRST_MS = 50;
const POLL_LONGEST_MS = 1000;

/** Serves one request below `/.holdfast/operations`. */
export async function serveOperation(plane: Plane, call: ReservedCall): Promise<void> {
  const { method = '', url = '' } = call.request;
  const match = PATH.exec(url.split('?', 1)[0] ?? '');
  const id = match?.[1];
  if (id === undefined) return refuse(plane, call, NO_OPERATION);
  const isResponse = match?.[2] !== undefined;
  if (method !== 'GET' && method !== 'HEAD' && (method !== 'DELETE' || isResponse)) {
    return refuse(plane, call, OPERATIONS_METHOD);
  }
  try {
    const found = await own(plane, call, id);
    if (found === null) return refuse(plane, call, NO_OPERATION);
    if (method === 'DELETE') return await cancel(plane, call, found);
    const operation = await afterWait(plane, call, found);
    if (isResponse) answer(plane, call, operation);
    else show(plane, call, 200, operation);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    refuse(plane, call, STORE_GONE);
  }
}

/** The operation, when it is the caller's own. */
async function own(plane: Plane, { request }: ReservedCall, id: string): Promise<Operation | null> {
  const { upstream } = plane.settings();
  const given = upstream.credentials.kind === 'passthrough' ? 'authorization' : 'holdfast-authorization';
  const value = request.headers[given];
  const { scope } = plane.credentialRefs.of(typeof value === 'string' ? value : null);
  const operation = await plane.store.get(id);
  return operation?.scope === scope ? operation : null;
}

/** `Prefer: wait=N`: until nothing more happens to it, or the time is up. */
async function afterWait(plane: Plane, call: ReservedCall, found: Operation): Promise<Operation> {
  const { clock, store } = plane;
  const { prefer } = call.request.headers;
  const { waitMs } = parsePrefer(Array.isArray(prefer) ? prefer.join() : (prefer ?? ''));
  const lastMs = clock.now() + Math.min(waitMs ?? 0, POLL_MS_MAX);
  let operation = found;
  for (let pauseMs = POLL_FIRST_MS; !isOver(operation); pauseMs = Math.min(pauseMs * 2, POLL_LONGEST_MS)) {
    const leftMs = lastMs - clock.now();
    if (leftMs <= 0 || (await sleep(clock, Math.min(pauseMs, leftMs), call.signal)) === 'aborted') break;
    operation = (await store.get(found.id)) ?? operation;
  }
  return operation;
}

/** Only what waits and has done nothing can be taken back: whether a sent call took effect is not ours to undo. */
async function cancel(plane: Plane, call: ReservedCall, operation: Operation): Promise<void> {
  const { clock, store } = plane;
  if (operation.state === 'discarded') return show(plane, call, 200, operation);
  if (!operation.handedOver || operation.state !== 'waiting' || operation.effect !== 'none') {
    return refuse(plane, call, ALREADY_SENT);
  }
  const updatedAtMs = clock.wall();
  const expiresAtMs = updatedAtMs + CANCELLED_KEPT_MS;
  const change = {
    state: 'discarded',
    updatedAtMs,
    reason: 'cancelled',
    dueAtMs: null,
    keyHash: null,
    expiresAtMs,
  } as const;
  const done = await store.change(operation.id, change, ['waiting']);
  if (done) show(plane, call, 200, { ...operation, ...change });
  else refuse(plane, call, ALREADY_SENT);
}

const CANCELLED_KEPT_MS = 86_400_000;

function show(plane: Plane, call: ReservedCall, status: number, operation: Operation): void {
  const bytes = Buffer.from(JSON.stringify(viewOf(operation)));
  const headers = [
    'Content-Type',
    'application/json; charset=utf-8',
    'Content-Length',
    String(bytes.length),
    'Cache-Control',
    'no-store',
  ];
  if (!isOver(operation)) headers.push('Retry-After', String(askAgainS(operation.dueAtMs, plane.clock.wall())));
  write(plane, call, status, headers, bytes, operation);
}

/** The upstream's answer as it came, errors included: it is the last word on this call. */
function answer(plane: Plane, call: ReservedCall, operation: Operation): void {
  if (!isOver(operation)) {
    const retryAfterS = askAgainS(operation.dueAtMs, plane.clock.wall());
    return refuse(plane, call, { ...NOT_DONE, retryAfterS });
  }
  const { answer: kept } = operation;
  if (kept === null) return refuse(plane, call, NO_ANSWER);
  if (kept.body === null) return refuse(plane, call, TOO_LARGE_TO_KEEP);
  write(plane, call, kept.status, [...kept.headers], kept.body, operation);
}

function write(
  plane: Plane,
  { request, response }: ReservedCall,
  status: number,
  headers: string[],
  bytes: Buffer,
  operation: Operation,
): void {
  const { state, effect, reason, id, attempts } = operation;
  headers.push('Holdfast', holdfastHeader(factsOf({ state, effect, reason, id, attempts })), 'Via', `1.1 ${plane.via}`);
  response.writeHead(status, headers);
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

function factsOf({
  state,
  effect,
  reason,
  id,
  attempts,
}: Pick<Operation, 'state' | 'effect' | 'reason' | 'id' | 'attempts'>) {
  return {
    from: 'replay',
    attempts: attempts.length,
    verdict: state === 'succeeded' ? 'ok' : (attempts.at(-1)?.verdict ?? 'transient'),
    effect,
    reason: state === 'succeeded' ? 'ok' : reason,
    waitedMs: 0,
    withheld: null,
    operation: id,
  } as const;
}

function refuse(plane: Plane, { request, response }: ReservedCall, refusal: Refusal): void {
  const accept = request.headers.accept ?? null;
  const { status, headers, body } = respondRefusal(refusal, null, plane.newId(), accept, plane.via);
  response.writeHead(status, headers);
  response.end(request.method !== 'HEAD' && body.kind === 'bytes' ? body.bytes : undefined);
}
