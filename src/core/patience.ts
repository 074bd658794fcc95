/**
 * `when_open: wait` for one host: who of all that wait at open breakers is the next probe, and when. One probe at a time
 * and one per `open_for` while the host gives no sign of life, the oldest call first over all endpoints; the breakers
 * alone would send one each, and 30 endpoints make 40 calls a second into an outage. After the first success the limit
 * falls: each endpoint may probe for itself at once, or the last of 30 would wait for half a minute after recovery.
 * A failed probe brings the limit back.
 *
 *     calm ──probe started──▶ probing ──success──▶ recovering ──a probe failed──▶ calm
 *       ▲────────failed, nothing──────┘
 */

/** The state of one host. Times are monotonic ms. */
export type Patience =
  | { readonly kind: 'calm'; readonly nextAtMs: number }
  | { readonly kind: 'probing'; readonly probe: number; readonly startedAtMs: number }
  | { readonly kind: 'recovering' };

/** The oldest call that waits at one endpoint's open breaker. */
export interface WaitingHead<E> {
  readonly endpoint: E;
  readonly arrivedAtMs: number;
  /** When that endpoint's breaker lets a probe through; Infinity while it has one out or is held open. */
  readonly dueAtMs: number;
}

/** Nobody waits, or the first probe may go when its breaker lets it. */
export const CALM: Patience = { kind: 'calm', nextAtMs: -Infinity };

/** When the host lets the next probe through, as far as the host is concerned; Infinity while one is out. */
export function probeAt(patience: Patience, nowMs: number): number {
  switch (patience.kind) {
    case 'calm':
      return Math.max(patience.nextAtMs, nowMs);
    case 'probing':
      return Infinity;
    case 'recovering':
      return nowMs;
  }
}

/**
 * Chooses the endpoint whose oldest call is the next probe: the oldest of those whose breaker is due. Null when none may
 * go now; `againAtMs` tells when to ask again without any event, Infinity for never.
 */
export function nextProbe<E>(
  patience: Patience,
  heads: Iterable<WaitingHead<E>>,
  nowMs: number,
): { readonly endpoint: E | null; readonly againAtMs: number } {
  const hostAtMs = probeAt(patience, nowMs);
  let oldest: WaitingHead<E> | null = null;
  let soonestMs = Infinity;
  for (const head of heads) {
    soonestMs = Math.min(soonestMs, head.dueAtMs);
    if (head.dueAtMs > nowMs) continue;
    if (oldest === null || head.arrivedAtMs < oldest.arrivedAtMs) oldest = head;
  }
  if (hostAtMs <= nowMs && oldest !== null) return { endpoint: oldest.endpoint, againAtMs: nowMs };
  return { endpoint: null, againAtMs: Math.max(hostAtMs, soonestMs) };
}

/** A probe goes; `probe` is a number that its end brings back. */
export function probeStarted(patience: Patience, probe: number, nowMs: number): Patience {
  return patience.kind === 'recovering' ? patience : { kind: 'probing', probe, startedAtMs: nowMs };
}

/** A probe has ended. `nothing`: it never reached the host (cancelled, refused), so the next may go at once. */
export function probeEnded(
  patience: Patience,
  probe: number,
  result: 'success' | 'failure' | 'nothing',
  openForMs: number,
  nowMs: number,
): Patience {
  const own = patience.kind === 'probing' && patience.probe === probe;
  switch (result) {
    case 'success':
      return { kind: 'recovering' };
    case 'failure':
      if (own) return { kind: 'calm', nextAtMs: patience.startedAtMs + openForMs };
      return patience.kind === 'recovering' ? { kind: 'calm', nextAtMs: nowMs + openForMs } : patience;
    case 'nothing':
      return own ? { kind: 'calm', nextAtMs: nowMs } : patience;
  }
}
