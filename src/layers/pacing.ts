/**
 * Pacing: a call goes when its token's window has a slot, in order of urgency and arrival, and not before a shared pause
 * ends (semantics §4). The machines are in `core/`; here they meet the clock, the headers and the waiting calls. A call
 * whose wait would pass its deadline or `pacing.max_wait` is refused at once, with the time at which it had had a chance.
 * Inside the breaker, so that no slot is spent on an open circuit, and around `attempt`, so that every retry is counted.
 */

import { type Exchange, noteWait } from '../core/exchange.ts';
import { keptPause, type Moment, restoredPause } from '../core/kept-gates.ts';
import type { Outcome, Refused } from '../core/outcome.ts';
import { passAt, pauseEnd } from '../core/pause.ts';
import { earliestAt, foreignSpend, freeSlots, type PacingPolicy, type Slot } from '../core/quota.ts';
import type { SlotResult } from '../core/quota-answers.ts';
import type { Layer, Service } from '../core/service.ts';
import type { ClockDifference, QuotaStatus } from '../core/status.ts';
import type { GateState } from '../core/store.ts';
import { refusedVerdict } from '../core/verdict.ts';
import { CONTINUATION } from '../core/waiting-line.ts';
import { roomFull, type WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';
import { AnswerReading, LOST } from './pacing-answers.ts';
import { type Gate, Gates, type Urgency } from './pacing-gate.ts';
import { BEFORE_DEADLINE_MS } from './wait.ts';

/** What the layer is made of. */
export interface PacingParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Pick<Events, 'waitedForSlot' | 'paused' | 'wouldHave'>;
  readonly waiting: WaitingRoom;
  /** Keeps a pause beyond the process; told with each change of one. */
  readonly keep: (gate: GateState) => void;
}

/** The layer, and what it knows. */
export interface Pacing {
  readonly layer: Layer;
  readonly quotas: () => QuotaStatus[];
  readonly clockSkew: () => ClockDifference | null;
  /** Takes up what an earlier process kept. */
  readonly restore: (gates: readonly GateState[]) => void;
}

const URGENT_UP_TO = 2;
const SCROLL = 'GET /companies/scroll';

/** Paces calls by the quota of their token. */
export function createPacing(parts: PacingParts): Pacing {
  const pacer = new Pacer(parts);
  return {
    layer: (inner) => (exchange) => pacer.run(inner, exchange),
    quotas: () => pacer.quotas(),
    clockSkew: () => pacer.clockSkew(),
    restore: (gates) => pacer.restore(gates),
  };
}

/** A call's places: its gates, and how it stands in them. */
interface Standing extends Urgency {
  readonly token: Gate;
  /** Null while its endpoint is not paused. */
  readonly endpoint: Gate | null;
  readonly policy: PacingPolicy;
}

class Pacer {
  readonly #parts: PacingParts;
  readonly #tokens: Gates;
  /** By token and endpoint; only those that were paused. */
  readonly #endpoints: Gates;
  readonly #reading: AnswerReading;

  constructor(parts: PacingParts) {
    this.#parts = parts;
    this.#reading = new AnswerReading(parts.clock);
    this.#tokens = new Gates(parts.clock, true);
    this.#endpoints = new Gates(parts.clock, false);
  }

