import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import type { BodyCondition, EndpointPolicy, Expression } from '../../src/core/policy.ts';
import { DeadTally } from '../../src/core/supersede.ts';
import { deadLetter } from '../../src/layers/dead-letter.ts';
import { failed, noteAttempt, record, refused } from '../support/attempt-records.ts';
import { answered, exchange, policy, verdict } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const PERMANENT = (): Outcome =>
  answered(422, { verdict: verdict({ class: 'permanent', reason: 'parameter_invalid', effect: 'none' }) });
const NEVER = (): Outcome =>
  answered(404, { verdict: verdict({ class: 'permanent', effect: 'none', deadLetter: 'never' }) });
const OK = (): Outcome => answered(200);
const OPEN = (): Outcome => refused('breaker');

function rig(store = new MemoryStore()) {
  const recorded = recordedEvents();
  const clock = new VirtualClock();
  const dead = new DeadTally();
  let made = 0;
  const layer = deadLetter({
    store,
    clock,
    events: recorded.events,
    newId: () => `row-${++made}`,
    namesKey: NAMES_KEY,
    passthrough: () => true,
    configHash: () => 'config-1',
    dead,
  });
  /** Runs a call that ends so, and came in now or earlier; with an attempt unless it was refused. */
  const run = (x: Exchange, outcome: Outcome, sinceMs = 0): Promise<Outcome> =>
    layer(async () => {
      if (outcome.kind !== 'refused') noteAttempt(x, outcome, { startedAtMs: clock.wall() });
      await clock.advance(10);
      return outcome;
    })(Object.assign(x, { receivedAtMs: clock.now() - sinceMs }));
  return { ...recorded, store, clock, dead, run };
}

function write(rules: Partial<EndpointPolicy> = {}, given: Partial<Exchange> & { text?: string } = {}): Exchange {
  const { text = '{"email":"a@example.com"}', ...rest } = given;
  return exchange({
    policy: policy(rules),
    headers: ['Content-Type', 'application/json', 'Authorization', 'Bearer secret', 'Cookie', 'a=b'],
    body: { kind: 'bytes', bytes: Buffer.from(text) },
    ...rest,
  });
}

const PUT = { name: 'PUT /contacts/{id}', operationClass: 'idempotent' } as const;
const put = (text: string, given: Partial<Exchange> = {}): Exchange =>
  write(PUT, { method: 'PUT', target: '/contacts/7', text, ...given });

const always: BodyCondition = { source: 'true', holds: async () => true };
const email: Expression = {
  source: 'email',
  evaluate: async (body: unknown) => (body as { email?: string }).email,
} as unknown as Expression;
const GUARDED = { guardedBy: always, naturalKey: email } as const;

describe('dead-letter', () => {
  it('§9: keeps a write that failed for good before its caller is answered, with its history, without credentials', async () => {
    const r = rig();
    const x = write({}, { context: { workflow: 'enrich' } });
    const outcome = PERMANENT();
    expect(await r.run(x, outcome)).toBe(outcome);
    const [row] = r.store.rows();
    expect(row).toMatchObject({
      id: 'row-1',
      state: 'dead',
      deadReason: 'permanent',
      effect: 'none',
      reason: 'parameter_invalid',
      context: { workflow: 'enrich' },
      configHash: 'config-1',
      credential: 'Bearer secret',
      count: 1,
    });
    expect(row?.attempts).toHaveLength(1);
    expect(row?.headers).toEqual(['Content-Type', 'application/json']);
    expect(row?.causeLabel).toContain('POST /contacts 422');
    expect(x.fate).toMatchObject({ id: 'row-1', reason: 'permanent', stored: true });
  });

  it('§9: counts equal refused writes in one row, and every answer names it', async () => {
    const r = rig();
    const calls = [write(), write(), write()];
    for (const x of calls) await r.run(x, OPEN());
    expect(r.store.rows()).toHaveLength(1);
    expect(r.store.rows()[0]).toMatchObject({ deadReason: 'refused', count: 3, sentAtMs: null });
    expect(calls.map(({ fate }) => fate?.id)).toEqual(['row-1', 'row-1', 'row-1']);
  });

  it('leaves the row of a recorded operation to its final record', async () => {
    const r = rig();
    const x = write({}, { operation: { id: 'op-1', recorded: true, sentAtMs: 5, doubt: null } });
    await r.run(x, PERMANENT());
    expect(r.store.rows()).toEqual([]);
    expect(x.fate).toMatchObject({ id: 'op-1', stored: false });
  });

  it('passes reads, successes and mode observe by', async () => {
    const r = rig();
    await r.run(write({ operationClass: 'read' }), failed('reset'));
    await r.run(write({ mode: 'observe' }), PERMANENT());
    await r.run(write(), OK());
    expect(r.store.rows()).toEqual([]);
  });

  it('keeps what ended behind an early answer, once it has ended', async () => {
    const r = rig();
    const x = write();
    const early = await r.run(x, { ...OPEN(), settled: Promise.resolve(PERMANENT()) });
    await early.settled;
    expect(r.store.rows()).toHaveLength(1);
  });

  it('§8, §9: what ends behind the 202 of a hand-over has no caller any more, and is kept whatever the map says', async () => {
    const r = rig();
    const ticket = { createdAtMs: r.clock.wall() } as const;
    await r.run(write(), NEVER());
    await r.run(write({}, { queue: { ...ticket, stage: 'offered' } }), NEVER());
    expect(r.store.rows()).toEqual([]);
    await r.run(write({}, { queue: { ...ticket, stage: 'accepted' } }), NEVER());
    // Its time is up, and the 202 is being written.
    const tried = write({ idempotentIf: null }, { queue: { ...ticket, stage: 'offered' } });
    tried.cancel.abort('deadline');
    await (await r.run(tried, NEVER())).settled;
    expect(r.store.rows()).toHaveLength(2);
  });

  it('changes no answer when the store will not have it: that is logged and counted', async () => {
    const store = new MemoryStore();
    store.fault = 'disk full';
    const r = rig(store);
    const x = write();
    const outcome = PERMANENT();
    expect(await r.run(x, outcome)).toBe(outcome);
    expect(x.fate).toBeNull();
    expect(r.named('dead_letter_lost')).toHaveLength(1);
    const lost = await r.metrics.registry.getSingleMetricAsString('holdfast_dead_letters_lost_total');
    expect(lost).toContain('{endpoint="POST /contacts"} 1');
  });

  it('warns of the first of a group and tells the others at info', async () => {
    const r = rig();
    for (let i = 0; i < 3; i++) await r.run(write({}, { text: `{"n":${i}}` }), PERMANENT());
    expect(r.named('dead_letter').map(({ level }) => level)).toEqual(['warn', 'info', 'info']);
  });
});

