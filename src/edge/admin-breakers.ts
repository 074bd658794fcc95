/** `POST /api/breakers/{endpoint}/{order}`: a person takes a circuit breaker in hand. */

const ORDERS = ['open', 'close', 'auto'] as const;

/** `open` and `close` hold the breaker there until `auto`. */
export type BreakerOrder = (typeof ORDERS)[number];

/** The breakers, for the admin plane. `endpoint` is the name of a rule, or `host`. */
export interface BreakerControl {
  /** False when no rule has that name. */
  readonly hold: (endpoint: string, order: BreakerOrder) => boolean;
  /** What `/api/status` shows of it. */
  readonly show: (endpoint: string) => unknown;
}

/** How an order ended: the breaker as it is now, or why not, for the client. */
export type Held = { readonly ok: true; readonly breaker: unknown } | { readonly ok: false; readonly message: string };

/** Carries an order out. */
export function holdBreaker(breakers: BreakerControl, endpoint: string, order: string): Held {
  const known = ORDERS.find((each) => each === order);
  if (known === undefined) return { ok: false, message: `A breaker takes ${ORDERS.join(', ')}; not ${order}.` };
  if (breakers.hold(endpoint, known)) return { ok: true, breaker: breakers.show(endpoint) };
  const named = JSON.stringify(endpoint);
  return { ok: false, message: `No rule is called ${named}: "host", or a rule such as "POST /contacts", URL-encoded.` };
}
