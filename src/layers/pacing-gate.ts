/**
 * Where calls wait: a line, the pause that all in it share, and one timer for whoever is first. The token's gate also
 * asks the quota for a slot, an endpoint's gate does not. One timer per gate and not one per waiting call, so that a
 * reset wakes one call and not ten thousand.
 */

import type { Exchange } from '../core/exchange.ts';
import { advanced, doubted, extended, OPEN, type Pause, passAt, passed, probed } from '../core/pause.ts';
import { newQuota, type Quota, rolled, type Slot, sent, slotAt, usedUp } from '../core/quota.ts';
import { type SlotResult, settled } from '../core/quota-answers.ts';
import { type Place, WaitingLine } from '../core/waiting-line.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';

/** How a call stands among the others. */
export interface Urgency {
  /** As `WaitingLine` has it. */
  readonly urgency: number;
  /** May use the reserve. */
  readonly urgent: boolean;
  /** The share of the window that is kept from it unless it is urgent, 0..1. */
  readonly reserve: number;
}

const ONCE = { once: true } as const;

/** One object per waiting call, no closures: ten thousand of them wait at once. */
class Waiter {
  readonly standing: Urgency;
  readonly #gate: Gate;
  readonly #signal: AbortSignal;
  readonly #resolve: (slot: Slot | null) => void;
  #place: Place<Waiter> | null = null;
  #cancelTimer: CancelTimer | null = null;

  constructor(gate: Gate, signal: AbortSignal, standing: Urgency, resolve: (slot: Slot | null) => void) {
    this.standing = standing;
    this.#gate = gate;
    this.#signal = signal;
    this.#resolve = resolve;
  }

  join(clock: Clock, arrivedAtMs: number, waitMs: number): void {
    this.#place = this.#gate.line.push(this.standing.urgency, arrivedAtMs, this);
    this.#cancelTimer = clock.timer(waitMs, () => this.handleEvent());
    this.#signal.addEventListener('abort', this, ONCE);
    this.#gate.pump();
  }

  /** It may go, or its time is up (null). */
  end(slot: Slot | null): void {
    this.#cancelTimer?.();
    this.#signal.removeEventListener('abort', this);
    this.#resolve(slot);
  }

  /** The call was cancelled, or has waited as long as it may. */
  handleEvent(): void {
    if (this.#place === null || !this.#gate.line.remove(this.#place)) return;
    this.end(null);
    this.#gate.pump();
  }
}

type Paused = Extract<Pause, { readonly kind: 'paused' }>;

const GATES_MAX = 10_000;
/** Sixty windows. */
const QUIET_MS = 600_000;

/** A line before a pause and a quota. */
export class Gate {
  readonly line = new WaitingLine<Waiter>();
  readonly #clock: Clock;
  /** An endpoint's gate paces nothing: its quota stays unpaced and only numbers the calls. */
  readonly #paced: boolean;
  #quota: Quota;
  #pause: Pause = OPEN;
  #cancelTimer: CancelTimer | null = null;
  #wakeAtMs = Infinity;

  constructor(clock: Clock, paced: boolean) {
    this.#clock = clock;
    this.#paced = paced;
    this.#quota = newQuota(clock.now());
  }

  get quota(): Quota {
    return this.#quota;
  }

  get pause(): Pause {
    return this.#pause;
  }

  /** Nothing is under way, waits or is remembered here. */
  get idle(): boolean {
    return this.#unused && this.#pause.kind === 'open';
  }

  /** Nobody has used it for so long that what it remembers is worth nothing. */
  get quiet(): boolean {
    const nowMs = this.#clock.now();
    const paused = this.#pause.kind === 'paused' && this.#pause.untilMs > nowMs;
    return this.#unused && !paused && nowMs - this.#quota.endsAtMs > QUIET_MS;
  }

  get #unused(): boolean {
    return this.line.length === 0 && this.#quota.inFlight === 0;
  }

  /** Passes at once when nobody waits and a slot is free; null otherwise. */
  tryPass(urgent: boolean, reserve: number): Slot | null {
    if (this.line.length > 0) return null;
    const nowMs = this.#advance();
    return this.#opensAt(urgent, reserve, nowMs) <= nowMs ? this.#take(urgent, nowMs) : null;
  }

