/**
 * Redrive: dead letters sent again, by filter or by name. What is to be run is written down when it begins, row by row, so
 * that rows which die meanwhile are not drawn in, and a crash loses neither the list nor what was done. Here: the
 * words, what a row is fit for, and what a plan counts. When rows go, and when they stop, is `redrive-pace.ts`.
 */

import { createHash } from 'node:crypto';
import type { DeadFilter } from './dead-letters.ts';
import type { Operation, OperationState } from './operation.ts';

/** `cancelled` and `done` are final. */
export type RedriveState = 'running' | 'paused' | 'done' | 'cancelled';

/**
 * What became of a row. `dead` and `unknown`: it was tried and stays in the queue. `superseded`, `expired`, `skipped`: it
 * was not tried.
 */
export type RowResult = 'succeeded' | 'dead' | 'unknown' | 'superseded' | 'expired' | 'skipped';

/** All results, in the order in which people are shown them. */
export const ROW_RESULTS: readonly RowResult[] = ['succeeded', 'dead', 'unknown', 'superseded', 'expired', 'skipped'];

/** What is asked for. */
export interface RedriveOrder {
  readonly filter: DeadFilter;
  /** Share of the token's quota, above 0 and at most 1. */
  readonly velocity: number;
  /** Rows that go first, one at a time; 0 for none. */
  readonly canary: number;
  /** Runs what is superseded or expired, too. */
  readonly force: boolean;
  readonly trigger: 'person' | 'breaker';
}

