import { type Exchange, newExchange } from '../../src/core/exchange.ts';
import type { Answered, Outcome } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { Service } from '../../src/core/service.ts';
import { OK, type Verdict } from '../../src/core/verdict.ts';

/** The policy of the defaults for a create that no map names; override any part. */
export function policy(overrides: Partial<EndpointPolicy> = {}): EndpointPolicy {
  return {
    name: 'POST /contacts',
    known: true,
    origin: 'config/intercom.yaml:1',
    operationClass: 'create',
    idempotentIf: null,
    guardedBy: null,
    guardedForMs: null,
    naturalKey: null,
    reconcile: [],
    answerId: ['id'],
    stamp: null,
    profile: 'standard',
    mode: 'enforce',
    timeout: { connectMs: 5000, attemptMs: 15_000, bodyIdleMs: 30_000, totalMs: 120_000 },
    retry: { maxRetries: 5, baseDelayMs: 1000, maxDelayMs: 30_000, jitter: 'full', maxWaitMs: 60_000 },
    retryBudget: { ratio: 0.2, windowMs: 10_000, floorPerSecond: 1 },
    breaker: {
      failureRatio: 0.5,
      minRequests: 10,
      last: 20,
      windowMs: 60_000,
      openForMs: 30_000,
      maxOpenForMs: 300_000,
      halfOpenProbes: 2,
      whenOpen: 'fail',
      maxWaitMs: null,
    },
    pacing: { enabled: true, maxWaitMs: 60_000, reserve: 0 },
    idempotency: { ttlMs: 86_400_000, waitMs: 45_000, holdMs: 600_000, require: false, derive: null },
    deadLetter: {
      on: new Set(['exhausted', 'permanent', 'unknown', 'interrupted', 'refused'] as const),
      writesOnly: true,
    },
    errors: [],
    answer: { kind: 'json' },
    whole: 'ends',
    ...overrides,
  };
}

let counter = 0;

/** An exchange as the edge would make it; override any part. */
export function exchange(overrides: Partial<Exchange> = {}): Exchange {
  const body = Buffer.from('{"email":"a@example.com"}');
  const start = {
    id: `x${++counter}`,
    policy: policy(),
    params: {},
    method: 'POST',
    target: '/contacts',
    headers: ['Content-Type', 'application/json', 'Content-Length', String(body.length)],
    body: { kind: 'bytes', bytes: body },
    receivedAtMs: 1000,
    deadlineAtMs: 121_000,
    priority: 3,
    credentialRef: 'abcd1234',
    scope: '00112233445566778899aabbccddeeff',
    idempotencyKey: null,
    context: null,
    onInformational: null,
  } as const;
  return Object.assign(newExchange(start), overrides);
}

/** A verdict; override any part. */
export function verdict(overrides: Partial<Verdict> = {}): Verdict {
  return { ...OK, ...overrides };
}

/** An answer from the upstream with a small JSON body. */
export function answered(status: number, overrides: Partial<Answered> = {}): Answered {
  return {
    kind: 'answered',
    from: 'upstream',
    status,
    headers: ['Content-Type', 'application/json'],
    body: { kind: 'bytes', bytes: Buffer.from('{}') },
    trailers: [],
    verdict: OK,
    ...overrides,
  };
}

/** One call that a hand-driven service holds until the test answers it. */
export interface HeldCall {
  readonly exchange: Exchange;
  readonly answer: (outcome: Outcome) => void;
}

/** An inner service that the test drives by hand: every call waits in `calls` until it is answered. */
export class HandDriven {
  readonly calls: HeldCall[] = [];
  readonly service: Service = (x) =>
    new Promise<Outcome>((resolve) => {
      this.calls.push({ exchange: x, answer: resolve });
    });

  /** The call that was made last. */
  get last(): HeldCall {
    const call = this.calls.at(-1);
    if (call === undefined) throw new Error('the inner service was not called');
    return call;
  }
}
