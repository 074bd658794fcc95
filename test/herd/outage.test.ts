import { expect, test } from 'vitest';
import { outlive } from './outage.ts';

const DEATHS = ['refused', 'unavailable'] as const;

test.concurrent.for(DEATHS)(
  '§5 wait: the profile patient loses no call in an outage (%s), knocks twice a second at most, and is back at once',
  async (death) => {
    const outageMs = 8000;
    const run = await outlive({ death, whenOpen: 'patient', outageMs, perSecond: 40, calmMs: 2000 });
    expect(run.failed).toBe(0);
    expect(run.perSecondAfterTrip, JSON.stringify(run)).toBeLessThanOrEqual(2);
    expect(run.firstSuccessMs, JSON.stringify(run)).toBeLessThanOrEqual(1000);
    expect(run.worstMs, JSON.stringify(run)).toBeLessThanOrEqual(outageMs + 2000);
  },
);

test.for(DEATHS)('§5 fail: the open breaker refuses within 5 ms (%s)', async (death) => {
  const run = await outlive({ death, whenOpen: 'fail', outageMs: 3000, perSecond: 80, calmMs: 500 });
  const refusals = run.refusalsMs.toSorted((a, b) => a - b);
  expect(refusals.length).toBeGreaterThan(50);
  // The client and the simulator share this process and its processor: the slowest tenth is theirs.
  expect(refusals[Math.floor(refusals.length * 0.9)], JSON.stringify(refusals)).toBeLessThanOrEqual(5);
  expect(run.perSecondAfterTrip).toBeLessThanOrEqual(2);
});
