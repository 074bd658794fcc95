import { describe, expect, it } from 'vitest';
import { type BreakerPolicy, hostBreakerPolicy } from '../../src/core/breaker.ts';
import { Cancel } from '../../src/core/cancel.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { FailureKind, Outcome } from '../../src/core/outcome.ts';
import type { GateState } from '../../src/core/store.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { type BreakerLayer, createBreaker } from '../../src/layers/breaker.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { answered, exchange, HandDriven, policy, verdict } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const FAIL: BreakerPolicy = {
  failureRatio: 0.5,
  minRequests: 10,
  last: 20,
  windowMs: 60_000,
  openForMs: 30_000,
  maxOpenForMs: 300_000,
  halfOpenProbes: 2,
  whenOpen: 'fail',
  maxWaitMs: null,
};
const PATIENT: BreakerPolicy = { ...FAIL, openForMs: 750, halfOpenProbes: 1, whenOpen: 'wait' };

interface Rig {
  readonly clock: VirtualClock;
  readonly inner: HandDriven;
  readonly breaker: BreakerLayer;
  readonly transitions: string[];
  readonly would: string[];
  readonly kept: GateState[];
  call(overrides?: Partial<Exchange>): { exchange: Exchange; outcome: Promise<Outcome> };
  kinds(): Record<string, string>;
}

function rig(own: BreakerPolicy = FAIL): Rig {
  const clock = new VirtualClock();
  const inner = new HandDriven();
  const transitions: string[] = [];
  const would: string[] = [];
  const kept: GateState[] = [];
  const host = hostBreakerPolicy({ failures: 5, windowMs: 10_000, openForMs: 1000, maxOpenForMs: 30_000 });
  const breaker = createBreaker({
    clock,
    random: seededRandom(3),
    hostPolicy: () => host,
    events: {
      wouldHave: (_x, _layer, action) => would.push(action),
      breakerChanged: (endpoint, _, to) => transitions.push(`${endpoint} ${to}`),
    },
    waiting: new WaitingRoom(() => 20_000),
    keep: (gate) => kept.push(gate),
  });
  const service = breaker.layer(inner.service);
  const call = (overrides: Partial<Exchange> = {}) => {
    const x = exchange({
      receivedAtMs: clock.now(),
      deadlineAtMs: clock.now() + 600_000,
      ...overrides,
      policy: { ...(overrides.policy ?? policy()), breaker: own },
    });
    return { exchange: x, outcome: service(x) };
  };
  const kinds = () => Object.fromEntries(breaker.status().map(({ endpoint, kind }) => [endpoint, kind]));
  return { clock, inner, breaker, transitions, would, kept, call, kinds };
}

const down = (retryAfterMs: number | null = null, repeatable = true): Outcome =>
  answered(503, {
    verdict: verdict({
      class: 'transient',
      reason: 'status_503',
      repeatable,
      retryAfterMs,
      countsAgainstBreaker: true,
    }),
  });
const unreachable = (failure: FailureKind = 'dns'): Outcome => ({
  kind: 'failed',
  failure,
  sent: 'no',
  detail: '',
  verdict: verdict({ class: 'transient', reason: failure, repeatable: true, countsAgainstBreaker: true }),
});

/** Ten failures of one endpoint. */
async function trip(r: Rig, name = 'POST /contacts', outcome = down()): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const { outcome: ended } = r.call({ policy: policy({ name }) });
    await r.clock.settle();
    r.inner.last.answer(outcome);
    await ended;
  }
}