  /** Not async: a frame for each of ten thousand waiting calls would be most of what they cost. */
  run(inner: Service, exchange: Exchange): Promise<Outcome> {
    const policy = exchange.policy.pacing;
    if (!policy.enabled) return inner(exchange);
    const urgency = isContinuation(exchange) ? CONTINUATION : exchange.priority;
    const standing: Standing = {
      token: this.#tokens.getOrCreate(exchange.credentialRef),
      endpoint: this.#endpointGateOf(exchange),
      urgency,
      urgent: urgency <= URGENT_UP_TO,
      reserve: policy.reserve,
      policy,
    };
    const enforced = exchange.policy.mode === 'enforce';
    const passage = enforced ? passAtOnce(standing) : this.#observe(exchange, standing);
    if (passage !== null) return this.#carry(inner, exchange, standing, passage);
    return this.#wait(exchange, standing).then((passed) =>
      'kind' in passed ? passed : this.#carry(inner, exchange, standing, passed),
    );
  }

  async #carry(inner: Service, exchange: Exchange, standing: Standing, passage: Passage): Promise<Outcome> {
    let outcome: Outcome | null = null;
    try {
      outcome = await inner(exchange);
      return outcome;
    } finally {
      this.#settle(exchange, standing, passage, outcome);
    }
  }

  #observe(exchange: Exchange, { token, endpoint, urgent, reserve }: Standing): Passage {
    const slot = token.tryPass(urgent, reserve);
    const nowMs = this.#parts.clock.now();
    const paused = endpoint !== null && passAt(endpoint.pause, nowMs) > nowMs;
    if (slot === null || paused) this.#parts.events.wouldHave(exchange, 'pacing', 'wait for a slot');
    return { slot: slot ?? token.take(urgent), endpointSlot: endpoint?.take(urgent) ?? null };
  }

  async #wait(exchange: Exchange, standing: Standing): Promise<Passage | Refused> {
    const { clock, events, waiting } = this.#parts;
    const { token, endpoint, policy } = standing;
    const startedAtMs = clock.now();
    const lastMs = Math.min(exchange.deadlineAtMs - BEFORE_DEADLINE_MS, startedAtMs + policy.maxWaitMs);
    const earliestMs = this.#earliest(standing);
    if (earliestMs > lastMs) return tooLong(earliestMs - startedAtMs);
    if (!waiting.enter(exchange)) return roomFull('pacing');
    try {
      let endpointSlot: Slot | null = null;
      if (endpoint !== null) {
        endpointSlot = await endpoint.slot(exchange, standing, lastMs);
        if (endpointSlot === null) return this.#notLetGo(exchange, standing);
      }
      const slot = await token.slot(exchange, standing, lastMs);
      if (slot === null) {
        if (endpointSlot !== null) endpoint?.settle(endpointSlot, { kind: 'unsent' });
        return this.#notLetGo(exchange, standing);
      }
      return { slot, endpointSlot };
    } finally {
      waiting.leave();
      const waitedMs = clock.now() - startedAtMs;
      noteWait(exchange, waitedMs, 'pacing');
      events.waitedForSlot(exchange, waitedMs);
    }
  }

  #notLetGo(exchange: Exchange, standing: Standing): Refused {
    if (exchange.cancel.reason === 'shutdown') return STOPPING;
    return tooLong(this.#earliest(standing) - this.#parts.clock.now());
  }

  #earliest({ token, endpoint, urgency }: Standing): number {
    const nowMs = this.#parts.clock.now();
    const pausedMs = Math.max(passAt(token.pause, nowMs), endpoint === null ? nowMs : passAt(endpoint.pause, nowMs));
    return earliestAt(token.quota, token.line.ahead(urgency), pausedMs, nowMs);
  }

  #settle(exchange: Exchange, standing: Standing, passage: Passage, outcome: Outcome | null): void {
    const { clock, random, events } = this.#parts;
    const { token } = standing;
    const result = outcome === null ? LOST : this.#reading.resultOf(outcome, passage.slot, random());
    const pause = token.settle(passage.slot, result);
    if (pause !== null) {
      this.#keep(exchange.credentialRef, pause.untilMs);
      events.paused(exchange.credentialRef, passAt(pause, clock.now()) - clock.now(), null);
    }
    const pausesEndpoint = outcome?.verdict.pauses === 'endpoint';
    if (passage.endpointSlot !== null) {
      const end: SlotResult = result.kind === 'answered' && !pausesEndpoint ? { kind: 'answered', rate: null } : LOST;
      standing.endpoint?.settle(passage.endpointSlot, end);
    }
    if (outcome !== null && pausesEndpoint) this.#pauseEndpoint(exchange, outcome);
  }

  #pauseEndpoint(exchange: Exchange, outcome: Outcome): void {
    const { clock, random, events } = this.#parts;
    const key = endpointKey(exchange);
    const asked = { retryAfterMs: outcome.verdict.retryAfterMs, resetAtMs: null };
    const nowMs = clock.now();
    const untilMs = pauseEnd(asked, random(), nowMs);
    const pause = this.#endpoints.getOrCreate(key).extend(untilMs);
    if (pause !== null) this.#keep(key, pause.untilMs);
    events.paused(exchange.credentialRef, untilMs - nowMs, exchange.policy.name);
  }

  #keep(name: string, untilMs: number): void {
    this.#parts.keep(keptPause(name, untilMs, this.#moment()));
  }

  /** A pause that has ended meanwhile still wants a probe first. */
  restore(gates: readonly GateState[]): void {
    const at = this.#moment();
    for (const { kind, name, value } of gates) {
      const untilMs = kind === 'pause' ? restoredPause(value, at) : null;
      if (untilMs === null) continue;
      const gate = (isEndpointKey(name) ? this.#endpoints : this.#tokens).getOrCreate(name);
      if (untilMs > at.nowMs) gate.extend(untilMs);
      else gate.doubt();
    }
  }

  #moment(): Moment {
    return { nowMs: this.#parts.clock.now(), wallMs: this.#parts.clock.wall() };
  }

  /** Null while its endpoint is not paused, which is nearly always. */
  #endpointGateOf(exchange: Exchange): Gate | null {
    return this.#endpoints.size === 0 ? null : this.#endpoints.getBusy(endpointKey(exchange));
  }

  clockSkew(): ClockDifference | null {
    return this.#reading.clockSkew();
  }

  /** Those first that hold calls back, then those whose window is open. */
  quotas(): QuotaStatus[] {
    const nowMs = this.#parts.clock.now();
    const paused = this.#pausedEndpoints(nowMs);
    this.#endpoints.forgetQuiet();
    this.#tokens.forgetQuiet();
    const statuses = [...this.#tokens.entries()].map(
      ([token, { quota, pause, line }]): QuotaStatus => ({
        token,
        limit: quota.kind === 'learned' ? quota.limit : null,
        remaining: quota.kind === 'learned' ? freeSlots(quota) : null,
        resetSeconds: quota.kind === 'learned' ? Math.max(0, quota.endsAtMs - nowMs) / 1000 : null,
        foreign: foreignSpend(quota),
        pausedSeconds: pause.kind === 'paused' ? Math.max(0, pause.untilMs - nowMs) / 1000 : 0,
        pausedEndpoints: paused.get(token) ?? {},
        waiting: line.length,
      }),
    );
    return statuses.sort(
      (a, b) => b.waiting - a.waiting || b.pausedSeconds - a.pausedSeconds || windowOf(b) - windowOf(a),
    );
  }

  #pausedEndpoints(nowMs: number): Map<string, Record<string, number>> {
    const byToken = new Map<string, Record<string, number>>();
    for (const [key, { pause }] of this.#endpoints.entries()) {
      if (pause.kind !== 'paused' || pause.untilMs <= nowMs) continue;
      const at = key.indexOf(' ');
      const token = key.slice(0, at);
      byToken.set(token, { ...byToken.get(token), [key.slice(at + 1)]: (pause.untilMs - nowMs) / 1000 });
    }
    return byToken;
  }
}

