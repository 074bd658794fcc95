/**
 * The circuit breaker as a layer (semantics §5): asks the breakers of the endpoint and of the host before each attempt and
 * tells them how it ended. Inside retry, so that every attempt counts and a retry meets the circuit like anybody else;
 * outside pacing, so that no slot is spent on an open circuit. `when_open: fail` refuses; `wait` joins the line, and a
 * call that was the probe and failed goes back to its place as long as sending it again is safe: that costs it no retry.
 */

import { type BreakerPolicy, type BreakerResult, HOST } from '../core/breaker.ts';
import { type Exchange, noteWait } from '../core/exchange.ts';
import { type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import type { EndpointPolicy } from '../core/policy.ts';
import type { Layer, Service } from '../core/service.ts';
import type { BreakerStatus } from '../core/status.ts';
import type { GateState } from '../core/store.ts';
import { refusedVerdict } from '../core/verdict.ts';
import { roomFull, type WaitingRoom } from '../core/waiting-room.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';
import { type CircuitParts, Circuits, type Policies } from './breaker-circuits.ts';
import { BreakerLine, type Released } from './breaker-line.ts';
import { BEFORE_DEADLINE_MS } from './wait.ts';

/** What the layer is made of. */
export interface BreakerParts extends CircuitParts {
  readonly random: Random;
  /** Of the host: fed by connection-level failures only. Read per call, a reload may change it. */
  readonly hostPolicy: () => BreakerPolicy;
  readonly events: Pick<Events, 'breakerChanged' | 'wouldHave'>;
  readonly waiting: WaitingRoom;
}

/** The layer, its state, and its handle. */
export interface BreakerLayer {
  readonly layer: Layer;
  readonly status: () => BreakerStatus[];
  /** Manual override; `endpoint` is a rule's name or `host`. */
  readonly hold: (endpoint: string, order: 'open' | 'close' | 'auto') => void;
  /** Takes up what an earlier process kept, of the endpoints that have a policy here and of the host. */
  readonly restore: (gates: readonly GateState[], policies: readonly EndpointPolicy[]) => void;
}

const HELD_RETRY_AFTER_MS = 30_000;

/** Stops calls to what is down, and lets probes find out when it is up again. */
export function createBreaker(parts: BreakerParts): BreakerLayer {
  const circuits = new Circuits(parts);
  const line = new BreakerLine(parts.clock, circuits);
  const run = async (inner: Service, exchange: Exchange): Promise<Outcome> => {
    const policies = policiesOf(parts, exchange);
    const lastMs =
      policies.endpoint.whenOpen === 'wait' ? lastMomentOf(exchange, policies.endpoint, parts.clock.now()) : 0;
    for (;;) {
      const entered = enter(parts, circuits, line, exchange, policies, lastMs);
      const released = entered instanceof Promise ? await entered : entered;
      if ('kind' in released) return released;
      let outcome: Outcome;
      let results = NEUTRAL;
      try {
        outcome = await inner(exchange);
        results = resultsOf(exchange, outcome, parts.random());
      } finally {
        circuits.settle(exchange.policy.name, released.ticket, results, policies);
        line.ended(released.probe, signOf(results), policies.endpoint.openForMs);
      }
      if (released.probe === null || !goesBack(exchange, outcome)) return outcome;
      exchange.failedProbes += 1;
      streamOf(outcome)?.discard();
    }
  };
  return {
    layer: (inner) => (exchange) => run(inner, exchange),
    status: () => circuits.status(),
    hold: (endpoint, order) => {
      circuits.hold(endpoint, order);
      line.pump();
    },
    restore: (gates, policies) => {
      const byName = new Map(policies.map(({ name, breaker }) => [name, breaker]));
      circuits.restore(gates, (name) => (name === HOST ? parts.hostPolicy() : (byName.get(name) ?? null)));
    },
  };
}

/** The host's open time neither grows nor exceeds the endpoint's for those who wait. */
function policiesOf(parts: BreakerParts, exchange: Exchange): Policies {
  const endpoint = exchange.policy.breaker;
  const host = parts.hostPolicy();
  if (endpoint.whenOpen === 'fail') return { endpoint, host };
  const openForMs = Math.min(host.openForMs, endpoint.openForMs);
  return { endpoint, host: { ...host, whenOpen: 'wait', openForMs } };
}

/** Until when a call may wait here, failed probes of its own included. */
function lastMomentOf(exchange: Exchange, policy: BreakerPolicy, nowMs: number): number {
  return Math.min(exchange.deadlineAtMs - BEFORE_DEADLINE_MS, nowMs + (policy.maxWaitMs ?? Infinity));
}

function enter(
  parts: BreakerParts,
  circuits: Circuits,
  line: BreakerLine,
  exchange: Exchange,
  policies: Policies,
  lastMs: number,
): Released | Refused | Promise<Released | Refused> {
  const { name, mode } = exchange.policy;
  const waits = policies.endpoint.whenOpen === 'wait';
  if (mode === 'observe' || !waits || circuits.dueAt(name, policies) === 'closed') {
    const ticket = circuits.admit(name, policies);
    if (typeof ticket !== 'number') return { ticket, probe: null };
    if (mode === 'observe') {
      parts.events.wouldHave(exchange, 'breaker', waits ? 'wait at the open breaker' : 'refuse at the open breaker');
      return { ticket: circuits.pass(name, policies), probe: null };
    }
    return refusal(ticket - parts.clock.now(), circuits.isHostInTheWay(name, policies));
  }
  return joinLine(parts, circuits, line, exchange, policies, lastMs);
}

async function joinLine(
  parts: BreakerParts,
  circuits: Circuits,
  line: BreakerLine,
  exchange: Exchange,
  policies: Policies,
  lastMs: number,
): Promise<Released | Refused> {
  const { clock, waiting } = parts;
  const startedAtMs = clock.now();
  if (!waiting.enter(exchange)) return roomFull('breaker');
  const released = await line.wait(exchange, policies, lastMs);
  waiting.leave();
  noteWait(exchange, clock.now() - startedAtMs, 'breaker');
  if (released !== null) return released;
  const dueAtMs = circuits.dueAt(exchange.policy.name, policies);
  const host = circuits.isHostInTheWay(exchange.policy.name, policies);
  return refusal(dueAtMs === 'closed' ? 0 : dueAtMs - clock.now(), host);
}

interface Results {
  readonly endpoint: BreakerResult;
  readonly host: BreakerResult;
}

const SUCCESS: BreakerResult = { kind: 'success' };
const NOTHING: BreakerResult = { kind: 'neutral' };
const NEUTRAL: Results = { endpoint: NOTHING, host: NOTHING };
const WELL: Results = { endpoint: SUCCESS, host: SUCCESS };

/** What an attempt proves. Refused by ourselves or given up by the client, it proves nothing. */
function resultsOf(exchange: Exchange, outcome: Outcome, jitter: number): Results {
  if (outcome.kind === 'refused') return NEUTRAL;
  if (outcome.kind === 'failed' && exchange.cancel.aborted) return NEUTRAL;
  const { verdict } = outcome;
  if (outcome.kind === 'answered' && verdict.class === 'ok' && !verdict.countsAgainstBreaker) return WELL;
  const failure: BreakerResult = { kind: 'failure', retryAfterMs: verdict.retryAfterMs, jitter };
  const host = outcome.kind === 'answered' ? SUCCESS : isUnreachable(outcome.failure) ? failure : NOTHING;
  if (verdict.countsAgainstBreaker) return { endpoint: failure, host };
  const says = verdict.class !== 'throttled' && verdict.class !== 'transient';
  return { endpoint: says ? SUCCESS : NOTHING, host };
}

function isUnreachable(failure: string): boolean {
  return failure === 'connect' || failure === 'dns' || failure === 'tls';
}

function signOf({ endpoint, host }: Results): 'success' | 'failure' | 'nothing' {
  if (endpoint.kind === 'failure' || host.kind === 'failure') return 'failure';
  return endpoint.kind === 'success' ? 'success' : 'nothing';
}

/** A probe that failed and may safely be sent again waits on instead of failing its caller. */
function goesBack(exchange: Exchange, outcome: Outcome): boolean {
  if (outcome.kind === 'refused' || exchange.cancel.aborted) return false;
  const { body } = exchange;
  if (body.kind === 'stream' && body.opened) return false;
  return outcome.verdict.countsAgainstBreaker && outcome.verdict.repeatable;
}

const ENDPOINT_OPEN = { reason: 'breaker_open', says: 'The upstream fails on this endpoint' };
const HOST_OPEN = { reason: 'breaker_open_host', says: 'The upstream cannot be reached' };

function refusal(againInMs: number, host: boolean): Refused {
  const retryAfterMs = againInMs === Infinity ? HELD_RETRY_AFTER_MS : Math.max(1, againInMs);
  const { reason, says } = host ? HOST_OPEN : ENDPOINT_OPEN;
  return {
    kind: 'refused',
    by: 'breaker',
    code: 'holdfast_breaker_open',
    message: `${says}, so nothing was sent. Send it again after Retry-After.`,
    retryAfterMs,
    verdict: refusedVerdict(reason, retryAfterMs),
  };
}
