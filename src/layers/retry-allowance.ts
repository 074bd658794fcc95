/**
 * The retry budget of the process, and those who wait for it: under `when_open: wait` a retry without cover is delayed
 * instead of withheld (semantics §5), oldest call first. A success lets two of them go free of charge: an upstream that
 * answers is not the one to protect, and after an outage the flow doubles with each round trip, as in TCP's slow start,
 * where the floor of one a second would keep the last of two hundred waiting for minutes.
 */

import { type Exchange, noteWait } from '../core/exchange.ts';
import { createRetryBudget, deposit, nextBucketMs, type RetryBudget, refund, withdraw } from '../core/retry-budget.ts';
import type { OperationClass } from '../core/verdict.ts';
import { WaitingLine } from '../core/waiting-line.ts';
import type { WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import { type LetGo, waitInLine } from './wait.ts';

/** A price that was paid. */
export interface Charge {
  readonly operationClass: OperationClass;
  readonly cost: number;
  /** Monotonic ms. */
  readonly atMs: number;
}

interface Delayed {
  readonly exchange: Exchange;
  readonly cost: number;
  readonly letGo: LetGo<Charge>;
}

const FREED_BY_SUCCESS = 2;

/** Who may send again, and when. */
export class RetryAllowance {
  readonly #clock: Clock;
  readonly #waiting: WaitingRoom;
  readonly #budget: RetryBudget = createRetryBudget();
  readonly #line = new WaitingLine<Delayed>();
  #looking = false;

  constructor(clock: Clock, waiting: WaitingRoom) {
    this.#clock = clock;
    this.#waiting = waiting;
  }

  /** The first attempt of a call has ended. */
  dispatched({ policy }: Exchange): void {
    deposit(this.#budget, policy.operationClass, policy.retryBudget.ratio, this.#clock.now());
    this.#pump(0);
  }

  /** An attempt ended well. */
  succeeded(): void {
    this.#pump(FREED_BY_SUCCESS);
  }

  /** Takes the price of a retry; null when there is no cover, or when others wait for it who have waited longer. */
  charge(exchange: Exchange, cost: number): Charge | null {
    const queues = exchange.policy.breaker.whenOpen === 'wait' && this.#line.length > 0;
    return cost > 0 && queues ? null : this.#charge(exchange, cost);
  }

  /** Gives a price back: the retry ended well, or was never sent. */
  giveBack({ operationClass, cost, atMs }: Charge): void {
    if (cost > 0) refund(this.#budget, operationClass, cost, atMs, this.#clock.now());
    this.#pump(0);
  }

  /** Waits for cover, until `lastMs` at most. Null when there was none, or the call was cancelled, or no place to wait. */
  async wait(exchange: Exchange, cost: number, lastMs: number): Promise<Charge | null> {
    if (!this.#waiting.enter(exchange)) return null;
    const startedAtMs = this.#clock.now();
    const waited = waitInLine<Charge, Delayed>(this.#clock, exchange, {
      line: this.#line,
      urgency: exchange.priority,
      lastMs,
      valueOf: (letGo) => ({ exchange, cost, letGo }),
      onLeft: nothing,
    });
    this.#pump(0);
    const charge = await waited;
    this.#waiting.leave();
    noteWait(exchange, this.#clock.now() - startedAtMs, 'budget');
    return charge;
  }

  #charge({ policy }: Exchange, cost: number): Charge | null {
    const nowMs = this.#clock.now();
    const { operationClass, retryBudget } = policy;
    const covered = cost === 0 || withdraw(this.#budget, operationClass, retryBudget, cost, nowMs);
    return covered ? { operationClass, cost, atMs: nowMs } : null;
  }

  #pump(free: number): void {
    for (let left = free; this.#line.first !== null; left -= 1) {
      const { exchange, cost, letGo } = this.#line.first.value;
      const charge = this.#charge(exchange, left > 0 ? 0 : cost);
      if (charge === null) break;
      this.#line.pop();
      letGo(charge);
    }
    if (this.#line.length > 0) this.#look();
  }

  /** Cover comes back as the window moves, a bucket at a time. */
  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#clock.timer(nextBucketMs(this.#clock.now()), () => {
      this.#looking = false;
      this.#pump(0);
    });
  }
}

const nothing = (): void => {};
