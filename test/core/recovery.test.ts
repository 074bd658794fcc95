import { describe, expect, it } from 'vitest';
import { effectOfAttempts, mayHaveTakenEffect } from '../../src/core/exchange.ts';
import { TRANSITIONS } from '../../src/core/operation.ts';
import { exchangeOfOperation } from '../../src/core/operation-exchange.ts';
import { headerOf } from '../../src/core/raw-headers.ts';
import { isDetectable, mayStillBeSent, recoveryOf } from '../../src/core/recovery.ts';
import type { OpenOperation } from '../../src/core/store.ts';
import { NOW_MS, row } from '../store/rows.ts';
import { record } from '../support/attempt-records.ts';
import { policy } from '../support/exchanges.ts';

const open = (given: Partial<OpenOperation>): OpenOperation => row({ id: 'o', ...given });

describe('what becomes of an operation after a crash', () => {
  it('reserved: a keyed one lets its key go, another is dead, interrupted, without effect', () => {
    expect(recoveryOf(open({ state: 'reserved', keyHash: 'k' }), NOW_MS)).toEqual({ kind: 'remove' });
    for (const operationClass of ['create', 'idempotent'] as const) {
      expect(recoveryOf(open({ state: 'reserved', operationClass }), NOW_MS)).toMatchObject({
        kind: 'bury',
        change: { state: 'dead', deadReason: 'interrupted', effect: 'none' },
      });
    }
  });

  it('sent: a create is unknown and keeps its key; an idempotent write is dead and its key is free', () => {
    const create = recoveryOf(open({ state: 'sent', keyHash: 'k' }), NOW_MS);
    expect(create).toMatchObject({ kind: 'doubt', change: { state: 'unknown', effect: 'unknown', expiresAtMs: null } });
    expect(create).not.toHaveProperty('change.keyHash');
    expect(recoveryOf(open({ state: 'sent', operationClass: 'idempotent', keyHash: 'k' }), NOW_MS)).toMatchObject({
      kind: 'bury',
      change: { state: 'dead', deadReason: 'interrupted', effect: 'unknown', keyHash: null },
    });
  });

  it('unknown: a create is looked for again, an idempotent write is dead', () => {
    expect(recoveryOf(open({ state: 'unknown' }), NOW_MS)).toEqual({ kind: 'look' });
    expect(recoveryOf(open({ state: 'unknown', operationClass: 'idempotent' }), NOW_MS)).toMatchObject({
      kind: 'bury',
      change: { deadReason: 'unknown', keyHash: null },
    });
  });

  it('succeeded and undelivered: held for its caller, nothing is written', () => {
    expect(recoveryOf(open({ state: 'succeeded' }), NOW_MS)).toEqual({ kind: 'hold' });
  });

  it('asks for no change that the states forbid', () => {
    for (const state of ['reserved', 'sent', 'unknown'] as const) {
      for (const operationClass of ['create', 'idempotent', 'read'] as const) {
        for (const keyHash of [null, 'k']) {
          const step = recoveryOf(open({ state, operationClass, keyHash }), NOW_MS);
          if ('change' in step) expect(TRANSITIONS[state]).toContain(step.change.state);
        }
      }
    }
  });
});

describe('whether a recovered create may be sent again', () => {
  const { idempotency } = policy();

  it('without a key only while a hold keeps its caller from sending it again as another one', () => {
    expect(mayStillBeSent(row({ id: 'o' }), idempotency, NOW_MS + 599_999)).toBe(true);
    expect(mayStillBeSent(row({ id: 'o' }), idempotency, NOW_MS + 600_000)).toBe(false);
  });

  it('under a key as long as the key lives', () => {
    expect(mayStillBeSent(row({ id: 'o', keyHash: 'k' }), idempotency, NOW_MS + 86_399_999)).toBe(true);
    expect(mayStillBeSent(row({ id: 'o', keyHash: 'k' }), idempotency, NOW_MS + 86_400_000)).toBe(false);
  });

  it('never by a wall clock that was set back, nor when its first send is not known', () => {
    expect(mayStillBeSent(row({ id: 'o' }), idempotency, NOW_MS - 1)).toBe(false);
    expect(mayStillBeSent(row({ id: 'o', sentAtMs: null }), idempotency, NOW_MS)).toBe(false);
  });

  it('nothing is found out without a probe or a guard', () => {
    expect(isDetectable(policy())).toBe(false);
    expect(isDetectable(policy({ guardedBy: { holds: () => Promise.resolve(true) } as never }))).toBe(true);
  });
});

describe('an operation as an exchange again', () => {
  const match = { policy: policy(), params: { id: '7' } };
  const run = { id: 'x', nowMs: 5000, deadlineAtMs: 65_000, priority: 7, lookOnly: false };

  it('is what was sent, under the credential of its caller and the rules of now', () => {
    const operation = row({ id: 'o', state: 'unknown', looks: 3 });
    const exchange = exchangeOfOperation(operation, match, run);
    expect(exchange).toMatchObject({
      id: 'x',
      method: 'POST',
      target: '/contacts?a=1',
      body: { kind: 'bytes', bytes: operation.body },
      params: { id: '7' },
      scope: 'scope-a',
      credentialRef: 'c0ffee',
      idempotencyKey: null,
      operationClass: 'create',
      deadlineAtMs: 65_000,
      priority: 7,
      operation: { id: 'o', recorded: true, sentAtMs: NOW_MS, doubt: { looks: 3, lookOnly: false } },
    });
    expect(exchange.policy).toBe(match.policy);
    expect(headerOf(exchange.headers, 'authorization')).toBe('Bearer planted-credential');
    expect(
      headerOf(exchangeOfOperation({ ...operation, credential: null }, match, run).headers, 'authorization'),
    ).toBeNull();
    expect(operation.headers).toHaveLength(4);
  });

  it('carries its history: what an earlier run may have done is not forgotten', () => {
    const attempts = [record({ effect: 'unknown' })];
    const exchange = exchangeOfOperation(row({ id: 'o', state: 'unknown', effect: 'unknown', attempts }), match, run);
    expect(exchange.attempts).toEqual(attempts);
    expect(exchange.attempts).not.toBe(attempts);
    expect(mayHaveTakenEffect(exchange)).toBe(true);
    expect(effectOfAttempts(exchange)).toBe('unknown');
  });

  it('is in no doubt when nothing was sent, or nothing came of it', () => {
    expect(
      exchangeOfOperation(row({ id: 'o', state: 'waiting', sentAtMs: null }), match, run).operation?.doubt,
    ).toBeNull();
    const refused = row({ id: 'o', state: 'dead', effect: 'none' });
    expect(exchangeOfOperation(refused, match, run).operation?.doubt).toBeNull();
  });

  it('cannot send a body that was not kept: it only looks', () => {
    const exchange = exchangeOfOperation(row({ id: 'o', body: null, bodyKept: false }), match, run);
    expect(exchange.body).toMatchObject({ kind: 'stream', opened: true });
    expect(exchange.operation?.doubt).toMatchObject({ lookOnly: true });
    expect(exchangeOfOperation(row({ id: 'o', body: null }), match, run).body).toEqual({ kind: 'none' });
  });
});
