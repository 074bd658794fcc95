import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome, Refused } from '../../src/core/outcome.ts';
import type { PacingPolicy } from '../../src/core/quota.ts';
import type { GateState } from '../../src/core/store.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { createPacing, type Pacing } from '../../src/layers/pacing.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { answered, exchange, HandDriven, policy, verdict } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

interface Rig {
  readonly clock: VirtualClock;
  readonly inner: HandDriven;
  readonly pacing: Pacing;
  readonly would: string[];
  readonly kept: GateState[];
  call(overrides?: Partial<Exchange>): { exchange: Exchange; outcome: Promise<Outcome> };
}

const POLICY: PacingPolicy = { enabled: true, maxWaitMs: 60_000, reserve: 0 };

function rig(own: Partial<PacingPolicy> = {}, places = 20_000): Rig {
  const clock = new VirtualClock();
  const inner = new HandDriven();
  const would: string[] = [];
  const kept: GateState[] = [];
  const pacing = createPacing({
    clock,
    random: seededRandom(7),
    events: { waitedForSlot: () => {}, paused: () => {}, wouldHave: (_x, _layer, action) => would.push(action) },
    waiting: new WaitingRoom(() => places),
    keep: (gate) => kept.push(gate),
  });
  const service = pacing.layer(inner.service);
  const call = (overrides: Partial<Exchange> = {}) => {
    const x = exchange({
      receivedAtMs: clock.now(),
      deadlineAtMs: clock.now() + 120_000,
      ...overrides,
      policy: { ...(overrides.policy ?? policy()), pacing: { ...POLICY, ...own } },
    });
    return { exchange: x, outcome: service(x) };
  };
  return { clock, inner, pacing, would, kept, call };
}

/** Headers of the window that ends at 11 s of the virtual clock, or `windows` later. */
function headers(clock: VirtualClock, remaining: number, windows = 0, limit = 83): string[] {
  const reset = Math.ceil((clock.wallOffsetMs + 11_000 + windows * 10_000) / 1000);
  return [
    'Date',
    new Date(clock.wall()).toUTCString(),
    'X-RateLimit-Limit',
    String(limit),
    'X-RateLimit-Remaining',
    String(remaining),
    'X-RateLimit-Reset',
    String(reset),
  ];
}

const throttled = (fields: string[], retryAfterMs: number | null = null): Outcome =>
  answered(429, {
    headers: fields,
    verdict: verdict({
      class: 'throttled',
      reason: 'rate_limit_exceeded',
      effect: 'none',
      pauses: 'token',
      retryAfterMs,
    }),
  });

/** One call through, answered with what remains. */
async function learn(r: Rig, remaining: number, limit = 83): Promise<void> {
  const { outcome } = r.call();
  await r.clock.settle();
  r.inner.last.answer(answered(200, { headers: headers(r.clock, remaining, 0, limit) }));
  await outcome;
}

