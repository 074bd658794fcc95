import { describe, expect, it } from 'vitest';
import { hostBreakerPolicy } from '../../src/core/breaker.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { GateState } from '../../src/core/store.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { createBreaker } from '../../src/layers/breaker.ts';
import { createPacing } from '../../src/layers/pacing.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { transient } from '../support/attempt-records.ts';
import { answered, exchange, HandDriven, policy, verdict } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const HOST = hostBreakerPolicy({ failures: 5, windowMs: 10_000, openForMs: 1000, maxOpenForMs: 30_000 });

/** What a store holds: the last row of each name. */
class Rows {
  readonly #rows = new Map<string, GateState>();
  writes = 0;

  readonly keep = (gate: GateState): void => {
    this.writes += 1;
    this.#rows.set(`${gate.kind} ${gate.name}`, gate);
  };

  at(wallMs: number): GateState[] {
    return [...this.#rows.values()].filter(({ expiresAtMs }) => expiresAtMs > wallMs);
  }
}

/** One process: its breaker over its pacing, both restored from the rows; its clocks go on where the last one's stopped. */
function started(rows: Rows, wallMs = Date.UTC(2026, 0, 1), policies: readonly EndpointPolicy[] = [policy()]) {
  const clock = new VirtualClock();
  clock.wallOffsetMs = wallMs - clock.now();
  const inner = new HandDriven();
  const { events } = recordedEvents('silent');
  const waiting = new WaitingRoom(() => 1000);
  const parts = { clock, events, random: seededRandom(5), waiting, keep: rows.keep, hostPolicy: () => HOST };
  const breaker = createBreaker(parts);
  const pacing = createPacing(parts);
  const writesBefore = rows.writes;
  pacing.restore(rows.at(wallMs));
  breaker.restore(rows.at(wallMs), policies);
  expect(rows.writes).toBe(writesBefore);
  const service = breaker.layer(pacing.layer(inner.service));
  const call = (overrides: Partial<Exchange> = {}): Promise<Outcome> =>
    service(exchange({ receivedAtMs: clock.now(), deadlineAtMs: clock.now() + 600_000, ...overrides }));
  const answeredCall = async (outcome: Outcome, overrides: Partial<Exchange> = {}): Promise<Outcome> => {
    const ended = call(overrides);
    await clock.settle();
    inner.last.answer(outcome);
    return ended;
  };
  return { clock, inner, breaker, pacing, call, answeredCall };
}

const throttled = answered(429, {
  headers: ['Retry-After', '20'],
  verdict: verdict({ class: 'throttled', effect: 'none', pauses: 'token', retryAfterMs: 20_000 }),
});
const busy = answered(503, {
  verdict: transient({ pauses: 'endpoint', retryAfterMs: 20_000 }),
});
const down = answered(503, { verdict: transient({ countsAgainstBreaker: true }) });

describe('§4: a restart does not open a gate', () => {
  it('holds the callers of a paused token, no longer than before, and lets one go first', async () => {
    const rows = new Rows();
    const first = started(rows);
    await first.answeredCall(throttled);
    await first.clock.advance(5000);
    const again = started(rows, first.clock.wall());
    expect(again.pacing.quotas()[0]).toMatchObject({ token: 'abcd1234' });
    void again.call();
    void again.call();
    void again.call({ credentialRef: 'another' });
    await again.clock.advance(14_900);
    expect(again.inner.calls.map((held) => held.exchange.credentialRef)).toEqual(['another']);
    await again.clock.advance(1200);
    expect(again.inner.calls).toHaveLength(2);
  });

  it('holds one endpoint back when only that was paused', async () => {
    const rows = new Rows();
    const first = started(rows);
    await first.answeredCall(busy);
    const again = started(rows, first.clock.wall());
    void again.call();
    void again.call({ policy: policy({ name: 'GET /admins' }) });
    await again.clock.settle();
    expect(again.inner.calls.map((held) => held.exchange.policy.name)).toEqual(['GET /admins']);
    await again.clock.advance(21_000);
    expect(again.inner.calls).toHaveLength(2);
  });

  it('sends one probe when the pause ended while the process was down', async () => {
    const rows = new Rows();
    const first = started(rows);
    await first.answeredCall(throttled);
    const again = started(rows, first.clock.wall() + 30_000);
    void again.call();
    void again.call();
    await again.clock.settle();
    expect(again.inner.calls).toHaveLength(1);
  });

  it('is not held by a wall clock that was set back, for longer than the pause was', async () => {
    const rows = new Rows();
    const first = started(rows);
    await first.answeredCall(throttled);
    const again = started(rows, first.clock.wall() - 86_400_000);
    void again.call();
    await again.clock.advance(21_100);
    expect(again.inner.calls).toHaveLength(1);
  });

  it('writes with changes, not with calls', async () => {
    const rows = new Rows();
    const first = started(rows);
    for (let i = 0; i < 50; i++) await first.answeredCall(answered(200));
    expect(rows.writes).toBe(0);
    await first.answeredCall(throttled);
    expect(rows.writes).toBe(1);
  });
});

async function trip(process: ReturnType<typeof started>): Promise<void> {
  for (let i = 0; i < 10; i++) await process.answeredCall(down);
}

describe('§5: a restart does not close a circuit', () => {
  it('refuses until the probe is due, then probes; the open time has grown', async () => {
    const rows = new Rows();
    const first = started(rows);
    await trip(first);
    expect(rows.writes).toBe(1);
    await first.clock.advance(33_000);
    await first.answeredCall(down);
    await first.clock.advance(10_000);
    const again = started(rows, first.clock.wall());
    expect(again.breaker.status()).toMatchObject([{ endpoint: 'POST /contacts', kind: 'open' }]);
    const refused = await again.call();
    const retryAfterMs = refused.kind === 'refused' ? (refused.retryAfterMs ?? 0) : 0;
    expect(retryAfterMs).toBeGreaterThan(49_000);
    expect(retryAfterMs).toBeLessThanOrEqual(56_000);
    await again.clock.advance(retryAfterMs);
    void again.call();
    await again.clock.settle();
    expect(again.inner.calls).toHaveLength(1);
    expect(again.breaker.status()[0]?.kind).toBe('half_open');
  });

  it('a circuit that has recovered stays closed, and starts anew', async () => {
    const rows = new Rows();
    const first = started(rows);
    await trip(first);
    await first.clock.advance(33_000);
    await first.answeredCall(answered(200));
    await first.answeredCall(answered(200));
    const again = started(rows, first.clock.wall());
    expect(again.breaker.status()).toEqual([]);
    await trip(again);
    expect(again.breaker.status().find(({ endpoint }) => endpoint !== 'host')?.kind).toBe('open');
  });

  it('what a hand has ordered stands, until the next order', () => {
    const rows = new Rows();
    const first = started(rows);
    first.breaker.hold('host', 'open');
    first.breaker.hold('POST /contacts', 'close');
    const kindsOf = (process: ReturnType<typeof started>) =>
      Object.fromEntries(process.breaker.status().map(({ endpoint, kind }) => [endpoint, kind]));
    const again = started(rows, first.clock.wall() + 1e10);
    expect(kindsOf(again)).toEqual({ host: 'held_open', 'POST /contacts': 'held_closed' });
    again.breaker.hold('host', 'auto');
    expect(kindsOf(started(rows, again.clock.wall()))).toEqual({ 'POST /contacts': 'held_closed' });
  });

  it('leaves out a name that no rule has any more, and values that are none of ours', () => {
    const rows = new Rows();
    started(rows).breaker.hold('POST /contacts', 'open');
    rows.keep({ kind: 'breaker', name: 'host', value: '{"kind":"open","setAtMs":1e400}', expiresAtMs: 1e15 });
    rows.keep({ kind: 'pause', name: 'x', value: 'null', expiresAtMs: 1e15 });
    const again = started(rows, Date.UTC(2026, 0, 2), [policy({ name: 'GET /admins' })]);
    expect(again.breaker.status()).toEqual([]);
    expect(again.pacing.quotas()).toEqual([]);
  });
});
