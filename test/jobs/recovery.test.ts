import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { OperatorEvent } from '../../src/core/notify.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { LookRecord } from '../../src/core/reconcile.ts';
import type { GateState, OpenOperation } from '../../src/core/store.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { createRecovery } from '../../src/jobs/recovery.ts';
import { row as storedRow } from '../store/rows.ts';
import { answered, HandDriven, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const GUARDED = policy({ guardedBy: { holds: () => Promise.resolve(true) } as never });

async function rig(rows: readonly Operation[], own: EndpointPolicy = GUARDED) {
  const clock = new VirtualClock();
  const store = new MemoryStore();
  for (const each of rows) await store.insert(each);
  const { events, metrics, named } = recordedEvents();
  const inner = new HandDriven();
  const held: OpenOperation[] = [];
  const gates: GateState[] = [];
  /** A caller runs them already, when they are to be resumed for the first time. */
  const busy = new Set<string>();
  const stopping = new AbortController();
  let ids = 0;
  const recovery = createRecovery({
    store,
    events,
    settings: () => ({ policies: [own], match: () => ({ policy: own, params: {} }) }) as never,
    newId: () => `run-${++ids}`,
    restoreGates: (given) => gates.push(...given),
    restoreOperations: (open) => held.push(...open),
    resume: (exchange) => (busy.delete(exchange.operation?.id ?? '') ? null : inner.service(exchange)),
  });
  /** Answers the run of an operation. */
  const answer = async (id: string, outcome: Outcome, looks: readonly LookRecord[] = []): Promise<Exchange> => {
    const call = inner.calls.findLast(({ exchange }) => exchange.operation?.id === id);
    if (call === undefined) throw new Error(`${id} does not run`);
    call.exchange.looks.push(...looks);
    call.answer(outcome);
    await clock.settle();
    return call.exchange;
  };
  const runs = (): (string | undefined)[] => inner.calls.map(({ exchange }) => exchange.operation?.id);
  return { clock, store, events, metrics, named, inner, held, gates, busy, stopping, recovery, answer, runs };
}

/** A row of a minute before the start of the virtual clock. */
const row = (given: Partial<Operation> & Pick<Operation, 'id'>): Operation => {
  const atMs = Date.UTC(2026, 0, 1) - 60_000;
  return storedRow({ createdAtMs: atMs, updatedAtMs: atMs, sentAtMs: atMs, ...given });
};
const look = (result: LookRecord['result']): LookRecord => ({
  n: 1,
  startedAtMs: 0,
  durationMs: 1,
  request: 'GET /contacts/7',
  status: 200,
  result,
});
const unknown = (by = 'reconcile'): Outcome => ({
  kind: 'refused',
  by,
  code: 'holdfast_outcome_unknown',
  message: '',
  retryAfterMs: null,
  verdict: { ...refusedVerdict('outcome_unknown', null), effect: 'unknown' },
});

describe('crash recovery', () => {
  it('decides on everything that is open before the first call, and sends nothing', async () => {
    const r = await rig([
      row({ id: 'keyed', state: 'reserved', keyHash: 'k', sentAtMs: null }),
      row({ id: 'plain', state: 'reserved', sentAtMs: null }),
      row({ id: 'put', operationClass: 'idempotent', keyHash: 'k2' }),
      row({ id: 'create', keyHash: 'k3' }),
      row({ id: 'lost', state: 'unknown', effect: 'unknown' }),
      row({ id: 'late', state: 'succeeded' }),
      row({ id: 'done', state: 'succeeded', delivered: true }),
    ]);
    r.store.keepGate({ kind: 'pause', name: 'c0ffee', value: '{}', expiresAtMs: r.clock.wall() + 1 });
    await r.recovery.restore(r.clock);
    const states = Object.fromEntries(r.store.rows().map(({ id, state, keyHash }) => [id, [state, keyHash]]));
    expect(states).toEqual({
      plain: ['dead', null],
      put: ['dead', null],
      create: ['unknown', 'k3'],
      lost: ['unknown', null],
      late: ['succeeded', null],
      done: ['succeeded', null],
    });
    expect(r.held.map(({ id, state }) => `${id} ${state}`)).toEqual([
      'create unknown',
      'lost unknown',
      'late succeeded',
    ]);
    expect(r.gates).toHaveLength(1);
    expect(r.inner.calls).toHaveLength(0);
    expect(r.named('recovered')).toMatchObject([{ released: 1, dead: 2, unknown: 2, unwritten: 0 }]);
    const attempts = (await r.store.get('create'))?.attempts;
    expect(attempts).toMatchObject([{ n: 1, sent: 'maybe', effect: 'unknown', reason: 'interrupted' }]);
  });

  it('§9: tells of what a kill made dead letters, at once of those that nothing will look for', async () => {
    const kinds = [
      row({ id: 'plain', state: 'reserved', sentAtMs: null }),
      row({ id: 'put', operationClass: 'idempotent' }),
      row({ id: 'create' }),
      row({ id: 'lost', state: 'unknown', effect: 'unknown' }),
    ];
    const told = async (own: EndpointPolicy) => {
      const r = await rig(kinds, own);
      const heard: OperatorEvent[] = [];
      r.events.listen((event) => heard.push(event));
      await r.recovery.restore(r.clock);
      const count = (await r.metrics.deadLetters.get()).values.reduce((sum, { value }) => sum + value, 0);
      expect(count).toBe(heard.length);
      return heard.map((event) => (event.kind === 'dead_letter' ? event.reason : event.kind));
    };
    expect(await told(GUARDED)).toEqual(['interrupted', 'interrupted']);
    expect(await told(policy())).toEqual(['interrupted', 'interrupted', 'unknown']);
  });

  it('§9: keeps no dead letter that the endpoint does not keep; its key is free, and what is in doubt is held', async () => {
    const own = { ...GUARDED, deadLetter: { on: new Set(['exhausted'] as const), writesOnly: true } };
    const r = await rig(
      [
        row({ id: 'plain', state: 'reserved', sentAtMs: null }),
        row({ id: 'put', operationClass: 'idempotent', keyHash: 'k' }),
        row({ id: 'create', keyHash: 'k2' }),
        row({ id: 'kept', operationClass: 'idempotent', deadReason: 'exhausted', deadAtMs: 1 }),
      ],
      own,
    );
    const heard: OperatorEvent[] = [];
    r.events.listen((event) => heard.push(event));
    await r.recovery.restore(r.clock);
    expect(r.store.rows().map(({ id, state, deadReason, keyHash }) => [id, state, deadReason, keyHash])).toEqual([
      ['create', 'unknown', null, 'k2'],
      ['kept', 'dead', 'interrupted', null],
    ]);
    expect(r.held.map(({ id }) => id)).toEqual(['create']);
    expect(r.named('recovered')).toMatchObject([{ released: 2, dead: 1, unknown: 1 }]);
    expect(heard).toHaveLength(1);
  });

  it('looks for the youngest first, one at first, then a few at a time, behind every live call', async () => {
    const rows = Array.from({ length: 12 }, (_, i) => row({ id: `o${i}`, sentAtMs: 1000 + i }));
    const r = await rig(rows);
    await r.recovery.restore(r.clock);
    const ended = r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    expect(r.runs()).toEqual(['o11']);
    expect(r.inner.last.exchange).toMatchObject({ priority: 7, operation: { doubt: { looks: 0 } } });
    let most = 0;
    for (let i = 11; i >= 0; i--) {
      most = Math.max(most, r.inner.calls.length - (11 - i));
      await r.answer(`o${i}`, answered(200));
    }
    await ended;
    expect(most).toBe(6);
    expect(r.runs()).toEqual(rows.map(({ id }) => id).reverse());
    expect(r.clock.pending).toBe(0);
  });

  it('leaves out what was settled meanwhile, what nobody can look for, and mode observe', async () => {
    const settled = await rig([row({ id: 'a' })]);
    await settled.recovery.restore(settled.clock);
    await settled.store.change('a', { state: 'succeeded', updatedAtMs: 1 });
    await settled.recovery.run(settled.clock, settled.stopping.signal);
    expect(settled.runs()).toEqual([]);
    for (const own of [policy(), { ...GUARDED, mode: 'observe' as const }]) {
      const r = await rig([row({ id: 'a' })], own);
      await r.recovery.restore(r.clock);
      await r.recovery.run(r.clock, r.stopping.signal);
      expect(r.runs()).toEqual([]);
      expect(r.store.rows()[0]?.state).toBe('unknown');
      expect(r.held).toHaveLength(1);
    }
  });

  it('only looks for a create without a key that is older than a hold: its caller may have sent it again', async () => {
    const old = row({ id: 'old', sentAtMs: Date.UTC(2026, 0, 1) - 600_000 });
    const r = await rig([old, row({ id: 'young' })]);
    await r.recovery.restore(r.clock);
    void r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    expect((await r.answer('young', answered(200))).operation?.doubt?.lookOnly).toBe(false);
    expect((await r.answer('old', answered(200))).operation?.doubt?.lookOnly).toBe(true);
  });

  it('looks again later when the upstream could not be asked, and rests when it could', async () => {
    const r = await rig([row({ id: 'a', sentAtMs: 2 + Date.UTC(2026, 0, 1) - 60_000 }), row({ id: 'b' })]);
    await r.recovery.restore(r.clock);
    const ended = r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    await r.answer('a', unknown('breaker'), [look('failed')]);
    await r.answer('b', unknown(), [look('absent')]);
    await r.clock.advance(9_000);
    expect(r.runs()).toEqual(['a', 'b']);
    await r.clock.advance(1_000);
    expect(r.runs()).toEqual(['a', 'b', 'a']);
    await r.answer('a', unknown('breaker'));
    await r.clock.advance(60_000);
    const settled = Promise.resolve(answered(200, { from: 'reconcile' }));
    await r.answer('a', { ...unknown('deadline'), settled });
    await ended;
    expect(r.runs()).toEqual(['a', 'b', 'a', 'a']);
    expect(r.clock.pending).toBe(0);
  });

  it('leaves a run to the caller that has begun it, and sees later whether that settled it', async () => {
    const r = await rig([row({ id: 'a' }), row({ id: 'b' })]);
    r.busy.add('a').add('b');
    await r.recovery.restore(r.clock);
    const ended = r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    await r.store.change('a', { state: 'succeeded', updatedAtMs: 1 });
    await r.clock.advance(10_000);
    expect(r.runs()).toEqual(['b']);
    await r.answer('b', answered(200));
    await ended;
  });

  it('ends with the process: what runs is told, what waits is left in the ledger', async () => {
    const r = await rig([row({ id: 'a' }), row({ id: 'b' })]);
    await r.recovery.restore(r.clock);
    const ended = r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    r.stopping.abort();
    expect(r.inner.last.exchange.cancel.signal.reason).toBe('shutdown');
    await r.answer('a', unknown());
    await ended;
    expect(r.runs()).toEqual(['a']);
    expect(r.clock.pending).toBe(0);
  });

  it('says that the store cannot be read, and lets everything else begin', async () => {
    const r = await rig([row({ id: 'a' })]);
    r.store.fault = 'the file is damaged';
    expect(await r.recovery.restore(r.clock)).toBe(false);
    expect(r.named('recovery_failed')).toMatchObject([{ fault: expect.stringContaining('damaged') as string }]);
    expect(r.held).toEqual([]);
  });

  it('takes a store up that can be read only later: what is older than this process, and no gate', async () => {
    const r = await rig([row({ id: 'old', createdAtMs: -2, updatedAtMs: -1 })]);
    r.store.keepGate({ kind: 'pause', name: 'c0ffee', value: '{}', expiresAtMs: r.clock.wall() + 60_000 });
    r.store.fault = 'the disk is full';
    await r.recovery.restore(r.clock);
    expect(await r.recovery.restore(r.clock)).toBe(false);
    expect(r.named('recovery_failed')).toHaveLength(1);
    await r.clock.advance(1000);
    r.store.fault = null;
    await r.store.insert(row({ id: 'mine', createdAtMs: -2, updatedAtMs: r.clock.wall() }));
    expect(await r.recovery.restore(r.clock)).toBe(true);
    expect(r.held.map(({ id, state }) => `${id} ${state}`)).toEqual(['old unknown']);
    expect((await r.store.get('mine'))?.state).toBe('sent');
    expect(r.gates).toEqual([]);
    void r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    expect(r.runs()).toEqual(['old']);
  });

  it('a bug in one run ends that run only', async () => {
    const r = await rig([row({ id: 'a' }), row({ id: 'b' })]);
    await r.recovery.restore(r.clock);
    void r.recovery.run(r.clock, r.stopping.signal);
    await r.clock.settle();
    await r.answer('a', Promise.reject(new Error('oh')) as never);
    expect(r.named('bug')).toHaveLength(1);
    expect(r.runs()).toEqual(['a', 'b']);
  });
});
