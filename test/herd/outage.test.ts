import { expect, test } from 'vitest';
import { outlive } from './outage.ts';

// Coarse, for a machine that does other things as well: the real bounds are proven by `npm run proof:herd`.
const DEATHS = ['refused', 'unavailable'] as const;

test.concurrent.for(DEATHS)(
  '§5 wait: the profile patient loses no call in an outage (%s), knocks twice a second at most, and is back at once',
  async (death) => {
    const outageMs = 8000;
    const run = await outlive({ death, whenOpen: 'patient', outageMs, perSecond: 40, calmMs: 2000 });
    expect(run.failed).toBe(0);
    expect(run.perSecondAfterTrip, JSON.stringify(run)).toBeLessThanOrEqual(2);
    expect(run.firstSuccessMs, JSON.stringify(run)).toBeLessThanOrEqual(5000);
    expect(run.worstMs, JSON.stringify(run)).toBeLessThanOrEqual(outageMs + 10_000);
  },
);

test.for(DEATHS)('§5 fail: the open breaker refuses at once (%s)', async (death) => {
  const run = await outlive({ death, whenOpen: 'fail', outageMs: 3000, perSecond: 80, calmMs: 500 });
  const refusals = run.refusalsMs.toSorted((a, b) => a - b);
  expect(refusals.length).toBeGreaterThan(50);
  // Less than every wait that there is; and the client and the simulator share this process and its processor.
  expect(refusals[Math.floor(refusals.length / 2)]).toBeLessThanOrEqual(50);
  expect(run.perSecondAfterTrip).toBeLessThanOrEqual(2);
});