function windowOf(status: QuotaStatus): number {
  return status.resetSeconds ?? 0;
}

/** A call that may go, and what it gives back when it has ended. */
interface Passage {
  readonly slot: Slot;
  readonly endpointSlot: Slot | null;
}

function passAtOnce({ token, endpoint, urgent, reserve }: Standing): Passage | null {
  const slot = endpoint === null ? token.tryPass(urgent, reserve) : null;
  return slot === null ? null : { slot, endpointSlot: null };
}

/** Intercom drops a scroll that stands still for a minute. */
function isContinuation(exchange: Exchange): boolean {
  return exchange.policy.name === SCROLL && exchange.target.includes('scroll_param=');
}

function endpointKey(exchange: Exchange): string {
  return `${exchange.credentialRef} ${exchange.policy.name}`;
}

/** The name of a credential has no space. */
function isEndpointKey(name: string): boolean {
  return name.includes(' ');
}

const STOPPING: Refused = {
  kind: 'refused',
  by: 'pacing',
  code: 'holdfast_overloaded',
  message: 'Holdfast is stopping; nothing was sent. Send it again.',
  retryAfterMs: 1000,
  verdict: refusedVerdict('interrupted', 1000),
};

function tooLong(ms: number): Refused {
  const retryAfterMs = Math.max(1, ms);
  const message =
    'The quota of this token leaves no slot in time for this call; nothing was sent. Send it again later.';
  const verdict = refusedVerdict('quota_wait', retryAfterMs);
  return { kind: 'refused', by: 'pacing', code: 'holdfast_quota_wait', message, retryAfterMs, verdict };
}
