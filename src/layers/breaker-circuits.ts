/**
 * The breakers of one upstream: one per endpoint rule and one for the host, admitted and settled together. A call needs
 * both; neither changes state for a call that the other refuses. Transitions are told and kept here, in one place.
 */

import {
  admitted,
  type Breaker,
  type BreakerKind,
  type BreakerPolicy,
  type BreakerResult,
  countsOf,
  ended,
  held,
  type KeptBreaker,
  keptBreaker,
  newBreaker,
  restoredBreaker,
} from '../core/breaker.ts';
import type { Clock } from '../ops/clock.ts';

/** The name of the host's breaker among those of the endpoints. */
export const HOST = 'host';

/** What the breakers are made of. */
export interface CircuitParts {
  readonly clock: Clock;
  /** Breakers that outlived the process, by endpoint. */
  readonly restored: ReadonlyMap<string, KeptBreaker>;
  /** Null: nothing needs to be kept any more. */
  readonly keepBreaker: (endpoint: string, kept: KeptBreaker | null) => void;
  readonly onTransition: (endpoint: string, to: BreakerKind) => void;
}

/** The policies of one call. */
export interface Policies {
  readonly endpoint: BreakerPolicy;
  readonly host: BreakerPolicy;
}

/** An admitted call: brought back with its result. */
export interface Ticket {
  readonly endpointEpoch: number;
  readonly hostEpoch: number;
}

/** One breaker, for status and metrics. */
export interface BreakerStatus {
  readonly endpoint: string;
  readonly kind: BreakerKind;
  /** Seconds until the next probe; 0 unless open. */
  readonly opensInSeconds: number;
  readonly requests: number;
  readonly failures: number;
}

/** All breakers of an upstream. */
export class Circuits {
  readonly #parts: CircuitParts;
  readonly #breakers = new Map<string, Breaker>();
  readonly #policies = new Map<string, BreakerPolicy>();
  readonly #restored: Map<string, KeptBreaker>;

  constructor(parts: CircuitParts) {
    this.#parts = parts;
    this.#restored = new Map(parts.restored);
  }

  /** The ticket, or the time to ask again; Infinity when a hand holds it open. */
  admit(endpoint: string, policies: Policies): Ticket | number {
    const nowMs = this.#parts.clock.now();
    const host = admitted(this.#get(HOST, policies.host), policies.host, nowMs);
    const own = admitted(this.#get(endpoint, policies.endpoint), policies.endpoint, nowMs);
    if (host.admitted && own.admitted) {
      this.#set(HOST, host.breaker);
      this.#set(endpoint, own.breaker);
      return { endpointEpoch: own.epoch, hostEpoch: host.epoch };
    }
    return Math.max(host.admitted ? nowMs : host.againAtMs, own.admitted ? nowMs : own.againAtMs);
  }

  /** A ticket whatever the state (mode observe). */
  pass(endpoint: string, policies: Policies): Ticket {
    const hostEpoch = this.#get(HOST, policies.host).epoch;
    return { hostEpoch, endpointEpoch: this.#get(endpoint, policies.endpoint).epoch };
  }

  /** The results of an admitted call. */
  settle(
    endpoint: string,
    ticket: Ticket,
    results: { readonly endpoint: BreakerResult; readonly host: BreakerResult },
    policies: Policies,
  ): void {
    const nowMs = this.#parts.clock.now();
    const host = this.#get(HOST, policies.host);
    const own = this.#get(endpoint, policies.endpoint);
    this.#set(HOST, ended(host, ticket.hostEpoch, results.host, policies.host, nowMs));
    this.#set(endpoint, ended(own, ticket.endpointEpoch, results.endpoint, policies.endpoint, nowMs));
  }

  /** Whether calls of an endpoint flow freely; otherwise the time of the next probe, Infinity while one is out. */
  dueAt(endpoint: string, policies: Policies): 'closed' | number {
    const nowMs = this.#parts.clock.now();
    const host = probeTimeOf(this.#get(HOST, policies.host), nowMs);
    const own = probeTimeOf(this.#get(endpoint, policies.endpoint), nowMs);
    if (host === 'closed') return own;
    return own === 'closed' ? host : Math.max(host, own);
  }

  /** Takes a breaker in hand; every name is taken, the caller knows the endpoints. */
  hold(endpoint: string, order: 'open' | 'close' | 'auto'): void {
    const policy = this.#policies.get(endpoint);
    const kept = this.#breakers.get(endpoint);
    const breaker = kept ?? (policy === undefined ? newBreaker() : this.#get(endpoint, policy));
    this.#set(endpoint, held(breaker, order));
    this.#restored.delete(endpoint);
  }

  status(): BreakerStatus[] {
    const nowMs = this.#parts.clock.now();
    return [...this.#breakers].map(([endpoint, breaker]) => {
      const policy = this.#policies.get(endpoint);
      const counts = policy === undefined ? { requests: 0, failures: 0 } : countsOf(breaker, policy, nowMs);
      const opensInSeconds = breaker.kind === 'open' ? Math.max(0, breaker.untilMs - nowMs) / 1000 : 0;
      return { endpoint, kind: breaker.kind, opensInSeconds, ...counts };
    });
  }

  #get(endpoint: string, policy: BreakerPolicy): Breaker {
    const known = this.#breakers.get(endpoint);
    if (known !== undefined) {
      this.#policies.set(endpoint, policy);
      return known;
    }
    const { clock } = this.#parts;
    const kept = this.#restored.get(endpoint);
    const offsetMs = clock.wall() - clock.now();
    const breaker = kept === undefined ? newBreaker() : restoredBreaker(kept, policy, clock.now(), offsetMs);
    this.#breakers.set(endpoint, breaker);
    this.#policies.set(endpoint, policy);
    return breaker;
  }

  #set(endpoint: string, breaker: Breaker): void {
    const before = this.#breakers.get(endpoint);
    this.#breakers.set(endpoint, breaker);
    if (before?.epoch === breaker.epoch) return;
    const { clock, keepBreaker, onTransition } = this.#parts;
    keepBreaker(endpoint, keptBreaker(breaker, clock.now(), clock.wall() - clock.now()));
    onTransition(endpoint, breaker.kind);
  }
}

function probeTimeOf(breaker: Breaker, nowMs: number): 'closed' | number {
  switch (breaker.kind) {
    case 'closed':
    case 'held_closed':
      return 'closed';
    case 'open':
      return Math.max(breaker.untilMs, nowMs);
    case 'half_open':
      return breaker.out > 0 ? Infinity : nowMs;
    case 'held_open':
      return Infinity;
  }
}
