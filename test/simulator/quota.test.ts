import { describe, expect, test } from 'vitest';
import { Quota } from '../../src/simulator/base/quota.ts';
import { call, started } from './support.ts';

const SETTINGS = { limit: 83, windowMs: 10_000, foreign: 0 };
const T0 = 1_800_000_000_000;

describe('quota', () => {
  test('lets exactly the limit in per window, and the reset is when the next one begins', () => {
    const quota = new Quota(SETTINGS);
    const resetMs = quota.take('t', T0).resetSeconds * 1000;
    const start = resetMs;
    const admitted = Array.from({ length: 100 }, (_, i) => quota.take('t', start + i * 100)).filter((r) => r.admitted);
    expect(admitted).toHaveLength(83);
    expect(admitted.at(-1)?.remaining).toBe(0);
    expect(quota.take('t', start + 9_999)).toMatchObject({
      admitted: false,
      remaining: 0,
      resetSeconds: start / 1000 + 10,
    });
    expect(quota.take('t', start + 10_000)).toMatchObject({ admitted: true, remaining: 82 });
  });

  test('tokens have windows of their own, begun at different seconds', () => {
    const quota = new Quota({ ...SETTINGS, limit: 1 });
    expect(quota.take('a', T0).admitted).toBe(true);
    expect(quota.take('b', T0).admitted).toBe(true);
    expect(quota.take('a', T0).admitted).toBe(false);
    const resets = new Set(Array.from({ length: 50 }, (_, i) => quota.take(`token ${i}`, T0).resetSeconds));
    expect(resets.size).toBeGreaterThan(5);
  });

  test('somebody else’s calls are spread over the window and take from what is left', () => {
    const quota = new Quota({ limit: 100, windowMs: 10_000, foreign: 40 });
    const start = quota.take('t', T0).resetSeconds * 1000;
    expect(quota.take('t', start).remaining).toBe(99);
    expect(quota.take('t', start + 5_000).remaining).toBe(78);
    let admitted = 2;
    while (quota.take('t', start + 9_999).admitted) admitted += 1;
    expect(admitted).toBe(61);
  });

  test('over the wire: three fields, 429 as Intercom words it, and a clock that is off and drifts', async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, wall: () => T0 + nowMs, timer: () => () => {} };
    const simulator = await started({
      clock,
      scenario: { quota: { limit: 2 }, clock: { offset: '90s', drift: 0.1 } },
    });
    const first = await call(simulator, 'GET /me');
    const reset = Number(first.headers.get('x-ratelimit-reset'));
    expect(first.headers.get('x-ratelimit-limit')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining')).toBe('1');
    expect(reset - (T0 / 1000 + 90)).toBeGreaterThan(0);
    expect(reset - (T0 / 1000 + 90)).toBeLessThanOrEqual(10);
    await call(simulator, 'GET /me');
    const third = await call(simulator, 'GET /me');
    expect([third.status, third.json.errors[0].message]).toEqual([429, 'Exceeded rate limit of 2 in 10_seconds']);
    expect((await call(simulator, 'GET /me', undefined, 'other')).status).toBe(200);
    nowMs += (reset * 1000 - (T0 + 90_000)) / 1.1 - 1;
    expect((await call(simulator, 'GET /me')).status).toBe(429);
    nowMs += 2;
    expect((await call(simulator, 'GET /me')).status).toBe(200);
    expect(simulator.stats().throttled).toBe(2);
  });
});
