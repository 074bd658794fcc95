import { describe, expect, it, onTestFinished } from 'vitest';
import type { OperatorEvent } from '../../src/core/notify.ts';
import type { Operation } from '../../src/core/operation.ts';
import { OPEN_STATES } from '../../src/core/operation-record.ts';
import type { RedriveOrder } from '../../src/core/redrive.ts';
import { type GateState, StoreUnavailable } from '../../src/core/store.ts';
import { refusedVerdict, type Verdict } from '../../src/core/verdict.ts';
import { AutoRedrive } from '../../src/jobs/redrive-auto.ts';
import { Redrives } from '../../src/jobs/redrives.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { testDirectory, testStore } from '../store/files.ts';
import { row as storedRow } from '../store/rows.ts';
import { answered, HandDriven, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const ORDER: RedriveOrder = { filter: {}, velocity: 1, canary: 0, force: false, trigger: 'person' };
const NOBODY_THERE: Partial<Verdict> = { class: 'transient', reason: 'status_503', effect: 'none', repeatable: true };

/** A dead letter of a minute ago. */
const dead = (given: Partial<Operation> & Pick<Operation, 'id'>): Operation => {
  const atMs = Date.now() - 60_000;
  const times = { createdAtMs: atMs, updatedAtMs: atMs, deadAtMs: atMs, sentAtMs: null };
  return storedRow({ state: 'dead', deadReason: 'exhausted', reason: 'status_503', causeId: 'c', ...times, ...given });
};

async function rig(rows: readonly Operation[]) {
  const store = await testStore(testDirectory());
  for (const each of rows) await store.insert(each);
  const inner = new HandDriven();
  const { events } = recordedEvents();
  /** Ends what the next change meets. */
  const faults: Error[] = [];
  const stopping = new AbortController();
  let ids = 0;
  const redrives = new Redrives(
    {
      store: {
        get: (id) => store.get(id),
        byKey: (scope, keyHash) => store.byKey(scope, keyHash),
        listDead: (...given) => store.listDead(...given),
        change: (...given) => {
          const fault = given[1].state === 'redriving' ? undefined : faults.shift();
          return fault === undefined ? store.change(...given) : Promise.reject(fault);
        },
      },
      redrives: store.redrives,
      settings: () =>
        ({
          match: (method: string, target: string) => ({ policy: policyOf(method, target), params: {} }),
          redrive: { velocity: 1, maxAgeMs: 86_400_000 },
          limits: { storedAnswerBytes: 1000 },
          upstream: { credentials: { kind: 'passthrough' } },
        }) as never,
      newId: () => `run-${++ids}`,
      enter: inner.service,
      nameCredential: () => 'name',
      quotas: () => [{ token: 'c0ffee', limit: 100_000, pausedSeconds: 0, pausedEndpoints: {}, waiting: 0 } as never],
      events: events.redrives,
    },
    systemClock,
  );
  await redrives.release();
  await redrives.restore();
  const over = redrives.run(stopping.signal);
  onTestFinished(async () => {
    stopping.abort();
    for (const call of inner.calls) call.answer(answered(200));
    await over;
  });
  const start = async (order: Partial<RedriveOrder> = {}): Promise<string> => {
    const { redrive } = await redrives.start({ ...ORDER, ...order }, null);
    if (redrive === null) throw new Error('nothing to run');
    return redrive.id;
  };
  return { store, inner, faults, redrives, start };
}

function policyOf(method: string, target: string) {
  return method === 'PUT'
    ? policy({ name: 'PUT /contacts/{id}', operationClass: 'idempotent' })
    : policy({ name: `${method} ${target}` });
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 3000; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('never');
}

describe('§9: the rows of a redrive', () => {
  it('on the wire a row is nobody else’s to send, and its end is the one that counts', async () => {
    const { store, inner, redrives, start } = await rig([dead({ id: 'a', formerKeyHash: 'k' })]);
    const id = await start();
    await until(() => inner.calls.length === 1);
    await inner.last.exchange.beforeSend?.();
    expect(await store.get('a')).toMatchObject({ state: 'redriving', effect: 'unknown', keyHash: 'k' });
    const sent = { state: 'sent', updatedAtMs: Date.now() } as const;
    expect(await store.change('a', sent, OPEN_STATES)).toBe(false);
    inner.last.answer(answered(200));
    await until(async () => (await redrives.get(id))?.state === 'done');
    const { state, keyHash, expiresAtMs, createdAtMs } = (await store.get('a')) as Operation;
    expect({ state, keyHash, ttlMs: (expiresAtMs ?? 0) - createdAtMs }).toEqual({
      state: 'succeeded',
      keyHash: 'k',
      ttlMs: 86_400_000,
    });
  });

  it('a key whose caller is back is not taken from it', async () => {
    const live = storedRow({ id: 'live', state: 'sent', keyHash: 'k' });
    const { store, inner, redrives, start } = await rig([dead({ id: 'a', formerKeyHash: 'k' }), live]);
    const id = await start();
    await until(async () => (await redrives.list()).length === 1);
    await store.change('live', { state: 'succeeded', updatedAtMs: Date.now(), effect: 'applied' });
    await until(async () => (await redrives.get(id))?.state === 'done');
    expect(await redrives.rows(id, 0, 10)).toMatchObject([{ result: 'superseded', detail: 'by live' }]);
    expect(inner.calls).toEqual([]);
  });

  it('a store that fails when a row is let go is asked again: the row is dead as before, and its turn comes again', async () => {
    const { store, inner, faults, redrives, start } = await rig([dead({ id: 'a' })]);
    const id = await start();
    await until(() => inner.calls.length === 1);
    faults.push(new StoreUnavailable('the disk is full'));
    const verdict = refusedVerdict('breaker_open', 100);
    const open = { kind: 'refused', by: 'breaker', code: 'holdfast_breaker_open', message: '' } as const;
    inner.last.answer({ ...open, retryAfterMs: 100, verdict });
    await until(() => inner.calls.length === 2);
    inner.last.answer(answered(200));
    await until(async () => (await redrives.get(id))?.state === 'done');
    expect((await redrives.get(id))?.counts).toMatchObject({ succeeded: 1 });
    expect((await store.get('a'))?.state).toBe('succeeded');
  });

  it('of one resource one goes after the other, and the next is looked at when the first has ended', async () => {
    const put = { method: 'PUT', target: '/contacts/7', operationClass: 'idempotent' } as const;
    const rows = [dead({ id: 'b', ...put, createdAtMs: 2 }), dead({ id: 'a', ...put, createdAtMs: 1 })];
    const { store, inner, redrives, start } = await rig(rows);
    const id = await start();
    await until(() => inner.calls.length === 1);
    expect(inner.last.exchange.operation?.id).toBe('a');
    expect(await store.get('b')).toMatchObject({ state: 'dead' });
    await store.change('b', { state: 'superseded', updatedAtMs: 3, supersededBy: 'newer' });
    inner.last.answer(answered(200));
    await until(async () => (await redrives.get(id))?.state === 'done');
    expect((await redrives.get(id))?.counts).toMatchObject({ succeeded: 1, superseded: 1 });
  });

  it.each(['superseded', 'marked'])('one that a success has %s since it was taken is not sent', async (how) => {
    const names = how === 'marked' ? { identity: 'same' } : { naturalKey: 'n', operationClass: 'idempotent' as const };
    const { store, inner, redrives, start } = await rig([dead({ id: 'a', ...names })]);
    const id = await start();
    await until(() => inner.calls.length === 1);
    const { endpoint, scope } = (await store.get('a')) as Operation;
    const nowMs = Date.now();
    const success = { id: 'later', endpoint, scope, keyHash: null, sentAtMs: nowMs, nowMs };
    const anyScope = { naturalKey: null, identity: null };
    await store.supersede({ ...success, naturalKey: 'n', identity: 'same', anyScope });
    await expect(inner.last.exchange.beforeSend?.()).rejects.toThrow();
    const verdict = refusedVerdict('store_unavailable', 100);
    const refusal = { kind: 'refused', by: 'proxy', code: 'holdfast_store_unavailable', message: '' } as const;
    inner.last.answer({ ...refusal, retryAfterMs: 100, verdict });
    await until(async () => (await redrives.get(id))?.state === 'done');
    expect((await redrives.get(id))?.counts).toMatchObject({ superseded: 1 });
    expect(inner.calls).toHaveLength(1);
    const { state, reason } = (await store.get('a')) as Operation;
    expect([state, reason]).toEqual([how === 'marked' ? 'dead' : 'superseded', 'status_503']);
  });

  it('what customers would see late is looked for and not sent, unless it is forced', async () => {
    const atMs = Date.now() - 2 * 86_400_000;
    const late = { method: 'POST', target: '/messages', endpoint: 'POST /messages', createdAtMs: atMs } as const;
    const doubt = { state: 'unknown', effect: 'unknown', sentAtMs: atMs, deadReason: 'unknown' } as const;
    const { inner, redrives, start } = await rig([dead({ id: 'a', ...late, ...doubt })]);
    for (const force of [false, true]) {
      const id = await start({ force });
      await until(() => inner.calls.length > Number(force));
      expect(inner.last.exchange.operation?.doubt).toMatchObject({ lookOnly: !force });
      const verdict = { ...refusedVerdict('outcome_unknown', null), effect: 'unknown' } as const;
      const unknown = { kind: 'refused', by: 'reconcile', code: 'holdfast_outcome_unknown', message: '' } as const;
      inner.last.answer({ ...unknown, retryAfterMs: null, verdict });
      await until(async () => (await redrives.get(id))?.state === 'done');
    }
  });

  it('one that was forced and failed is still superseded for those that are not', async () => {
    const { store, inner, redrives, start } = await rig([dead({ id: 'a', state: 'superseded', supersededBy: 'b' })]);
    const forced = await start({ force: true });
    await until(() => inner.calls.length === 1);
    inner.last.exchange.attempts.push({ effect: 'none', status: 503 } as never);
    inner.last.answer(answered(503, { verdict: { ...refusedVerdict('status_503', null), ...NOBODY_THERE } }));
    await until(async () => (await redrives.get(forced))?.state === 'done');
    expect((await store.get('a'))?.state).toBe('dead');
    expect(await redrives.plan(ORDER)).toMatchObject({ rows: 1, run: 0, superseded: 1 });
  });

  it('after a crash what was on the wire is lost, and what was not is as it was', async () => {
    const wire = { state: 'redriving', redriveId: 'r', reason: 'sent', effect: 'unknown', sentAtMs: 5 } as const;
    const { store } = await rig([
      dead({ id: 'create', ...wire, keyHash: 'k1', formerKeyHash: 'k1', handedOver: true }),
      dead({ id: 'put', ...wire, operationClass: 'idempotent', keyHash: 'k2', formerKeyHash: 'k2' }),
      dead({ id: 'taken', state: 'redriving', redriveId: 'r', keyHash: 'k3', formerKeyHash: 'k3' }),
      dead({ id: 'forced', state: 'redriving', redriveId: 'r', supersededBy: 'b' }),
    ]);
    const shown = async (id: string) => {
      const { state, reason, keyHash, formerKeyHash, redriveId } = (await store.get(id)) as Operation;
      return [state, reason, keyHash, formerKeyHash, redriveId];
    };
    expect(await shown('create')).toEqual(['unknown', 'interrupted', 'k1', 'k1', 'r']);
    expect(await shown('put')).toEqual(['dead', 'interrupted', null, 'k2', 'r']);
    expect(await shown('taken')).toEqual(['dead', 'status_503', null, 'k3', null]);
    expect(await shown('forced')).toEqual(['superseded', 'status_503', null, null, null]);
  });
});

const breaker = (to: 'open' | 'half_open' | 'closed'): OperatorEvent => ({
  kind: 'breaker',
  endpoint: 'POST /contacts',
  to,
});

async function auto(gates: readonly GateState[] = []) {
  const clock = new VirtualClock();
  const store = await testStore(testDirectory());
  const kept: GateState[] = [];
  const started: RedriveOrder[] = [];
  const settings = { deadLetters: { autoRedrive: true }, redrive: { velocity: 0.1 } } as never;
  const job = new AutoRedrive(
    {
      settings: () => settings,
      store,
      start: (order) => Promise.resolve(started.push(order)),
      keep: (gate) => kept.push(gate),
      bug: (error) => {
        throw error;
      },
    },
    clock,
  );
  job.restore(gates);
  return { clock, store, kept, started, job };
}

describe('dead_letters.auto_redrive', () => {
  it('sends again what the open time made, refused rows included, and nothing else', async () => {
    const { clock, store, started, job } = await auto();
    const put = (id: string, given: Partial<Operation> = {}) =>
      store.insert(dead({ id, deadAtMs: clock.wall(), ...given }));
    await put('before');
    await clock.advance(10);
    job.take(breaker('open'));
    await put('exhausted');
    await put('refused', { deadReason: 'refused' });
    await put('permanent', { deadReason: 'permanent' });
    await put('other', { endpoint: 'POST /tags' });
    for (const to of ['half_open', 'open', 'half_open', 'closed'] as const) job.take(breaker(to));
    await clock.advance(10);
    await put('after');
    await until(() => started.length === 1);
    expect(started[0]?.filter.ids?.toSorted()).toEqual(['exhausted', 'refused']);
    job.take(breaker('closed'));
    expect(started).toHaveLength(1);
  });

  it('a restart in the middle of an outage does not forget when it began', async () => {
    const first = await auto();
    first.job.take(breaker('open'));
    const open: GateState = { kind: 'breaker', name: 'POST /contacts', value: '{"kind":"open"}', expiresAtMs: 1e15 };
    const { clock, store, kept, started, job } = await auto([open, ...first.kept]);
    await store.insert(dead({ id: 'earlier', deadAtMs: clock.wall(), deadReason: 'refused' }));
    await clock.advance(1000);
    job.take(breaker('half_open'));
    job.take(breaker('closed'));
    await until(() => started.length === 1);
    expect(started[0]?.filter.ids).toEqual(['earlier']);
    expect(kept.at(-1)).toMatchObject({ kind: 'opened', expiresAtMs: 0 });
    const closed = await auto(first.kept);
    closed.job.take(breaker('closed'));
    expect(closed.started).toEqual([]);
  });
});
