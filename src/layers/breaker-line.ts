/**
 * `when_open: wait`: the calls that wait at open breakers, one line per endpoint, and the host's patience over all of
 * them. A released call brings a ticket; one that was released as a probe also its number, so that its end tells the host.
 */

import type { Exchange } from '../core/exchange.ts';
import { CALM, nextProbe, type Patience, probeEnded, probeStarted, type WaitingHead } from '../core/patience.ts';
import { WaitingLine } from '../core/waiting-line.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import type { Circuits, Policies, Ticket } from './breaker-circuits.ts';
import { itself, type LetGo, waitInLine } from './wait.ts';

/** A call that may go. */
export interface Released {
  readonly ticket: Ticket;
  /** Null when it met a closed breaker. */
  readonly probe: number | null;
}

interface EndpointLine {
  readonly line: WaitingLine<LetGo<Released>>;
  /** Those of the call that joined last: a reload reaches the line with the next call. */
  policies: Policies;
}

const NOBODY: WaitingHead<string>[] = [];

/** Everyone who waits at the open breakers of one host. */
export class BreakerLine {
  readonly #clock: Clock;
  readonly #circuits: Circuits;
  readonly #lines = new Map<string, EndpointLine>();
  #patience: Patience = CALM;
  #probes = 0;
  #cancelTimer: CancelTimer | null = null;
  #wakeAtMs = Infinity;

  constructor(clock: Clock, circuits: Circuits) {
    this.#clock = clock;
    this.#circuits = circuits;
  }

  /** Waits, by age, until `lastMs` at most. Null when the call was cancelled or its time was up. */
  wait(exchange: Exchange, policies: Policies, lastMs: number): Promise<Released | null> {
    const { line } = this.#lineOf(exchange.policy.name, policies);
    const waited = waitInLine<Released, LetGo<Released>>(this.#clock, exchange, {
      line,
      urgency: 0,
      lastMs,
      valueOf: itself,
      onLeft: () => this.pump(),
    });
    this.pump();
    return waited;
  }

  /** A released call has ended. */
  ended(probe: number | null, result: 'success' | 'failure' | 'nothing', openForMs: number): void {
    if (probe === null && this.#lines.size === 0) return;
    if (probe !== null) this.#patience = probeEnded(this.#patience, probe, result, openForMs, this.#clock.now());
    this.pump();
  }

  /** Lets everyone go whose breakers have closed, and the next probe when it is time. */
  pump(): void {
    for (;;) {
      const heads = this.#releaseClosed();
      const { endpoint, againAtMs } = nextProbe(this.#patience, heads, this.#clock.now());
      const laterMs = endpoint === null ? againAtMs : this.#probe(endpoint);
      if (laterMs === null) continue;
      // The limit on probes returns with the next outage.
      if (this.#lines.size === 0 && this.#patience.kind === 'recovering') this.#patience = CALM;
      this.#wake(laterMs);
      return;
    }
  }

  /** Null when it went; else the time to ask again. */
  #probe(endpoint: string): number | null {
    const waiting = this.#lines.get(endpoint);
    if (waiting === undefined) return null;
    const ticket = this.#circuits.admit(endpoint, waiting.policies);
    if (typeof ticket === 'number') return ticket;
    const probe = this.#probes++;
    this.#patience = probeStarted(this.#patience, probe, this.#clock.now());
    waiting.line.pop()?.({ ticket, probe });
    return null;
  }

  /** The heads of those that still wait. */
  #releaseClosed(): WaitingHead<string>[] {
    if (this.#lines.size === 0) return NOBODY;
    const heads: WaitingHead<string>[] = [];
    for (const [endpoint, { line, policies }] of this.#lines) {
      const dueAtMs = this.#circuits.dueAt(endpoint, policies);
      if (dueAtMs === 'closed') {
        for (let go = line.pop(); go !== null; go = line.pop()) {
          go({ ticket: this.#circuits.pass(endpoint, policies), probe: null });
        }
      }
      const { first } = line;
      if (first === null) this.#lines.delete(endpoint);
      else if (dueAtMs !== 'closed') heads.push({ endpoint, arrivedAtMs: first.arrivedAtMs, dueAtMs });
    }
    return heads;
  }

  #lineOf(endpoint: string, policies: Policies): EndpointLine {
    const known = this.#lines.get(endpoint);
    if (known !== undefined) {
      known.policies = policies;
      return known;
    }
    const created = { line: new WaitingLine<LetGo<Released>>(), policies };
    this.#lines.set(endpoint, created);
    return created;
  }

  #wake(atMs: number): void {
    if (this.#wakeAtMs === atMs) return;
    this.#cancelTimer?.();
    this.#wakeAtMs = atMs;
    this.#cancelTimer =
      atMs === Infinity
        ? null
        : this.#clock.timer(atMs - this.#clock.now(), () => {
            this.#wakeAtMs = Infinity;
            this.pump();
          });
  }
}