describe('§5: when_open: fail', () => {
  it('refuses within the same turn while open, with the time to the next probe, and sends nothing', async () => {
    const r = rig();
    await trip(r);
    const refused = await r.call().outcome;
    expect(refused).toMatchObject({ kind: 'refused', by: 'breaker', code: 'holdfast_breaker_open' });
    expect(refused).toMatchObject({
      message: expect.stringContaining('fails on this endpoint') as string,
      verdict: { reason: 'breaker_open' },
    });
    const retryAfterMs = refused.kind === 'refused' ? refused.retryAfterMs : null;
    expect(retryAfterMs).toBeGreaterThanOrEqual(30_000);
    expect(retryAfterMs).toBeLessThanOrEqual(33_000);
    expect(r.inner.calls).toHaveLength(10);
    expect(r.transitions).toEqual(['POST /contacts open']);
  });

  it('lets two probes through, refuses the third, and closes when both succeeded', async () => {
    const r = rig();
    await trip(r);
    await r.clock.advance(33_000);
    const probes = [r.call(), r.call()];
    await r.clock.settle();
    expect(await r.call().outcome).toMatchObject({ code: 'holdfast_breaker_open', retryAfterMs: 1000 });
    for (const held of r.inner.calls.slice(10)) held.answer(answered(200));
    await Promise.all(probes.map((probe) => probe.outcome));
    expect(r.kinds()).toMatchObject({ 'POST /contacts': 'closed' });
  });

  it('stops one endpoint and leaves the others alone', async () => {
    const r = rig();
    await trip(r);
    r.call({ policy: policy({ name: 'GET /contacts' }) });
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(11);
  });

  it('does not take throttled, permanent and refused attempts for failures, nor those a client gave up', async () => {
    const r = rig();
    const gone = new Cancel();
    gone.abort('client_gone');
    const refused = refusedVerdict('quota_wait', 1000);
    const harmless: [Outcome, Partial<Exchange>][] = [
      [answered(429, { verdict: verdict({ class: 'throttled' }) }), {}],
      [answered(422, { verdict: verdict({ class: 'permanent' }) }), {}],
      [
        { kind: 'refused', by: 'pacing', code: 'holdfast_quota_wait', message: '', retryAfterMs: 1, verdict: refused },
        {},
      ],
      [unreachable('reset'), { cancel: gone }],
    ];
    for (let i = 0; i < 15; i++) {
      for (const [outcome, overrides] of harmless) {
        const { outcome: ended } = r.call(overrides);
        await r.clock.settle();
        r.inner.last.answer(outcome);
        await ended;
      }
    }
    expect(r.kinds()).toEqual({ host: 'closed', 'POST /contacts': 'closed' });
  });

  it('opens the host on five connection-level failures in a row, over all endpoints, and probes with one call', async () => {
    const r = rig();
    for (let i = 0; i < 5; i++) {
      const { outcome } = r.call({ policy: policy({ name: `GET /${i}` }) });
      await r.clock.settle();
      r.inner.last.answer(unreachable());
      await outcome;
    }
    expect(r.kinds()['host']).toBe('open');
    expect(await r.call({ policy: policy({ name: 'GET /9' }) }).outcome).toMatchObject({
      code: 'holdfast_breaker_open',
      message: expect.stringContaining('cannot be reached') as string,
      verdict: { reason: 'breaker_open_host' },
    });
    await r.clock.advance(1100);
    r.call({ policy: policy({ name: 'GET /9' }) });
    await r.clock.settle();
    expect(await r.call({ policy: policy({ name: 'GET /8' }) }).outcome).toMatchObject({ kind: 'refused' });
    expect(r.inner.calls).toHaveLength(6);
  });

  it('does not open the host on answers, however bad', async () => {
    const r = rig();
    await trip(r);
    expect(r.kinds()['host']).toBe('closed');
  });

  it('extends its time by the Retry-After of the upstream', async () => {
    const r = rig();
    await trip(r, 'POST /contacts', down(120_000));
    expect(r.breaker.status().find((one) => one.endpoint !== 'host')?.probeInSeconds).toBe(120);
  });

  it('obeys a hand: open, close, auto', async () => {
    const r = rig();
    r.breaker.hold('POST /contacts', 'open');
    expect(await r.call().outcome).toMatchObject({ code: 'holdfast_breaker_open', retryAfterMs: 30_000 });
    r.breaker.hold('POST /contacts', 'close');
    await trip(r);
    expect(r.kinds()['POST /contacts']).toBe('held_closed');
    r.breaker.hold('POST /contacts', 'auto');
    await trip(r);
    expect(r.kinds()['POST /contacts']).toBe('open');
  });

  it('mode observe: refuses nothing and says what it would have done', async () => {
    const r = rig();
    await trip(r);
    r.call({ policy: policy({ mode: 'observe' }) });
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(11);
    expect(r.would).toEqual(['refuse at the open breaker']);
  });

  it('counts a probe as ended when the inner service throws', async () => {
    const r = rig();
    await trip(r);
    await r.clock.advance(33_000);
    const broken = r.breaker.layer(() => Promise.reject(new Error('bug')));
    for (let i = 0; i < 5; i++) await expect(broken(exchange())).rejects.toThrow('bug');
    expect(r.kinds()['POST /contacts']).toBe('half_open');
  });
});

