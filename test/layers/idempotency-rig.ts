import { ByteBudget } from '../../src/core/byte-budget.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Answered, Outcome, Refused } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { Service } from '../../src/core/service.ts';
import { OK, refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { deadline } from '../../src/layers/deadline.ts';
import { createIdempotency } from '../../src/layers/idempotency.ts';
import { failed, noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, type HeldCall, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

export const STORED_ANSWER_BYTES = 1000;
export const OTHER_SCOPE = 'ffeeddccbbaa99887766554433221100';

const limits = {
  inFlight: 1000,
  waiting: 1000,
  perEndpoint: null,
  requestBodyBytes: 1e6,
  bufferedBytes: 1e6,
  repeatableBodyBytes: 1e6,
  errorBodyBytes: 1000,
  storedAnswerBytes: STORED_ANSWER_BYTES,
};

/** Builds the layer in front of the deadline layer and a wire that the test drives by hand. */
export function idempotencyRig(store = new MemoryStore(), clock = new VirtualClock(), ids = 'op-') {
  const recorded = recordedEvents();
  const wire = new HandDriven();
  const waiting = new WaitingRoom(() => 1000);
  const buffered = new ByteBudget(1e6);
  let made = 0;
  const parts = { clock, events: recorded.events, waiting, buffered, limits: () => limits, store };
  const idempotency = createIdempotency({
    ...parts,
    newId: () => `${ids}${++made}`,
    namesKey: NAMES_KEY,
    passthrough: () => true,
    random: () => 0,
  });
  /** What `attempt` does for the ledger: nothing goes out before it is recorded. */
  const send: Service = async (x) => {
    try {
      await x.beforeSend?.();
    } catch {
      return refused('attempt', {
        code: 'holdfast_store_unavailable',
        verdict: refusedVerdict('store_unavailable', 1000),
      });
    }
    return wire.service(x);
  };
  const inner = deadline(parts)(send);
  const service = idempotency.layer(inner);
  return { ...recorded, clock, store, wire, waiting, buffered, idempotency, inner, service };
}

export type Rig = ReturnType<typeof idempotencyRig>;

/** A create; `text` is its body. */
export function create(
  overrides: Partial<Exchange> & { text?: string; rules?: Partial<EndpointPolicy> } = {},
): Exchange {
  const { text = '{"email":"a@example.com"}', rules = {}, ...rest } = overrides;
  return exchange({ policy: policy(rules), body: { kind: 'bytes', bytes: Buffer.from(text) }, ...rest });
}

export const keyed = (idempotencyKey: string, overrides: Parameters<typeof create>[0] = {}): Exchange =>
  create({ idempotencyKey, ...overrides });

/** The upstream answers a call on the wire. */
export function answer({ exchange: x, answer: reply }: HeldCall, outcome: Outcome): void {
  reply(noteAttempt(x, outcome));
}

export const created = (id = '42', overrides: Partial<Answered> = {}): Answered =>
  answered(200, {
    headers: ['Content-Type', 'application/json', 'X-RateLimit-Remaining', '99'],
    body: { kind: 'bytes', bytes: Buffer.from(JSON.stringify({ type: 'contact', id })) },
    ...overrides,
  });

/** The upstream says no: without effect. */
export const rejected = (status: number): Answered =>
  answered(status, {
    verdict: { ...OK, class: 'permanent', reason: `status_${status}`, effect: 'none', repeatable: true },
  });

/** The answer is lost, and nobody knows what became of it. */
export const lost = (): Outcome => failed('reset', { verdict: transient({ effect: 'unknown', repeatable: false }) });

/** What `reconcile` says when a look found nothing. */
export const stillUnknown = (): Refused =>
  refused('reconcile', {
    code: 'holdfast_outcome_unknown',
    retryAfterMs: null,
    verdict: transient({ reason: 'outcome_unknown', effect: 'unknown' }),
  });

/** The answer has gone out whole, or its client has not got all of it. */
export const deliver = (x: Exchange, complete = true): void => x.onDelivered?.(complete);

export function bodyOf(outcome: Outcome): string {
  if (outcome.kind !== 'answered' || outcome.body.kind !== 'bytes') throw new Error(`no whole answer: ${outcome.kind}`);
  return outcome.body.bytes.toString();
}
