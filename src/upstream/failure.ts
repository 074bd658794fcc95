import type { FailureKind } from '../core/outcome.ts';
import type { WireFailure } from '../core/wire.ts';

/** How far a call got. `interim`: a 1xx came, hence the request arrived; `head`: the real head came. */
export type Phase = 'waiting' | 'started' | 'interim' | 'head' | 'ended';

const TLS =
  /^ERR_TLS_|^ERR_SSL_|^EPROTO$|CERT|SIGNATURE|^CRL_|^INVALID_(?:CA|PURPOSE)$|^PATH_LENGTH|^HOSTNAME_MISMATCH$/;

/**
 * Says what a call failed of, by the phase that it had reached and never by the error code alone: ECONNRESET comes with
 * and without bytes written (semantics §2). The code only tells the three kinds of never having been sent apart.
 */
export function failureOf(error: Error, phase: Phase): WireFailure {
  const detail = describe(error);
  if (phase === 'waiting') return { kind: connectKind(error), sent: 'no', fault: 'upstream', detail };
  if (phase === 'started') return { kind: 'reset', sent: 'maybe', fault: 'upstream', detail };
  return { kind: phase === 'interim' ? 'reset' : 'truncated', sent: 'yes', fault: 'upstream', detail };
}

function connectKind(error: Error): FailureKind {
  const code = codeOf(error);
  if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return 'dns';
  return TLS.test(code) || code.startsWith('UNABLE_TO_') ? 'tls' : 'connect';
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** One line; an AggregateError of several addresses names each. */
function describe(error: Error): string {
  const message = error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message;
  const code = codeOf(error);
  return code === '' || message.includes(code) ? message : `${code}: ${message}`;
}