/** One redrive, as it is kept and shown. Times are epoch ms. */
export interface Redrive extends RedriveOrder {
  readonly id: string;
  /** Two orders with the same rows in mind are one redrive while the first is not over. */
  readonly hash: string;
  readonly state: RedriveState;
  /** Why it is paused, or what it waits for while it runs, for people; null otherwise. */
  readonly why: string | null;
  /** It was given a credential, which no store and no log ever sees: after a restart it wants it again. */
  readonly ownCredential: boolean;
  readonly rows: number;
  readonly counts: Readonly<Record<RowResult, number>>;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** One row of a redrive. */
export interface RedriveRow {
  /** From 1; the order in which they go: the oldest first. */
  readonly n: number;
  readonly operation: string;
  /** Null: its turn has not come. */
  readonly result: RowResult | null;
  /** `503 service_unavailable`; empty when there is nothing to say. */
  readonly detail: string;
  /** Epoch ms; null while there is no result. */
  readonly atMs: number | null;
}

/** Keeps redrives: a part of the ledger. Rejects as the store does. */
export interface RedriveStore {
  /** Writes the head of a redrive, new or known. Of those that are over, the oldest are forgotten. */
  put(redrive: Redrive): Promise<void>;
  /** Appends rows. */
  addRows(id: string, operations: readonly string[]): Promise<void>;
  /** Notes the result of a row. Made in one turn with the change of its operation, both are one commit. */
  settleRow(id: string, row: RedriveRow): Promise<void>;
  get(id: string): Promise<Redrive | null>;
  /** Newest first. */
  list(limit: number): Promise<readonly Redrive[]>;
  /** In order, those after `afterN`; only those without a result when `pending`. */
  rows(id: string, afterN: number, limit: number, pending: boolean): Promise<readonly RedriveRow[]>;
  /** From the rows: what the head says may be older. */
  counts(id: string): Promise<Readonly<Record<RowResult, number>>>;
  /** Takes a redrive that has not begun back. */
  remove(id: string): Promise<void>;
}

/** No row has a result. */
export const NO_COUNTS: Readonly<Record<RowResult, number>> = {
  succeeded: 0,
  dead: 0,
  unknown: 0,
  superseded: 0,
  expired: 0,
  skipped: 0,
};

/** The states that a redrive looks at. `superseded` rows are counted, and run when it is forced to. */
export const REDRIVEN_STATES: readonly OperationState[] = ['dead', 'unknown', 'superseded'];

/** The name of what is meant: which rows, and nothing of how. */
export function redriveHash(filter: DeadFilter): string {
  const { ids, context, ...rest } = filter;
  const parts = [
    inOrder(rest),
    ids === undefined ? null : [...new Set(ids)].sort(),
    context === undefined ? null : inOrder(context),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

function inOrder(members: Readonly<Record<string, unknown>>): [string, unknown][] {
  const given = Object.entries(members).filter(([, value]) => value !== undefined);
  return given.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What is kept of a filter: the rows are a list by then, and what they were found by may be a person's data. */
export function keptFilter(filter: DeadFilter): DeadFilter {
  const { ids, match, ...rest } = filter;
  return { ...rest, ...(ids === undefined ? {} : { ids: ['…'] }), ...(match === undefined ? {} : { match: '…' }) };
}

/** What decides about a row. */
export type RowFacts = Pick<
  Operation,
  | 'state'
  | 'effect'
  | 'endpoint'
  | 'operationClass'
  | 'bodyKept'
  | 'createdAtMs'
  | 'sentAtMs'
  | 'supersededBy'
  | 'maybeSupersededBy'
>;

/** Under which rules a row is looked at. */
export interface RowRules {
  readonly force: boolean;
  /** Older creates that customers see want force. */
  readonly maxAgeMs: number;
  /** Epoch ms. */
  readonly nowMs: number;
}

/** What is to be done with a row; `why` is for people. */
export interface RowPlan {
  readonly kind: 'run' | 'superseded' | 'expired' | 'skipped';
  readonly why: string;
}

const RUN: RowPlan = { kind: 'run', why: '' };

/** What of Intercom's API puts words before a customer's eyes: a day late they are wrong (semantics §9). */
const CUSTOMER_SEES =
  /^POST \/(?:messages|conversations|conversations\/\{[^/]+\}\/reply|tickets\/\{[^/]+\}\/reply|fin\/(?:start|reply)|fin_voice\/register)$/;

/** Whether a customer gets to see what the operation creates. */
export function isCustomerVisible({
  endpoint,
  operationClass,
}: Pick<RowFacts, 'endpoint' | 'operationClass'>): boolean {
  return operationClass === 'create' && CUSTOMER_SEES.test(endpoint);
}

/** Whether customers would see it a day late: what has not landed by now is not sent unless it is forced. */
export function isTooLate(
  row: Pick<RowFacts, 'endpoint' | 'operationClass' | 'createdAtMs'>,
  { maxAgeMs, nowMs }: Pick<RowRules, 'maxAgeMs' | 'nowMs'>,
): boolean {
  return nowMs - row.createdAtMs > maxAgeMs && isCustomerVisible(row);
}

/** When its caller asked for it, epoch ms; of equal refused ones that share a row, the last. */
export function askedAtMs(row: Pick<Operation, 'deadReason' | 'deadAtMs' | 'createdAtMs'>): number {
  return row.deadReason === 'refused' ? (row.deadAtMs ?? row.createdAtMs) : row.createdAtMs;
}

/** Decides on one row; asked when a plan is made and again when its turn has come. */
export function planRow(row: RowFacts, rules: RowRules): RowPlan {
  const by = row.supersededBy ?? row.maybeSupersededBy;
  if (!REDRIVEN_STATES.includes(row.state)) return { kind: 'skipped', why: `is ${row.state}` };
  if (!row.bodyKept && row.state !== 'unknown')
    return { kind: 'skipped', why: 'its body was not kept: it streamed through, or was imported without one' };
  if (rules.force) return RUN;
  if (row.state === 'superseded' || by !== null) return { kind: 'superseded', why: by === null ? '' : `by ${by}` };
  // What may have landed is looked for, however old.
  if (isTooLate(row, rules) && row.effect === 'none') {
    return { kind: 'expired', why: 'customers would see it late; force sends it all the same' };
  }
  return RUN;
}

/** What a redrive would do. */
export interface RedrivePlan {
  /** Rows that the filter means. */
  readonly rows: number;
  /** Rows that would run. */
  readonly run: number;
  /** Of those: creates, and those whose outcome is unknown, which are looked for first. */
  readonly creates: number;
  readonly unknown: number;
  /** Of the unknown: those whose endpoint has nothing to look at. Sent only when they are named and forced. */
  readonly undetectable: number;
  readonly superseded: number;
  readonly expired: number;
  readonly skipped: number;
}

/** A plan with what it costs. */
export interface RedriveForecast extends RedrivePlan {
  /** Calls at least: looks and retries come on top. */
  readonly calls: number;
  /** At the velocity, under the smallest quota known. */
  readonly perSecond: number;
  readonly seconds: number;
  /** Named ids that are no dead letters. */
  readonly missing: readonly string[];
}

/** A plan that counts nothing yet. */
export const EMPTY_PLAN: RedrivePlan = {
  rows: 0,
  run: 0,
  creates: 0,
  unknown: 0,
  undetectable: 0,
  superseded: 0,
  expired: 0,
  skipped: 0,
};

/** Counts rows into a plan. `isSeen`: whether anything could show that a row has landed. */
export function countRows<R extends RowFacts>(
  plan: RedrivePlan,
  rows: readonly R[],
  rules: RowRules,
  isSeen: (row: R) => boolean,
): RedrivePlan {
  const counted = { ...plan };
  for (const row of rows) {
    const { kind } = planRow(row, rules);
    counted.rows += 1;
    counted[kind] += 1;
    if (kind !== 'run') continue;
    if (row.operationClass === 'create') counted.creates += 1;
    if (!isInDoubt(row)) continue;
    counted.unknown += 1;
    if (!isSeen(row)) counted.undetectable += 1;
  }
  return counted;
}

/** It may have landed; the edited form of one that may is looked for as well. */
function isInDoubt({ state, operationClass, effect }: RowFacts): boolean {
  return state === 'unknown' || (operationClass === 'create' && effect !== 'none');
}

/** Intercom's smallest limit, calls per window of ten seconds: assumed while no answer has named one. */
const WINDOW_LIMIT_ASSUMED = 167;
const WINDOW_SECONDS = 10;

/** Rows per second: a share of the limit per window that pacing has learned; null when it has learned none. */
export function ratePerSecond(velocity: number, limit: number | null): number {
  return (velocity * Math.max(limit ?? WINDOW_LIMIT_ASSUMED, 1)) / WINDOW_SECONDS;
}