  /** Waits in line until `lastMs` at most. Null when the call was cancelled or its time was up. */
  slot(exchange: Exchange, standing: Urgency, lastMs: number): Slot | Promise<Slot | null> {
    const now = this.tryPass(standing.urgent, standing.reserve);
    if (now !== null) return now;
    const { signal } = exchange.cancel;
    if (signal.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      new Waiter(this, signal, standing, resolve).join(this.#clock, exchange.receivedAtMs, lastMs - this.#clock.now());
    });
  }

  /** Passes whatever the quota says (mode observe): counted like every other call. */
  take(urgent: boolean): Slot {
    return this.#take(urgent, this.#advance());
  }

  #take(urgent: boolean, nowMs: number): Slot {
    const taken = sent(this.#quota, urgent, nowMs);
    this.#quota = taken.quota;
    this.#pause = passed(this.#pause, taken.slot.ordinal, nowMs);
    return taken.slot;
  }

  /** A call that passed has ended; whoever may pass now does. Returns the pause if it changed. */
  settle(slot: Slot, result: SlotResult): Paused | null {
    const nowMs = this.#advance();
    const before = this.#pause;
    const learned = settled(this.#quota, slot, result, nowMs);
    this.#quota = learned.quota;
    this.#pause = probed(before, slot.ordinal, result.kind === 'answered' ? 'answered' : 'nothing');
    if (learned.pauseUntilMs !== null) this.#pause = extended(this.#pause, learned.pauseUntilMs);
    this.pump();
    return this.#pause.kind === 'paused' && this.#pause !== before ? this.#pause : null;
  }

  /** Pauses until then, or longer. Returns the pause if it changed. */
  extend(untilMs: number): Paused | null {
    const before = this.#pause;
    this.#pause = extended(before, untilMs);
    this.pump();
    return this.#pause.kind === 'paused' && this.#pause !== before ? this.#pause : null;
  }

  /** The next call goes alone. */
  doubt(): void {
    this.#pause = doubted(this.#pause);
  }

  /** Lets everyone pass who may, in order, and sets the timer for the next. */
  pump(): void {
    const nowMs = this.#advance();
    for (;;) {
      const first = this.line.first;
      const atMs =
        first === null ? Infinity : this.#opensAt(first.value.standing.urgent, first.value.standing.reserve, nowMs);
      if (first === null || atMs > nowMs) {
        this.#wake(atMs);
        return;
      }
      this.line.pop();
      first.value.end(this.#take(first.value.standing.urgent, nowMs));
    }
  }

  #opensAt(urgent: boolean, reserve: number, nowMs: number): number {
    const passMs = passAt(this.#pause, nowMs);
    return this.#paced ? Math.max(passMs, slotAt(this.#quota, urgent, reserve, nowMs)) : passMs;
  }

  #advance(): number {
    const nowMs = this.#clock.now();
    const quota = rolled(this.#quota, nowMs);
    if (quota !== this.#quota && this.#paced && usedUp(this.#quota)) this.#pause = doubted(this.#pause);
    this.#quota = quota;
    this.#pause = advanced(this.#pause, nowMs);
    return nowMs;
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

/** Gates by name, bounded: beyond ten thousand one that is idle is forgotten. */
export class Gates {
  readonly #clock: Clock;
  readonly #paced: boolean;
  readonly #gates = new Map<string, Gate>();

  constructor(clock: Clock, paced: boolean) {
    this.#clock = clock;
    this.#paced = paced;
  }

  get size(): number {
    return this.#gates.size;
  }

  entries(): IterableIterator<[string, Gate]> {
    return this.#gates.entries();
  }

  /** Opens one when there is none. */
  getOrCreate(key: string): Gate {
    const known = this.#gates.get(key);
    if (known !== undefined) return known;
    if (this.#gates.size >= GATES_MAX) this.#forgetOne();
    const gate = new Gate(this.#clock, this.#paced);
    this.#gates.set(key, gate);
    return gate;
  }

  /** Null, and forgotten, when nothing is going on there. */
  getBusy(key: string): Gate | null {
    const gate = this.#gates.get(key);
    if (gate === undefined || !gate.idle) return gate ?? null;
    this.#gates.delete(key);
    return null;
  }

  /** Forgets those that nobody has used for ten minutes. */
  forgetQuiet(): void {
    for (const [key, gate] of this.#gates) if (gate.quiet) this.#gates.delete(key);
  }

  #forgetOne(): void {
    for (const [key, gate] of this.#gates) {
      if (!gate.idle && !gate.quiet) continue;
      this.#gates.delete(key);
      return;
    }
  }
}
