/** What a whole call must look like, by rule: semantics §§1-3, 6, 7 and the contract's table of errors, applied to meanings. */

import {
  ATTEMPTS_MAX,
  type Effect,
  type FaultCase,
  type Meaning,
  type Operation,
  type Schedule,
  TOO_LONG_MS,
  TURNED_AWAY,
  WRITTEN_BEFORE_RESET,
} from './matrix.cases.ts';

export interface Expected {
  readonly status: number;
  /** Of the error body; null for a success and for an error that has none. */
  readonly code: string | null;
  /** `type` of the JSON body; null for what is none. */
  readonly type: string | null;
  readonly from: 'upstream' | 'proxy' | 'reconcile' | 'replay';
  readonly attempts: number;
  readonly verdict: string;
  readonly effect: Effect;
  readonly reason: string | null;
  readonly withheld: string | null;
  readonly retryAfter: boolean;
  /** Requests of the operation itself that the simulator saw whole. */
  readonly arrived: number;
  /** §7: it was looked for. */
  readonly looked: boolean;
  /** §6: the same call under the same key once more, all faults gone; null when that is a call like the first. */
  readonly again: Pick<Expected, 'status' | 'from'> | null;
  /** Effects in the simulator's ledger when everything, late ones included, is over. */
  readonly effects: number;
  /** Attempt by attempt, as the log must tell it. */
  readonly history: readonly AttemptLine[];
  /** The shortest time between one attempt's arrival and the next, ms. */
  readonly gapsMs: readonly number[];
}

export type AttemptLine = Pick<Meaning, 'status' | 'failure' | 'sent' | 'effect' | 'reason'> & {
  readonly verdict: string;
};

const FINE: Meaning = {
  class: 'ok',
  reason: 'ok',
  sent: 'yes',
  status: 200,
  failure: null,
  effect: 'applied',
  lands: 'yes',
  wishMs: null,
  code: null,
};

/** The answer to a DELETE of what is gone: 404, and by `after_unknown` the success it is (§1). */
const GONE: Meaning = { ...FINE, reason: 'already_deleted', status: 404, lands: 'no' };

/** The answer to a guarded create of what is there (§7). */
const CONFLICT: Meaning = {
  ...FINE,
  class: 'permanent',
  reason: 'contact_exists',
  status: 409,
  effect: 'none',
  lands: 'no',
  code: 'conflict',
};

/** The last look of a direct probe, ms after the loss: until then an absent create is not sent again. */
const HORIZON_MS = 10_000;

/**
 * Works one cell out. `written` tells, for a reset on accept, whether the request of an attempt had begun to be written;
 * of that the simulator sees nothing either way.
 */
export function expected(
  fault: FaultCase,
  operation: Operation,
  schedule: Schedule,
  written: readonly boolean[],
): Expected {
  const cell: Cell = { fault, operation, schedule, written, history: [], lookedAfter: [] };
  let withheld = send(cell);
  let isAbsent = false;
  while (wantsLook(cell, isAbsent)) {
    cell.lookedAfter.push(cell.history.length);
    isAbsent = operation.known?.by !== 'search probe' && cell.history.every(({ lands }) => lands === 'no');
    if (!isAbsent || cell.lookedAfter.length === 2) break;
    withheld = send(cell);
  }
  const { history, lookedAfter } = cell;
  const arrived = history.filter(({ sent, status }) => (fault.onAccept ? status !== null : sent !== 'no')).length;
  const end = ending(cell, isAbsent);
  return {
    ...end,
    type: end.status === 200 ? operation.type : end.code === null ? null : 'error.list',
    attempts: history.length,
    withheld,
    arrived,
    looked: lookedAfter.length > 0,
    again: operation.keyed ? underTheSameKey(end) : null,
    effects: effectsOf(operation, history),
    history: history.map(({ class: verdict, status, failure, sent, effect, reason }) => {
      return { verdict, status, failure, sent, effect, reason };
    }),
    gapsMs: history.slice(0, -1).map(({ wishMs }, i) => {
      return lookedAfter.includes(i + 1) && !fault.onAccept ? HORIZON_MS : (wishMs ?? 0);
    }),
  };
}

interface Cell {
  readonly fault: FaultCase;
  readonly operation: Operation;
  readonly schedule: Schedule;
  readonly written: readonly boolean[];
  readonly history: Meaning[];
  /** After how many attempts it was looked for. */
  readonly lookedAfter: number[];
}

/** Attempts until there is nothing to send again (null), or it is withheld. */
function send(cell: Cell): string | null {
  const { operation, fault, written, history } = cell;
  for (;;) {
    const n = history.length + 1;
    const told = meaningOf(cell, n);
    const raw = told === fault.meaning && fault.onAccept && written[n - 1] ? WRITTEN_BEFORE_RESET : told;
    const meaning: Meaning = operation.class === 'read' ? { ...raw, effect: 'none', lands: 'no' } : raw;
    history.push(meaning);
    if (meaning.class === 'ok' || meaning.class === 'permanent') return null;
    const withheld = whyNot(meaning, operation, n);
    if (withheld !== null) return withheld;
  }
}

/** §7: a create whose outcome is unknown, whose 2xx broke off, or whose repeat ran into something. */
function wantsLook({ operation, history }: Cell, isAbsent: boolean): boolean {
  const last = history.at(-1) as Meaning;
  if (operation.known === null || last.class === 'ok' || together(history) === 'none') return false;
  return !(isAbsent && last.effect === 'none');
}

