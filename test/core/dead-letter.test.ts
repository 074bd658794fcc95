import { describe, expect, test } from 'vitest';
import { Cancel } from '../../src/core/cancel.ts';
import { deadReason } from '../../src/core/dead-letter.ts';
import type { CancelReason, Exchange } from '../../src/core/exchange.ts';
import type { DeadReason } from '../../src/core/operation.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { type OperationClass, refusedVerdict, type Verdict } from '../../src/core/verdict.ts';
import { failed, record, refused } from '../support/attempt-records.ts';
import { answered, exchange, policy, verdict } from '../support/exchanges.ts';

const answer = (status: number, overrides: Partial<Verdict>): Outcome =>
  answered(status, { verdict: verdict({ reason: `status_${status}`, effect: 'none', ...overrides }) });

function call(operationClass: OperationClass, overrides: Partial<Exchange> = {}): Exchange {
  return exchange({ policy: policy({ operationClass }), operationClass, attempts: [record()], ...overrides });
}

function cancelled(reason: CancelReason): Cancel {
  const cancel = new Cancel();
  cancel.abort(reason);
  return cancel;
}

const OK = answered(200);
const PERMANENT = answer(422, { class: 'permanent' });
const UNAUTHORIZED = answer(401, { class: 'unauthorized' });
const THROTTLED = answer(429, { class: 'throttled' });
const TURNED_AWAY = answer(503, { class: 'transient' });
const LOST = answer(500, { class: 'transient', effect: 'unknown' });
const RESET = failed('reset', { verdict: verdict({ class: 'transient', reason: 'reset', effect: 'unknown' }) });
const UNREACHABLE = failed('connect');
const BROKEN = failed('broken', { sent: 'yes', verdict: verdict({ class: 'transient', reason: 'broken_cut' }) });
const OPEN = refused('breaker');
const QUOTA = refused('pacing', { code: 'holdfast_quota_wait' });
const STORE = refused('attempt', { code: 'holdfast_store_unavailable' });
const NOT_FOUND_OUT = refused('reconcile', {
  code: 'holdfast_outcome_unknown',
  verdict: { ...refusedVerdict('outcome_unknown', null), effect: 'unknown' },
});

const UNSENT = { attempts: [] };
const UNDECIDED = { attempts: [record({ effect: 'unknown' }), record({ n: 2 })] };

describe('§9: which endings are kept', () => {
  test.each<[string, Outcome, Partial<Exchange>, DeadReason | null, DeadReason | null]>([
    // [ending, outcome, the call, a create, an idempotent write]
    ['a success', OK, {}, null, null],
    ['a replay of an error', answered(422, { from: 'replay', verdict: PERMANENT.verdict }), UNSENT, null, null],
    ['a reconciled create', answered(200, { from: 'reconcile' }), UNDECIDED, null, null],
    ['a permanent error', PERMANENT, {}, 'permanent', 'permanent'],
    ['a refused credential', UNAUTHORIZED, {}, 'permanent', 'permanent'],
    ['throttled to the end', THROTTLED, {}, 'exhausted', 'exhausted'],
    ['turned away to the end', TURNED_AWAY, {}, 'exhausted', 'exhausted'],
    ['an error that leaves the effect open', LOST, {}, 'unknown', 'exhausted'],
    ['a lost answer', RESET, {}, 'unknown', 'exhausted'],
    ['a 2xx that was never whole', BROKEN, {}, 'unknown', 'exhausted'],
    ['an unreachable upstream', UNREACHABLE, {}, 'exhausted', 'exhausted'],
    ['not found out by looking', NOT_FOUND_OUT, UNDECIDED, 'unknown', 'exhausted'],
    ['a permanent error after an attempt in doubt', PERMANENT, UNDECIDED, 'unknown', 'permanent'],
    ['refused by the breaker, never sent', OPEN, UNSENT, 'refused', 'refused'],
    ['refused by pacing, never sent', QUOTA, UNSENT, 'refused', 'refused'],
    ['refused for want of the store', STORE, UNSENT, 'refused', 'refused'],
    ['refused by the breaker after attempts', OPEN, {}, 'exhausted', 'exhausted'],
    ['refused after an attempt in doubt', OPEN, UNDECIDED, 'unknown', 'exhausted'],
    [
      'unsent when its client left',
      OPEN,
      { ...UNSENT, cancel: cancelled('client_gone') },
      'interrupted',
      'interrupted',
    ],
    [
      'unsent when the process stopped',
      OPEN,
      { ...UNSENT, cancel: cancelled('shutdown') },
      'interrupted',
      'interrupted',
    ],
    ['not sent again since its client left', TURNED_AWAY, { withheld: 'interrupted' }, 'interrupted', 'interrupted'],
    ['lost when its client left', RESET, { cancel: cancelled('client_gone') }, 'unknown', 'interrupted'],
    [
      'refused by the upstream when its client left',
      PERMANENT,
      { cancel: cancelled('client_gone') },
      'permanent',
      'permanent',
    ],
    ['done when its client left', OK, { cancel: cancelled('client_gone') }, null, null],
    ['out of time after attempts', TURNED_AWAY, { cancel: cancelled('deadline') }, 'exhausted', 'exhausted'],
    ['out of time, never sent', OPEN, { ...UNSENT, cancel: cancelled('deadline') }, 'refused', 'refused'],
  ])('%s', (_, outcome, overrides, create, idempotent) => {
    expect(deadReason(call('create', overrides), outcome, 'caller')).toBe(create);
    expect(deadReason(call('idempotent', overrides), outcome, 'caller')).toBe(idempotent);
    expect(deadReason(call('read', overrides), outcome, 'caller')).toBeNull();
  });

  test('the class of the request decides, not that of its endpoint', () => {
    const upsert = exchange({
      policy: policy({ operationClass: 'create' }),
      operationClass: 'idempotent',
      attempts: [record()],
    });
    expect(deadReason(upsert, LOST, 'caller')).toBe('exhausted');
  });

  test('mode observe keeps nothing', () => {
    const observed = exchange({ policy: policy({ mode: 'observe' }), attempts: [record()] });
    expect(deadReason(observed, PERMANENT, 'caller')).toBeNull();
  });

  test('`on` leaves endings out, `writes_only: false` takes reads in', () => {
    const on = new Set<DeadReason>(['unknown']);
    const few = exchange({ policy: policy({ deadLetter: { on, writesOnly: true } }), attempts: [record()] });
    expect([PERMANENT, LOST].map((outcome) => deadReason(few, outcome, 'caller'))).toEqual([null, 'unknown']);
    const all = { on: new Set<DeadReason>(['exhausted']), writesOnly: false };
    const read = exchange({
      policy: policy({ operationClass: 'read', deadLetter: all }),
      operationClass: 'read',
      attempts: [record()],
    });
    expect(deadReason(read, TURNED_AWAY, 'caller')).toBe('exhausted');
  });

  test('`dead_letter: never` of the map speaks of answers to a live caller, never of a create in doubt', () => {
    const gone = answer(404, { class: 'permanent', deadLetter: 'never' });
    expect(deadReason(call('create'), gone, 'caller')).toBeNull();
    expect(deadReason(call('create'), gone, 'nobody')).toBe('permanent');
    expect(deadReason(call('create', UNDECIDED), gone, 'caller')).toBe('unknown');
    const lag = answer(404, { class: 'transient', deadLetter: 'never' });
    expect(deadReason(call('create'), lag, 'caller')).toBeNull();
    expect(deadReason(call('create', { withheld: 'interrupted' }), lag, 'caller')).toBe('interrupted');
  });
});
