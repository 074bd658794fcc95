/**
 * What a request does when it is sent twice: the endpoint's class, unless `idempotent_if` says better of this very body.
 * Evaluated once per exchange, and only when somebody needs it: it parses the body and runs JSONata.
 */

import type { Exchange, RequestBody } from '../core/exchange.ts';
import type { OperationClass } from '../core/verdict.ts';

/** The class of this very request; kept on the exchange. */
export async function operationClassOf(exchange: Exchange): Promise<OperationClass> {
  const { policy, body } = exchange;
  exchange.operationClass ??=
    policy.idempotentIf !== null && (await policy.idempotentIf.holds(jsonOf(body)))
      ? 'idempotent'
      : policy.operationClass;
  return exchange.operationClass;
}

/** The body as JSON; null when it is none, or streams. */
export function jsonOf(body: RequestBody): unknown {
  if (body.kind !== 'bytes') return null;
  try {
    return JSON.parse(body.bytes.toString());
  } catch {
    return null;
  }
}
