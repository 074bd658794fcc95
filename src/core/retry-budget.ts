/**
 * The retry budget bounds what retries add to the upstream's load (semantics §3): over a window, retries may be `ratio`
 * of the client requests that were dispatched, plus a floor per second so that a quiet proxy can retry at all. Every
 * request pays into its endpoint class and into the process, a retry must find cover in both: the floors of three
 * classes together are still one floor.
 *
 * Success refills: a retry that ended well gives its price back. It did what retries are for, and an upstream that
 * answers is not the one to protect; so the budget counts failed retries, passing faults are repaired without limit, and
 * in a full outage the upstream sees at most 1 + `ratio` times its load, plus the floor.
 *
 * A sliding window and not a token bucket: what was saved up in a quiet hour must not feed a storm. Counted when decided
 * and not while active (Envoy), since sleeping retries are not active yet and all come at once. Changed in place, over
 * rings made once: a call allocates nothing. Ratio, window and floor come with each event, so a reload loses nothing.
 */

import type { RetryBudgetPolicy } from './policy.ts';
import type { OperationClass } from './verdict.ts';

const BUCKET_MS = 1000;
/** A power of two; spans the longest window and the bucket that is being filled. */
const BUCKETS = 64;
/** Ratios such as 0.1 do not add up exactly. */
const EPSILON = 1e-9;

/** Longer windows count as this. */
const LONGEST_WINDOW_MS = 60_000;

interface Account {
  readonly deposits: Float64Array;
  readonly withdrawals: Float64Array;
  /** The bucket being filled, counted from the clock's zero. */
  newest: number;
}

/** The accounts of one process. */
export interface RetryBudget {
  readonly classes: Readonly<Record<OperationClass, Account>>;
  readonly process: Account;
}

/** Opens the accounts, empty but for the floor. */
export function createRetryBudget(): RetryBudget {
  return { classes: { read: open(), idempotent: open(), create: open() }, process: open() };
}

function open(): Account {
  return { deposits: new Float64Array(BUCKETS), withdrawals: new Float64Array(BUCKETS), newest: 0 };
}

/** How long until time alone can change the cover, ms; more than 0. */
export function nextBucketMs(nowMs: number): number {
  return BUCKET_MS - (nowMs % BUCKET_MS);
}

/** A client request was dispatched for the first time. `nowMs` is monotonic, here and below. */
export function deposit(budget: RetryBudget, operationClass: OperationClass, ratio: number, nowMs: number): void {
  payIn(budget.classes[operationClass], ratio, nowMs);
  payIn(budget.process, ratio, nowMs);
}

/** A retry of price `cost` is decided: takes it from both accounts, or from none and says no. */
export function withdraw(
  budget: RetryBudget,
  operationClass: OperationClass,
  policy: RetryBudgetPolicy,
  cost: number,
  nowMs: number,
): boolean {
  const own = budget.classes[operationClass];
  const affordable = Math.min(coverOf(own, policy, nowMs), coverOf(budget.process, policy, nowMs)) + EPSILON;
  if (cost > affordable) return false;
  add(own.withdrawals, own.newest, cost);
  add(budget.process.withdrawals, budget.process.newest, cost);
  return true;
}

/** Gives back what `withdraw` took at `chargedAtMs`: the retry was cancelled unsent, or ended well. */
export function refund(
  budget: RetryBudget,
  operationClass: OperationClass,
  cost: number,
  chargedAtMs: number,
  nowMs: number,
): void {
  payBack(budget.classes[operationClass], cost, chargedAtMs, nowMs);
  payBack(budget.process, cost, chargedAtMs, nowMs);
}

function payIn(account: Account, amount: number, nowMs: number): void {
  advance(account, nowMs);
  add(account.deposits, account.newest, amount);
}

function payBack(account: Account, amount: number, chargedAtMs: number, nowMs: number): void {
  advance(account, nowMs);
  const bucket = Math.floor(chargedAtMs / BUCKET_MS);
  if (account.newest - bucket >= BUCKETS) return;
  const slot = bucket & (BUCKETS - 1);
  account.withdrawals[slot] = Math.max(0, (account.withdrawals[slot] as number) - amount);
}

/** The window's full buckets and the one being filled: a second more than asked for, never less. */
function coverOf(account: Account, policy: RetryBudgetPolicy, nowMs: number): number {
  advance(account, nowMs);
  const windowMs = Math.min(policy.windowMs, LONGEST_WINDOW_MS);
  let sum = (policy.floorPerSecond * windowMs) / 1000;
  for (let back = Math.ceil(windowMs / BUCKET_MS); back >= 0; back -= 1) {
    const slot = (account.newest - back) & (BUCKETS - 1);
    sum += (account.deposits[slot] as number) - (account.withdrawals[slot] as number);
  }
  return sum;
}

/** Empties the buckets that time has moved past. A clock that stands or steps back changes nothing. */
function advance(account: Account, nowMs: number): void {
  const bucket = Math.floor(nowMs / BUCKET_MS);
  const passed = bucket - account.newest;
  if (passed <= 0) return;
  for (let step = Math.min(passed, BUCKETS); step > 0; step -= 1) {
    const slot = (bucket - step + 1) & (BUCKETS - 1);
    account.deposits[slot] = 0;
    account.withdrawals[slot] = 0;
  }
  account.newest = bucket;
}

function add(ring: Float64Array, bucket: number, amount: number): void {
  const slot = bucket & (BUCKETS - 1);
  ring[slot] = (ring[slot] as number) + amount;
}