const settled = (r: ReturnType<typeof rig>) => r.clock.advance(1);
const states = (r: ReturnType<typeof rig>) => r.store.rows().map(({ state }) => state);

describe('supersession (§9)', () => {
  it('an idempotent write to the same resource that names the same members supersedes', async () => {
    const r = rig();
    await r.run(put('{"name":"a"}'), failed('connect'));
    await r.run(put('{"name":"b"}'), OK());
    await settled(r);
    expect(states(r)).toEqual(['superseded']);
    expect(r.named('dead_letter_superseded')).toMatchObject([{ operation: 'row-1', certain: true }]);
  });

  it('one that names other members, or another resource, does not: a lost field stays lost', async () => {
    const r = rig();
    await r.run(put('{"name":"a"}'), failed('connect'));
    await r.run(put('{"email":"b@example.com"}'), OK());
    await r.run(put('{"name":"b"}', { target: '/contacts/8' }), OK());
    await settled(r);
    expect(states(r)).toEqual(['dead']);
  });

  it('a write that was sent before the row died does not', async () => {
    const r = rig();
    const older = put('{"name":"a"}', { attempts: [record({ startedAtMs: 5 })] });
    await r.run(put('{"name":"b"}'), failed('connect'));
    await r.run(older, OK());
    await settled(r);
    expect(states(r)).toEqual(['dead']);
  });

  it('an older write that runs late, from the queue or a redrive, does not make a newer one needless', async () => {
    const r = rig();
    const askedAtMs = r.clock.wall();
    await r.clock.advance(60_000);
    await r.run(put('{"name":"newer"}'), failed('connect'));
    const late = { id: 'op-1', recorded: true, sentAtMs: null, doubt: null, askedAtMs };
    await r.run(put('{"name":"older"}', { unattended: true, operation: late }), OK());
    await settled(r);
    expect(states(r)).toEqual(['dead']);
    // Of a caller that waited for its turn since before the newer one came.
    await r.run(put('{"name":"older"}'), OK(), 61_000);
    await settled(r);
    expect(states(r)).toEqual(['dead']);
  });

  it('a guarded create with the natural key supersedes, whatever else its body says', async () => {
    const r = rig();
    await r.run(write(GUARDED), OPEN());
    await r.run(write(GUARDED, { text: '{"email":"a@example.com","name":"x"}' }), OK());
    await settled(r);
    expect(states(r)).toEqual(['superseded']);
  });

  it('an equal success of another create only marks the row; another body does nothing', async () => {
    const r = rig();
    await r.run(write(), OPEN());
    await r.run(write({}, { text: '{"other":1}' }), OK());
    await settled(r);
    expect(r.store.rows()[0]?.maybeSupersededBy).toBeNull();
    await r.run(write(), OK());
    await settled(r);
    expect(r.store.rows()[0]).toMatchObject({ state: 'dead', maybeSupersededBy: expect.any(String) as string });
  });

  it('one success supersedes one row, and asks nothing where no dead letter is known', async () => {
    const r = rig();
    for (const name of ['a', 'b']) await r.run(put(`{"name":"${name}"}`), failed('connect'));
    await r.run(put('{"name":"c"}'), OK());
    await settled(r);
    expect(states(r)).toEqual(['superseded', 'dead']);
    for (let i = 0; i < 2; i++) r.dead.refresh([]);
    await r.run(put('{"name":"d"}'), OK());
    await settled(r);
    expect(states(r)).toEqual(['superseded', 'dead']);
  });
});
