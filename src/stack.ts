/**
 * The product on one page: the layers that every call passes, outermost first, and why each stands where it stands.
 * Adding a behaviour is `core/x`, `layers/x`, a section of the configuration, and one line here.
 */

import type { Exchange } from './core/exchange.ts';
import type { Outcome } from './core/outcome.ts';
import type { EndpointPolicy } from './core/policy.ts';
import { compose, type Service } from './core/service.ts';
import type { StackStatus } from './core/status.ts';
import type { GateState } from './core/store.ts';
import { DeadTally } from './core/supersede.ts';
import { WaitingRoom } from './core/waiting-room.ts';
import { type AttemptParts, attempt } from './layers/attempt.ts';
import { type BreakerLayer, type BreakerParts, createBreaker } from './layers/breaker.ts';
import { type BulkheadParts, bulkhead } from './layers/bulkhead.ts';
import { type DeadLetterParts, deadLetter } from './layers/dead-letter.ts';
import { type DeadlineParts, deadline } from './layers/deadline.ts';
import { type HandOverParts, handOver } from './layers/hand-over.ts';
import { createIdempotency, type Idempotency, type IdempotencyParts } from './layers/idempotency.ts';
import { createPacing, type PacingParts } from './layers/pacing.ts';
import { type ReconcileParts, reconcile } from './layers/reconcile.ts';
import { type ResourceOrderParts, resourceOrder } from './layers/resource-order.ts';
import { type RetryParts, retry } from './layers/retry.ts';
import { createShed, type ShedParts } from './layers/shed.ts';
import { type StampParts, stamp } from './layers/stamp.ts';

/** What the layers are made of; each takes its own share. The waiting room is made here, one for all. */
export type StackParts = Omit<
  ShedParts &
    IdempotencyParts &
    StampParts &
    HandOverParts &
    DeadlineParts &
    Omit<DeadLetterParts, 'dead'> &
    Omit<ReconcileParts, 'clockSkew'> &
    ResourceOrderParts &
    RetryParts &
    BreakerParts &
    BulkheadParts &
    PacingParts &
    AttemptParts,
  'waiting'
>;

/** The stack, and what others may ask of it. */
export interface Stack extends StackStatus {
  readonly service: Service;
  /** The next call will be shed: no need to read its body. */
  readonly full: () => boolean;
  /** The way in for runs that no client waits for: behind what admits and recognises callers, at the deadline. */
  readonly enter: Service;
  /** Takes up the pauses and breakers that an earlier process kept; before the first call. */
  readonly restore: (gates: readonly GateState[], policies: readonly EndpointPolicy[]) => void;
  /** Takes a breaker in hand; `endpoint` is the name of a rule, or `host`. */
  readonly holdBreaker: BreakerLayer['hold'];
  /** Before the first call: what an earlier process left open. */
  readonly restoreOperations: Idempotency['restore'];
  /** What is known of the dead letters without asking the store; refreshed from there. */
  readonly dead: DeadTally;
  /** Runs an operation of an earlier process where calls like it find it; null when one of them runs it already. */
  readonly resume: (exchange: Exchange) => Promise<Outcome> | null;
}

/** Builds the stack of live calls. */
export function buildStack(given: StackParts): Stack {
  const waiting = new WaitingRoom(() => given.limits().waiting);
  const dead = new DeadTally();
  const parts = { ...given, waiting };
  const shed = createShed(parts);
  const idempotency = createIdempotency(parts);
  const breaker = createBreaker(parts);
  const pacing = createPacing(parts);
  const admission = [
    // Outermost: what cannot be served is refused before anything is stored or buffered for it.
    shed.layer,
    // Outside the deadline: the record of a call is written also when the time of its caller is over.
    idempotency.layer,
    // Inside the ledger, which compares what callers sent; outside every attempt, so that all of them send the same.
    stamp(parts),
    // Inside the ledger, whose row it makes a promise of; outside the deadline, which bounds the try that comes first.
    handOver(parts),
  ];
  const running = [
    // Outside retry: the total time includes every retry and every wait.
    deadline(parts),
    // Inside the deadline, which may answer before the end; outside all that tries again: it sees final outcomes only.
    deadLetter({ ...parts, dead }),
    // Outside retry, which executes what is safe; inside the deadline, behind which it goes on looking.
    reconcile({ ...parts, clockSkew: pacing.clockSkew }),
    // Outside retry, whose backoff is when a newer write would overtake; inside the deadline, to see a write's true end.
    resourceOrder(parts),
    // Around everything that one attempt meets: looks at each verdict and sends again what may be sent again.
    retry(parts),
    // Inside retry, so that every attempt counts, and outside what waits for room or quota: an open circuit needs neither.
    breaker.layer,
    // Outside pacing: a slot of the quota is taken last, it cannot be saved for later.
    bulkhead(parts),
    // Directly around the attempt: every call on the wire has its slot, and every answer tells about the quota.
    pacing.layer,
  ];
  // Innermost: one try on the wire, classified once; everybody above reads that verdict.
  const run = compose(running, attempt(parts));
  const enter = shed.counting(run);
  return {
    service: compose(admission, run),
    enter,
    restore: (gates, policies) => {
      pacing.restore(gates);
      breaker.restore(gates, policies);
    },
    full: shed.full,
    inFlight: shed.inFlight,
    waiting: () => waiting.taken,
    breakers: breaker.status,
    quotas: pacing.quotas,
    clockSkew: pacing.clockSkew,
    dead,
    holdBreaker: breaker.hold,
    restoreOperations: idempotency.restore,
    resume: (exchange) => idempotency.resume(exchange, enter),
  };
}