describe('§5: when_open: wait', () => {
  it('an outage of a minute: at most two calls a second over all endpoints, the oldest first, and everyone succeeds', async () => {
    const r = rig(PATIENT);
    const names = Array.from({ length: 6 }, (_, i) => `GET /${i}`);
    for (const name of names) await trip(r, name);
    const before = r.inner.calls.length;
    const calls = Array.from({ length: 60 }, (_, i) =>
      r.call({ id: `w${i}`, receivedAtMs: i, policy: policy({ name: names[i % 6] as string }) }),
    );
    let seen = before;
    for (let step = 0; step < 600; step++) {
      await r.clock.advance(100);
      for (const held of r.inner.calls.slice(seen)) held.answer(down());
      seen = r.inner.calls.length;
    }
    expect(r.inner.calls[before]?.exchange.id).toBe('w0');
    expect(seen - before).toBeLessThanOrEqual(120);
    expect(seen - before).toBeGreaterThanOrEqual(60);
    const recovered = r.clock.now();
    let firstSuccess = Infinity;
    for (let step = 0; step < 30; step++) {
      await r.clock.advance(100);
      for (const held of r.inner.calls.slice(seen)) {
        firstSuccess = Math.min(firstSuccess, r.clock.now());
        held.answer(answered(200));
      }
      seen = r.inner.calls.length;
    }
    expect(firstSuccess - recovered).toBeLessThanOrEqual(1000);
    const outcomes = await Promise.all(calls.map((call) => call.outcome));
    expect(outcomes.every((outcome) => outcome.kind === 'answered' && outcome.status === 200)).toBe(true);
    expect(r.clock.now() - recovered).toBeLessThanOrEqual(3000);
    expect(calls[59]?.exchange.pendingWait?.reason).toBe('breaker');
    expect(r.clock.pending).toBe(0);
  });

  it('answers 503 with Retry-After when max_wait or the deadline is near, and leaves no timer behind', async () => {
    const r = rig({ ...PATIENT, maxWaitMs: 300 });
    await trip(r);
    const { outcome } = r.call();
    await r.clock.advance(300);
    expect(await outcome).toMatchObject({ kind: 'refused', by: 'breaker', code: 'holdfast_breaker_open' });
    const near = r.call({ deadlineAtMs: r.clock.now() + 120 });
    await r.clock.advance(100);
    expect(await near.outcome).toMatchObject({ kind: 'refused', by: 'breaker' });
    expect(r.inner.calls).toHaveLength(10);
    expect(r.clock.pending).toBe(0);
  });

  it('sends no failed probe again that is not repeatable: its caller gets the outcome', async () => {
    const r = rig(PATIENT);
    await trip(r);
    const { outcome } = r.call();
    await r.clock.advance(900);
    r.inner.last.answer(down(null, false));
    expect(await outcome).toMatchObject({ kind: 'answered', status: 503 });
  });

  it('hands the probe on when its caller leaves', async () => {
    const r = rig(PATIENT);
    await trip(r);
    const first = r.call({ id: 'first' });
    r.call({ id: 'second' });
    await r.clock.settle();
    first.exchange.cancel.abort('client_gone');
    await first.outcome;
    await r.clock.advance(900);
    expect(r.inner.calls.slice(10).map((held) => held.exchange.id)).toEqual(['second']);
  });

  it('lets everyone go when a hand closes the breaker', async () => {
    const r = rig(PATIENT);
    await trip(r);
    r.call();
    r.call();
    await r.clock.settle();
    r.breaker.hold('POST /contacts', 'close');
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(12);
  });

  it('names the host when a call waited at it in vain', async () => {
    const r = rig({ ...PATIENT, maxWaitMs: 300 });
    for (let i = 0; i < 5; i++) {
      const { outcome } = r.call({ policy: policy({ name: `GET /${i}` }) });
      await r.clock.settle();
      r.inner.last.answer(unreachable());
      await outcome;
    }
    const { outcome } = r.call();
    await r.clock.advance(300);
    expect(await outcome).toMatchObject({ kind: 'refused', verdict: { reason: 'breaker_open_host' } });
  });

  it('waits at an open host as well, without growth of its time', async () => {
    const r = rig(PATIENT);
    const calls = Array.from({ length: 5 }, (_, i) => r.call({ policy: policy({ name: `GET /${i}` }) }));
    await r.clock.settle();
    for (const held of r.inner.calls.slice(0, 5)) held.answer(unreachable('connect'));
    await Promise.all(calls.map((call) => call.outcome));
    const { outcome } = r.call({ policy: policy({ name: 'GET /9' }) });
    for (let probe = 0; probe < 4; probe++) {
      await r.clock.advance(900);
      expect(r.inner.calls).toHaveLength(6 + probe);
      r.inner.last.answer(unreachable('connect'));
    }
    await r.clock.advance(900);
    r.inner.last.answer(answered(200));
    expect(await outcome).toMatchObject({ kind: 'answered', status: 200 });
    expect(r.kinds()['host']).toBe('closed');
  });
});
