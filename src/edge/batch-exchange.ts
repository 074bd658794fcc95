import type { Exchange } from '../core/exchange.ts';
import type { BatchRecord } from './batch-record.ts';
import { exchangeOf } from './exchange.ts';
import type { Plane } from './plane.ts';

/** The call that a record of a batch is; its time starts now. */
export function exchangeOfRecord(plane: Plane, { method, target, head, body }: BatchRecord): Exchange {
  const { settings, clock, credentialRefs, newId } = plane;
  const { match, upstream } = settings();
  const query = target.indexOf('?');
  const passthrough = upstream.credentials.kind === 'passthrough';
  const name = credentialRefs.of(passthrough ? head.authorization : head.clientAuthorization);
  const nowMs = clock.now();
  return exchangeOf({
    id: newId(),
    method,
    target,
    head,
    match: match(method, query === -1 ? target : target.slice(0, query)),
    body: body === null ? { kind: 'none' } : { kind: 'bytes', bytes: body },
    receivedAtMs: nowMs,
    nowMs,
    credentialRef: passthrough ? name.ref : 'own',
    scope: name.scope,
    onInformational: null,
  });
}