/** §6: successes are kept, and what is unknown stays so; everything else released the key. */
function underTheSameKey({ status, effect }: Ending): Expected['again'] {
  if (status < 300) return { status, from: 'replay' };
  return effect === 'none' ? null : { status: 504, from: 'proxy' };
}

function meaningOf({ fault, operation, schedule, history, lookedAfter }: Cell, n: number): Meaning {
  if (n < (schedule.struck[0] as number)) return TURNED_AWAY.meaning;
  const { meaning } = fault;
  const repeated = history.some(({ lands }) => lands === 'yes') ? REPEATED[repeatOf(operation)] : FINE;
  // Looks open connections as well, and use the strikes up.
  if (!schedule.struck.includes(n) || (fault.onAccept && lookedAfter.length > 0)) return repeated;
  // What breaks now is the error of the repeat, and its status came first.
  if (repeated === FINE || meaning.status !== 200 || meaning.effect !== 'applied') return meaning;
  return meaning.failure === null ? repeated : brokenOff(repeated, fault);
}

/** An error has no promise to break: cut cleanly, it is an answer. What names the conflict is in its message (§1). */
function brokenOff(repeated: Meaning, { meaning, leavesNoCode }: FaultCase): Meaning {
  const failure = meaning.failure === 'broken' ? null : meaning.failure;
  if (repeated === GONE) return { ...GONE, failure };
  if (leavesNoCode) return { ...repeated, failure, class: 'transient', reason: 'truncated' };
  return { ...repeated, failure, reason: 'conflict' };
}

/** What the upstream says to a repeat of what took effect. */
const REPEATED = { same: FINE, gone: GONE, conflict: CONFLICT } as const;

function repeatOf({ name, known }: Operation): keyof typeof REPEATED {
  if (known?.by === 'guard') return 'conflict';
  return name === 'DELETE' ? 'gone' : 'same';
}

/** §2 repeatable, §3 bounds. Null: it is sent again. */
function whyNot(meaning: Meaning, operation: Operation, n: number): string | null {
  if (meaning.effect !== 'none' && operation.class === 'create' && operation.known?.by !== 'guard')
    return 'not_repeatable';
  if (n >= ATTEMPTS_MAX) return 'max_retries';
  return meaning.wishMs === TOO_LONG_MS ? 'max_wait' : null;
}

type Ending = Pick<Expected, 'status' | 'code' | 'from' | 'verdict' | 'effect' | 'reason' | 'retryAfter'>;

/** `isAbsent`: it was looked for, and nothing was there. */
function ending({ operation, history, lookedAfter }: Cell, isAbsent: boolean): Ending {
  if (lookedAfter.length > 0 && history.some(({ lands }) => lands !== 'no') && history.at(-1)?.class !== 'ok')
    return FOUND;
  const last = history.at(-1) as Meaning;
  const isRead = operation.class === 'read';
  if (last.class === 'ok') {
    const reason = last.reason === 'ok' ? null : last.reason;
    const effect = isRead ? 'none' : 'applied';
    return { status: 200, code: null, from: 'upstream', verdict: 'ok', effect, reason, retryAfter: false };
  }
  const effect = isAbsent && last.effect === 'none' ? 'none' : together(history);
  // "When retries are used up and the upstream did answer, its last answer is passed on", unless what came later
  // leaves more open than that answer says.
  const answer = history.findLast(({ failure }) => failure === null);
  const told = last.failure !== null && last.effect === 'none' && answer !== undefined ? answer : last;
  const rest = { verdict: told.class, reason: told.reason, effect };
  if (told.failure === null) {
    if (operation.class === 'create' && effect === 'unknown') return { ...rest, ...OUTCOME_UNKNOWN };
    const status = told.status as number;
    return { ...rest, status, code: told.code, from: 'upstream', retryAfter: told.wishMs !== null };
  }
  return { ...rest, ...errorOf(told, effect) };
}

const FOUND: Ending = {
  status: 200,
  code: null,
  from: 'reconcile',
  verdict: 'ok',
  effect: 'applied',
  reason: 'reconciled',
  retryAfter: false,
};
const OUTCOME_UNKNOWN = { status: 504, code: 'holdfast_outcome_unknown', from: 'proxy', retryAfter: false } as const;

/** The contract's table for calls that no answer of the upstream ends. */
function errorOf({ failure }: Meaning, effect: Effect): Pick<Expected, 'status' | 'code' | 'from' | 'retryAfter'> {
  const own = { from: 'proxy', retryAfter: false } as const;
  if (failure === 'broken' || failure === 'truncated') return { ...own, status: 502, code: 'holdfast_answer_broken' };
  if (effect === 'unknown') return OUTCOME_UNKNOWN;
  if (failure === 'timeout') return { ...own, status: 504, code: 'holdfast_upstream_timeout' };
  return { ...own, status: 502, code: 'holdfast_upstream_unreachable' };
}

function together(history: readonly Meaning[]): Effect {
  if (history.some(({ effect }) => effect === 'applied')) return 'applied';
  return history.some(({ effect }) => effect === 'unknown') ? 'unknown' : 'none';
}

function effectsOf(operation: Operation, history: readonly Meaning[]): number {
  const landed = history.filter(({ lands }) => lands !== 'no').length;
  return repeatOf(operation) === 'same' ? landed : Math.min(landed, 1);
}
