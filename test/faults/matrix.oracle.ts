/** What a whole call must look like, by rule: semantics §§1-3 and the contract's table of errors, applied to meanings. */

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
  readonly from: 'upstream' | 'proxy';
  readonly attempts: number;
  readonly verdict: string;
  readonly effect: Effect;
  readonly reason: string | null;
  readonly withheld: string | null;
  readonly retryAfter: boolean;
  /** Requests that the simulator saw whole. */
  readonly arrived: number;
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
  const isRead = operation.class === 'read';
  const history: Meaning[] = [];
  let withheld: string | null = null;
  for (let n = 1; n <= ATTEMPTS_MAX; n += 1) {
    const told = meaningOf(fault, operation, schedule, n, history);
    const raw = told === fault.meaning && fault.onAccept && written[n - 1] ? WRITTEN_BEFORE_RESET : told;
    const meaning: Meaning = isRead ? { ...raw, effect: 'none', lands: 'no' } : raw;
    history.push(meaning);
    withheld = whyNot(meaning, operation, n);
    if (withheld !== null || meaning.class === 'ok' || meaning.class === 'permanent') break;
  }
  const arrived = history.filter(({ sent, status }) => (fault.onAccept ? status !== null : sent !== 'no')).length;
  const end = ending(operation, history);
  return {
    ...end,
    type: end.status === 200 ? operation.type : end.code === null ? null : 'error.list',
    attempts: history.length,
    withheld,
    arrived,
    effects: effectsOf(operation, history),
    history: history.map(({ class: verdict, status, failure, sent, effect, reason }) => {
      return { verdict, status, failure, sent, effect, reason };
    }),
    gapsMs: history.slice(0, -1).map(({ wishMs }) => wishMs ?? 0),
  };
}

function meaningOf(
  fault: FaultCase,
  operation: Operation,
  schedule: Schedule,
  n: number,
  before: readonly Meaning[],
): Meaning {
  if (n < (schedule.struck[0] as number)) return TURNED_AWAY.meaning;
  const gone = operation.name === 'DELETE' && before.some(({ lands }) => lands === 'yes');
  const { meaning } = fault;
  if (!schedule.struck.includes(n)) return gone ? GONE : FINE;
  // What breaks now is the 404, and its status came first.
  return gone && meaning.status === 200 && meaning.effect === 'applied'
    ? { ...GONE, failure: brokenOff(meaning) }
    : meaning;
}

/** A 404 has no promise to break: cut cleanly, it is an answer. */
function brokenOff({ failure }: Meaning): Meaning['failure'] {
  return failure === 'broken' ? null : failure;
}

/** §2 repeatable, §3 bounds. Null: it is sent again, or there is nothing to send again. */
function whyNot(meaning: Meaning, operation: Operation, n: number): string | null {
  if (meaning.class === 'ok' || meaning.class === 'permanent') return null;
  if (meaning.effect !== 'none' && operation.class === 'create') return 'not_repeatable';
  if (n === ATTEMPTS_MAX) return 'max_retries';
  return meaning.wishMs === TOO_LONG_MS ? 'max_wait' : null;
}

type Ending = Pick<Expected, 'status' | 'code' | 'from' | 'verdict' | 'effect' | 'reason' | 'retryAfter'>;

function ending(operation: Operation, history: readonly Meaning[]): Ending {
  const last = history.at(-1) as Meaning;
  const isRead = operation.class === 'read';
  if (last.class === 'ok') {
    const reason = last.reason === 'ok' ? null : last.reason;
    const effect = isRead ? 'none' : 'applied';
    return { status: 200, code: null, from: 'upstream', verdict: 'ok', effect, reason, retryAfter: false };
  }
  const effect = together(history);
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
  return operation.name === 'DELETE' ? Math.min(landed, 1) : landed;
}
