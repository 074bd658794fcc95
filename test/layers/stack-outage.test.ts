/** retry, breaker and pacing together, in an outage of a minute on a virtual clock (semantics §5). */
import { describe, expect, it } from 'vitest';
import { hostBreakerPolicy } from '../../src/core/breaker.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { compose, type Service } from '../../src/core/service.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { createBreaker } from '../../src/layers/breaker.ts';
import { deadline } from '../../src/layers/deadline.ts';
import { createPacing } from '../../src/layers/pacing.ts';
import { retry } from '../../src/layers/retry.ts';
import { createShed } from '../../src/layers/shed.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { failed, noteAttempt, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const HOST = hostBreakerPolicy({ failures: 5, windowMs: 10_000, openForMs: 1000, maxOpenForMs: 30_000 });
const FAIL = policy().breaker;
const PATIENT = policy({
  operationClass: 'read',
  retry: { maxRetries: Infinity, baseDelayMs: 1000, maxDelayMs: 5000, jitter: 'full', maxWaitMs: 60_000 },
  breaker: { ...FAIL, whenOpen: 'wait', openForMs: 750, halfOpenProbes: 1 },
  pacing: { enabled: true, maxWaitMs: 600_000, reserve: 0 },
});
const ATTEMPT_MS = 250;

function rig(down: (atMs: number) => Outcome | null) {
  const clock = new VirtualClock();
  const { events, metrics } = recordedEvents('silent');
  const random = seededRandom(11);
  const limits = { inFlight: 100_000, waiting: 20_000, perEndpoint: null } as never;
  const waiting = new WaitingRoom(() => 20_000);
  const parts = { clock, events, random, waiting, limits: () => limits, hostPolicy: () => HOST, keep: () => {} };
  const shed = createShed(parts);
  const breaker = createBreaker(parts);
  const pacing = createPacing(parts);
  const credentials = { reread: () => Promise.resolve(null) };
  const sentAtMs: number[] = [];
  const wire: Service = async (x) => {
    sentAtMs.push(clock.now());
    await new Promise<void>((resolve) => void clock.timer(ATTEMPT_MS, resolve));
    return noteAttempt(x, down(clock.now()) ?? answered(200));
  };
  const service = compose(
    [shed.layer, deadline(parts), retry({ ...parts, credentials }), breaker.layer, pacing.layer],
    wire,
  );
  const call = (overrides: Partial<Exchange> = {}) => {
    const startedAtMs = clock.now();
    const x = exchange({ receivedAtMs: startedAtMs, deadlineAtMs: startedAtMs + 600_000, ...overrides });
    const ending = service(x).then((outcome) => ({ outcome, tookMs: clock.now() - startedAtMs }));
    return { exchange: x, ending };
  };
  return { clock, metrics, shed, waiting, breaker, sentAtMs, call };
}

const unreachable = (): Outcome =>
  failed('connect', { verdict: transient({ reason: 'connect', countsAgainstBreaker: true }) });
const unwell = (): Outcome => answered(503, { verdict: transient({ countsAgainstBreaker: true }) });

describe('§5: a minute of outage under the profile patient', () => {
  it.each([
    ['nothing listens there, 5 calls a second arrive', unreachable, 200, 320],
    ['503 for everything, 5 calls a second arrive', unwell, 200, 320],
    ['503 for everything, nobody else arrives', unwell, 400, 0],
  ])('%s: they and those in flight all succeed, two calls a second go out', async (_, how, inFlight, arrivals) => {
    const [from, to] = [2000, 62_000];
    const r = rig((atMs) => (atMs >= from && atMs < to ? how() : null));
    const names = Array.from({ length: 12 }, (_unused, i) => `GET /${i}`);
    const calls: ReturnType<typeof r.call>[] = [];
    const send = (): void => {
      calls.push(r.call({ policy: { ...PATIENT, name: names[calls.length % names.length] as string } }));
    };
    send();
    await r.clock.advance(from - r.clock.now() - 10);
    for (let i = 0; i < inFlight; i++) send();
    for (let i = 0; i < 320; i++) {
      await r.clock.advance(200);
      if (i < arrivals) send();
    }
    await r.clock.advance(30_000);
    const endings = await Promise.all(calls.map((call) => call.ending));
    expect(endings.every(({ outcome }) => outcome.kind === 'answered' && outcome.status === 200)).toBe(true);

    // Everything in flight at the start fails once, and its first retries may still be under way.
    const tripped = from + 2500;
    const during = r.sentAtMs.filter((at) => at >= tripped && at < to).length;
    expect(during).toBeLessThanOrEqual((2 * (to - tripped)) / 1000);
    expect(during).toBeGreaterThanOrEqual(((to - tripped) / 1000) * 0.9);
    const firstSuccess = Math.min(
      ...calls.map((call, i) => call.exchange.receivedAtMs + (endings[i]?.tookMs ?? 0)).filter((at) => at >= to),
    );
    expect(firstSuccess - to).toBeLessThanOrEqual(1000);
    expect(Math.max(...endings.map(({ tookMs }) => tookMs))).toBeLessThanOrEqual(to - from + 2000);
    expect([r.waiting.taken, r.shed.inFlight()]).toEqual([0, 0]);
    expect(Math.max(...calls.map((call) => call.exchange.failedProbes))).toBeGreaterThan(1);
    expect(r.clock.pending).toBe(0);
  });
});

describe('§5: an outage with when_open: fail', () => {
  it('a retry that meets the open breaker ends with the last answer, its Retry-After added', async () => {
    const r = rig(unwell);
    const eager = policy({ operationClass: 'read', breaker: { ...FAIL, minRequests: 2, last: 2 } });
    const first = r.call({ policy: eager });
    await r.clock.advance(5000);
    const { outcome } = await first.ending;
    expect(outcome).toMatchObject({ kind: 'answered', status: 503 });
    expect(outcome.verdict.retryAfterMs).toBeGreaterThan(25_000);
    expect(first.exchange.withheld).toBe('breaker');
    expect(first.exchange.attempts).toHaveLength(2);
    expect((await r.call({ policy: eager }).ending).outcome).toMatchObject({
      ...refused('breaker'),
      message: /./,
      retryAfterMs: expect.any(Number) as number,
      verdict: expect.anything() as object,
    });
  });
});
