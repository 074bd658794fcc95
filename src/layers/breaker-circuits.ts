/**
 * The breakers of one upstream: one per endpoint rule and one for the host, admitted and settled together. A call needs
 * both; neither changes state for a call that the other refuses. Transitions are told and kept here, in one place.
 */

import {
  admitted,
  type Breaker,
  type BreakerPolicy,
  type BreakerResult,
  countsOf,
  ended,
  HOST,
  held,
  newBreaker,
} from '../core/breaker.ts';
import { keptBreaker, type Moment, restoredBreaker } from '../core/kept-gates.ts';
import type { BreakerStatus } from '../core/status.ts';
import type { GateState } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

/** What the breakers are made of. */
export interface CircuitParts {
  readonly clock: Clock;
  readonly events: Pick<Events, 'breakerChanged'>;
  /** Keeps a breaker beyond the process; told when one opens, closes, or is taken in hand. */
  readonly keep: (gate: GateState) => void;
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

/** All breakers of an upstream. */
export class Circuits {
  readonly #parts: CircuitParts;
  readonly #breakers = new Map<string, Breaker>();
  readonly #policies = new Map<string, BreakerPolicy>();

  constructor(parts: CircuitParts) {
    this.#parts = parts;
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

  /** Whether it is the host's breaker, of the two, that holds a call back the longest. */
  isHostInTheWay(endpoint: string, policies: Policies): boolean {
    const nowMs = this.#parts.clock.now();
    const host = probeTimeOf(this.#get(HOST, policies.host), nowMs);
    if (host === 'closed') return false;
    const own = probeTimeOf(this.#get(endpoint, policies.endpoint), nowMs);
    return own === 'closed' || host >= own;
  }

  /** Takes a breaker in hand; every name is taken, the caller knows the endpoints. */
  hold(endpoint: string, order: 'open' | 'close' | 'auto'): void {
    this.#set(endpoint, held(this.#breakers.get(endpoint) ?? newBreaker(), order));
  }

  /** Takes up what an earlier process kept; `policyOf` is null for a name that no rule has any more. */
  restore(gates: readonly GateState[], policyOf: (endpoint: string) => BreakerPolicy | null): void {
    for (const { kind, name, value } of gates) {
      const policy = kind === 'breaker' && !this.#breakers.has(name) ? policyOf(name) : null;
      const breaker = policy && restoredBreaker(value, policy, this.#moment());
      if (policy === null || breaker === null) continue;
      this.#policies.set(name, policy);
      this.#breakers.set(name, breaker);
    }
  }

  status(): BreakerStatus[] {
    const nowMs = this.#parts.clock.now();
    return [...this.#breakers].map(([endpoint, breaker]) => {
      const policy = this.#policies.get(endpoint);
      const counts = policy === undefined ? { requests: 0, failures: 0 } : countsOf(breaker, policy, nowMs);
      const probeInSeconds = breaker.kind === 'open' ? Math.max(0, breaker.untilMs - nowMs) / 1000 : 0;
      return { endpoint, kind: breaker.kind, probeInSeconds, ...counts };
    });
  }

  /** The policy of the last call is that of status. */
  #get(endpoint: string, policy: BreakerPolicy): Breaker {
    if (this.#policies.get(endpoint) !== policy) this.#policies.set(endpoint, policy);
    return this.#breakers.get(endpoint) ?? newBreaker();
  }

  #set(endpoint: string, breaker: Breaker): void {
    const before = this.#breakers.get(endpoint);
    if (before === breaker) return;
    this.#breakers.set(endpoint, breaker);
    if (breaker.epoch !== (before?.epoch ?? 0)) {
      const kept = keptBreaker(endpoint, breaker, this.#moment());
      if (kept !== null) this.#parts.keep(kept);
    }
    const from = before?.kind ?? 'closed';
    if (from !== breaker.kind) this.#parts.events.breakerChanged(endpoint, from, breaker.kind);
  }

  #moment(): Moment {
    return { nowMs: this.#parts.clock.now(), wallMs: this.#parts.clock.wall() };
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