describe('§4: pacing', () => {
  it('lets a call through at once while the window has slots, with no timer and no wait on record', async () => {
    const r = rig();
    await learn(r, 82);
    const { exchange: x } = r.call();
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(2);
    expect(r.clock.pending).toBe(0);
    expect(x.waitedMs).toBe(0);
  });

  it('200 waiters, one pause, one reset: one probe, then the window, by urgency and arrival, and no second 429', async () => {
    const r = rig();
    await learn(r, 82);
    const first = r.call();
    await r.clock.settle();
    r.inner.last.answer(throttled(headers(r.clock, 0)));
    await first.outcome;
    const calls = Array.from({ length: 200 }, (_, i) => r.call({ id: `w${i}`, priority: i % 2 === 0 ? 5 : 1 }));
    await r.clock.advance(9900);
    expect(r.inner.calls).toHaveLength(2);
    await r.clock.advance(100);
    expect(r.inner.calls.slice(2).map((held) => held.exchange.id)).toEqual(['w1']);
    await r.clock.advance(100);
    r.inner.last.answer(answered(200, { headers: headers(r.clock, 82, 1) }));
    await r.clock.settle();
    const sentIds = r.inner.calls.slice(2).map((held) => held.exchange.id);
    expect(sentIds).toHaveLength(83);
    expect(sentIds).toEqual(Array.from({ length: 83 }, (_, i) => `w${2 * i + 1}`));
    expect(calls[1]?.exchange.waitedMs).toBe(10_000);
    expect(calls[1]?.exchange.pendingWait).toEqual({ ms: 10_000, reason: 'pacing' });
  });

  it('begins a window with a probe when the one before was used up by our own count, before any answer said so', async () => {
    const r = rig();
    await learn(r, 82);
    for (let i = 0; i < 85; i++) r.call();
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(83);
    await r.clock.advance(10_000);
    expect(r.inner.calls).toHaveLength(84);
    r.inner.last.answer(answered(200, { headers: headers(r.clock, 82, 1) }));
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(86);
  });

  it('refuses at once what would wait beyond the deadline or max_wait, says when, and sends nothing', async () => {
    for (const [own, deadlineAtMs] of [
      [{}, 5000],
      [{ maxWaitMs: 2000 }, 100_000],
    ] as const) {
      const r = rig(own);
      await learn(r, 0);
      const { outcome } = r.call({ deadlineAtMs });
      const refused = (await outcome) as Refused;
      expect(refused).toMatchObject({
        kind: 'refused',
        by: 'pacing',
        code: 'holdfast_quota_wait',
        retryAfterMs: 10_000,
      });
      expect(refused.verdict.effect).toBe('none');
      expect(r.inner.calls).toHaveLength(1);
      expect(r.clock.pending).toBe(0);
    }
  });

  it('refuses those for whom the coming windows do not suffice, not those for whom they do', async () => {
    const r = rig({ maxWaitMs: 15_000 });
    await learn(r, 0, 10);
    const calls = Array.from({ length: 12 }, () => r.call());
    await r.clock.settle();
    await expect(calls[10]?.outcome).resolves.toMatchObject({ code: 'holdfast_quota_wait', retryAfterMs: 20_000 });
    await expect(calls[11]?.outcome).resolves.toMatchObject({ kind: 'refused' });
    await r.clock.advance(10_000);
    expect(r.inner.calls).toHaveLength(2);
  });

  it('lets a cancelled call leave the line without a trace', async () => {
    const r = rig();
    await learn(r, 0);
    const { exchange: x, outcome } = r.call();
    await r.clock.settle();
    x.cancel.abort('client_gone');
    expect(await outcome).toMatchObject({ kind: 'refused', by: 'pacing' });
    expect(r.pacing.quotas()[0]?.waiting).toBe(0);
    expect(r.clock.pending).toBe(0);
  });

  it('says to a waiting call that Holdfast is stopping, not that the quota is short', async () => {
    const r = rig();
    await learn(r, 0);
    const { exchange: x, outcome } = r.call();
    await r.clock.settle();
    x.cancel.abort('shutdown');
    const stopping = {
      code: 'holdfast_overloaded',
      retryAfterMs: 1000,
      verdict: { reason: 'interrupted', effect: 'none' },
    };
    expect(await outcome).toMatchObject(stopping);
  });

  it('holds back one endpoint only when its answer says so, and probes it first', async () => {
    const r = rig();
    await learn(r, 82);
    const busy = policy({ name: 'POST /export' });
    const first = r.call({ policy: busy });
    await r.clock.settle();
    const busyVerdict = verdict({ class: 'transient', reason: 'status_503', pauses: 'endpoint', retryAfterMs: 3000 });
    r.inner.last.answer(answered(503, { headers: headers(r.clock, 81), verdict: busyVerdict }));
    await first.outcome;
    r.call({ policy: busy, id: 'e1' });
    r.call({ policy: busy, id: 'e2' });
    r.call({ id: 'other' });
    await r.clock.settle();
    expect(r.inner.calls.slice(2).map((held) => held.exchange.id)).toEqual(['other']);
    await r.clock.advance(4000);
    expect(r.inner.calls.slice(3).map((held) => held.exchange.id)).toEqual(['e1']);
    r.inner.last.answer(answered(200, { headers: headers(r.clock, 79) }));
    await r.clock.settle();
    expect(r.inner.calls.slice(4).map((held) => held.exchange.id)).toEqual(['e2']);
  });

  it('takes an explicit Retry-After for longer than the window', async () => {
    const r = rig();
    const { outcome } = r.call();
    await r.clock.settle();
    r.inner.last.answer(throttled([...headers(r.clock, 0), 'Retry-After', '30'], 30_000));
    await outcome;
    expect(r.pacing.quotas()[0]?.pausedSeconds).toBeGreaterThanOrEqual(30);
    expect(r.pacing.quotas()[0]?.pausedSeconds).toBeLessThan(31);
  });

  it('gives the slot of a call back that was never sent', async () => {
    const r = rig();
    await learn(r, 82);
    const { outcome } = r.call();
    await r.clock.settle();
    const verdictOf = refusedVerdict('store_unavailable', 1000);
    const unsent = { kind: 'refused', by: 'attempt', code: 'holdfast_store_unavailable', message: '' } as const;
    r.inner.last.answer({ ...unsent, retryAfterMs: 1000, verdict: verdictOf });
    await outcome;
    expect(r.pacing.quotas()[0]?.remaining).toBe(82);
  });

  it('mode observe: waits for nothing and says what it would have done', async () => {
    const r = rig();
    await learn(r, 0);
    r.call({ policy: policy({ mode: 'observe' }) });
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(2);
    expect(r.would).toEqual(['wait for a slot']);
  });

  it('refuses as overloaded when too many wait', async () => {
    const r = rig({}, 1);
    await learn(r, 0);
    r.call();
    await expect(r.call().outcome).resolves.toMatchObject({ code: 'holdfast_overloaded' });
  });

  it('keeps tokens apart', async () => {
    const r = rig();
    await learn(r, 0);
    r.call({ credentialRef: 'other' });
    await r.clock.settle();
    expect(r.inner.calls).toHaveLength(2);
  });

  it('frees the slot and the line when the inner service throws', async () => {
    const clock = new VirtualClock();
    const r = rig();
    const broken = r.pacing.layer(() => Promise.reject(new Error('bug')));
    await expect(broken(exchange({ receivedAtMs: clock.now() }))).rejects.toThrow('bug');
    expect(r.clock.pending).toBe(0);
  });

  it('tells the clock difference to the server', async () => {
    const r = rig();
    const { outcome } = r.call();
    await r.clock.settle();
    const date = new Date(r.clock.wall() + 90_000).toUTCString();
    r.inner.last.answer(answered(200, { headers: ['Date', date] }));
    await outcome;
    expect(Math.abs((r.pacing.clockSkew()?.seconds ?? 0) - 90)).toBeLessThanOrEqual(0.5);
    expect(r.pacing.clockSkew()?.errorSeconds).toBe(0.5);
  });
});
