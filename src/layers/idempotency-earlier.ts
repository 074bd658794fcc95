/**
 * A call that goes on with an operation of an earlier run, whose outcome is unknown. It carries what was sent then and not
 * what would be sent now (`created_at` of an event is stamped once per operation), and a doubt, so that `reconcile` looks
 * before anything is sent.
 */

import type { Exchange } from '../core/exchange.ts';
import type { Operation } from '../core/operation.ts';
import { isDeadLetter } from '../core/operation-exchange.ts';
import type { RawHeaders } from '../core/raw-headers.ts';
import type { Earlier } from './idempotency-run.ts';
import { jsonOf, operationClassOf } from './operation-class.ts';

/** The body of the earlier run, where it was kept. */
export function takeOver(exchange: Exchange, { body }: Pick<Operation, 'body'>): void {
  if (body === null || exchange.body.kind !== 'bytes' || body.equals(exchange.body.bytes)) return;
  exchange.body = { kind: 'bytes', bytes: body };
  exchange.headers = withLength(exchange.headers, body.length);
}

function withLength(headers: RawHeaders, bytes: number): RawHeaders {
  return headers.map((value, i) =>
    i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'content-length' ? String(bytes) : value,
  );
}

/**
 * What the next run under the same key starts from. One look, then the caller is told (semantics §6); but what does no
 * harm twice (idempotent, or guarded by the upstream itself) may be sent again, since nothing else would ever settle it.
 */
export async function earlierOf(
  exchange: Exchange,
  row: Pick<
    Operation,
    'createdAtMs' | 'updatedAtMs' | 'sentAtMs' | 'looks' | 'effect' | 'deadReason' | 'state' | 'reason'
  >,
): Promise<Earlier> {
  const isCreate = (await operationClassOf(exchange)) === 'create';
  const lookOnly = isCreate && !(await isGuarded(exchange));
  const { createdAtMs, updatedAtMs, sentAtMs, looks, effect } = row;
  const doubt = { looks, lookOnly, lostAtMs: updatedAtMs, applied: effect === 'applied' };
  return { createdAtMs, sentAtMs, recorded: true, doubt, isDead: isDeadLetter(row) };
}

async function isGuarded({ policy, body }: Exchange): Promise<boolean> {
  const { guardedBy, guardedForMs } = policy;
  // A guard that wears off is judged by when it was first sent, which is `reconcile`'s business; here it is none.
  return guardedBy !== null && guardedForMs === null && guardedBy.holds(jsonOf(body));
}
