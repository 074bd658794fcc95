import { Registry } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { LANE_MAX, RUNNING_MAX } from '../../src/core/queue-lanes.ts';
import { createQueue } from '../../src/jobs/queue.ts';
import type { Log } from '../../src/ops/log.ts';
import { QueueEvents } from '../../src/ops/queue-events.ts';
import { row } from '../store/rows.ts';
import { refused, transient } from '../support/attempt-records.ts';
import { answered, HandDriven, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function rig(rows: readonly Operation[]) {
  const clock = new VirtualClock();
  const store = new MemoryStore();
  for (const each of rows) await store.insert(each);
  const { events, named } = recordedEvents();
  const inner = new HandDriven();
  const log = { isLevelEnabled: () => false } as unknown as Log;
  const busy = new Set<string>();
  const own = policy();
  const queue = createQueue({
    store,
    events,
    queueEvents: new QueueEvents(log, new Registry(), store, () => clock.wall()),
    settings: () => ({ match: () => ({ policy: own, params: {} }) }) as never,
    newId: () => 'run',
    resume: (exchange) => (busy.has(exchange.operation?.id ?? '') ? null : inner.service(exchange)),
  });
  const stopping = new AbortController();
  const over = queue.run(clock, stopping.signal);
  const turn = async (ms = 0): Promise<void> => {
    await clock.advance(ms);
    await clock.settle();
  };
  /** Ends a run as the ledger layer would: its row first. */
  const end = async (
    id: string,
    outcome: Outcome,
    change: Partial<Operation> = { state: 'succeeded' },
  ): Promise<void> => {
    const call = inner.calls.findLast(({ exchange }) => exchange.operation?.id === id);
    await store.change(id, { state: 'succeeded', updatedAtMs: clock.wall(), dueAtMs: null, ...change } as never);
    call?.answer(outcome);
    await turn(10);
  };
  const runs = (): string[] => inner.calls.map(({ exchange }) => exchange.operation?.id ?? '');
  stops.push(async () => {
    stopping.abort();
    for (const { answer } of inner.calls) answer(answered(200));
    await turn(10);
    await over;
  });
  await turn();
  return { clock, store, named, inner, busy, queue, stopping, over, turn, end, runs };
}

const START_MS = Date.UTC(2026, 0, 1);
const queued = (id: string, given: Partial<Operation> = {}): Operation =>
  row({
    id,
    state: 'waiting',
    handedOver: true,
    lane: 'a',
    sentAtMs: null,
    createdAtMs: START_MS,
    dueAtMs: START_MS - 60_000,
    ...given,
  });
const breakerOpen = refused('breaker', { verdict: transient({ effect: 'none', retryAfterMs: 3000 }) });

describe('§8: the runner', () => {
  it('begins gently after a restart, however much is long due, and grows with what gets through', async () => {
    const r = await rig(Array.from({ length: 40 }, (_, i) => queued(`${i}`)));
    const atOnce = [r.runs().length];
    for (let i = 0; i < 40; i++) {
      await r.end(`${i}`, answered(200));
      atOnce.push(r.runs().length - i - 1);
    }
    expect(atOnce.slice(0, 3)).toEqual([1, 2, 4]);
    expect(Math.max(...atOnce)).toBe(LANE_MAX);
    expect(r.runs()).toHaveLength(40);
    expect(new Set(r.runs()).size).toBe(40);
  });

  it('runs what was handed over at once when it is woken, and without a word within seconds', async () => {
    const r = await rig([]);
    await r.store.insert(queued('a'));
    r.queue.wake();
    await r.turn(10);
    expect(r.runs()).toEqual(['a']);
    await r.store.insert(queued('b', { lane: 'b' }));
    await r.turn(2100);
    expect(r.runs()).toEqual(['a', 'b']);
  });

  it('gives a run its own patience, its history and its ticket, behind everybody who waits', async () => {
    const r = await rig([queued('a', { sentAtMs: START_MS, effect: 'none' })]);
    expect(r.inner.last.exchange).toMatchObject({
      priority: 7,
      unattended: true,
      queue: { stage: 'accepted', createdAtMs: START_MS },
    });
    expect(r.inner.last.exchange.deadlineAtMs - r.clock.now()).toBe(120_000);
    const lookLater = await rig([queued('b', { state: 'unknown', handedOver: false, sentAtMs: START_MS })]);
    expect(lookLater.inner.last.exchange.queue?.stage).toBe('look');
    expect(lookLater.inner.last.exchange.operation?.doubt).toMatchObject({ lookOnly: false });
  });

  it('a lane that an open breaker refuses waits, and keeps no other lane waiting', async () => {
    const r = await rig([queued('a1'), queued('a2'), queued('b1', { lane: 'b' })]);
    expect(r.runs()).toEqual(['a1', 'b1']);
    await r.end('a1', breakerOpen, { state: 'waiting', dueAtMs: START_MS - 60_000 });
    expect(r.runs()).toEqual(['a1', 'b1']);
    await r.end('b1', answered(200));
    await r.turn(3000);
    expect(r.runs()).toEqual(['a1', 'b1', 'a1']);
  });

  it('lanes share what may run at once: a full one keeps no later one waiting until it is empty', async () => {
    const lanes = ['a', 'b', 'c', 'd'];
    const r = await rig(
      lanes.flatMap((lane) => Array.from({ length: 60 }, (_, i) => queued(`${lane}${i}`, { lane, createdAtMs: i }))),
    );
    let ended = 0;
    const endNext = (): Promise<void> => r.end(r.runs()[ended++] ?? '', answered(200));
    while (r.runs().length - ended < RUNNING_MAX) await endNext();
    await r.store.insert(queued('late', { lane: 'z' }));
    for (let i = 0; i < 3; i++) await endNext();
    expect(r.runs()).toContain('late');
  });

  it('writes to one resource run one after the other, in their order, also over lanes', async () => {
    const r = await rig([
      queued('1', { resource: 'r' }),
      queued('2', { resource: 'r', lane: 'b' }),
      queued('3', { resource: 'r' }),
    ]);
    expect(r.runs()).toEqual(['1']);
    for (const id of ['1', '2', '3']) await r.end(id, answered(200));
    expect(r.runs()).toEqual(['1', '2', '3']);
  });

  it('leaves alone what its caller has just sent again', async () => {
    const r = await rig([queued('a')]);
    expect(r.runs()).toEqual(['a']);
    const busy = await rig([]);
    busy.busy.add('b');
    await busy.store.insert(queued('b'));
    busy.queue.wake();
    await busy.turn(10);
    expect(busy.runs()).toEqual([]);
    busy.busy.clear();
    await busy.turn(3000);
    expect(busy.runs()).toEqual(['b']);
  });

  it('a store that cannot be read stops nothing: it goes on when the store does', async () => {
    const r = await rig([]);
    await r.store.insert(queued('a'));
    r.store.fault = 'disk full';
    await r.turn(10_000);
    expect(r.runs()).toEqual([]);
    r.store.fault = null;
    await r.turn(3000);
    expect(r.runs()).toEqual(['a']);
    expect(r.named('bug')).toEqual([]);
  });

  it('a stop ends the waits of what runs, and is over when that is', async () => {
    const r = await rig([queued('a'), queued('b', { lane: 'b' })]);
    r.stopping.abort();
    await r.turn();
    expect(r.inner.calls.map(({ exchange }) => exchange.cancel.reason)).toEqual(['shutdown', 'shutdown']);
    let isOver = false;
    void r.over.then(() => (isOver = true));
    await r.turn(60_000);
    expect(isOver).toBe(false);
    for (const { answer } of r.inner.calls) answer(breakerOpen);
    await r.turn();
    expect(isOver).toBe(true);
  });
});
