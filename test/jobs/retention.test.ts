import { describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../src/core/store.ts';
import { runRetention } from '../../src/jobs/retention.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** A store that takes `batchMs` for each batch of those that have expired. */
function rig(expired: number, batchMs = 10) {
  const clock = new VirtualClock();
  const { events, named } = recordedEvents();
  const stopping = new AbortController();
  const state = { expired, fault: null as Error | null };
  const batches: { atMs: number; nowMs: number; limit: number }[] = [];
  const store = {
    expire: async (nowMs: number, limit: number): Promise<number> => {
      batches.push({ atMs: clock.now() - 1000, nowMs, limit });
      await new Promise<void>((resolve) => void clock.timer(batchMs, resolve));
      if (state.fault !== null) throw state.fault;
      const deleted = Math.min(state.expired, limit);
      state.expired -= deleted;
      return deleted;
    },
  };
  const ended = runRetention({ store, events }, clock, stopping.signal);
  return { clock, named, state, batches, stopping, ended };
}

describe('retention', () => {
  it('deletes once a minute, by the wall clock, in batches, with nine tenths of the time left to live calls', async () => {
    const r = rig(1200, 20);
    await r.clock.advance(60_000);
    expect(r.batches).toEqual([{ atMs: 60_000, nowMs: Date.UTC(2026, 0, 1) + 60_000, limit: 500 }]);
    await r.clock.advance(59_000);
    expect(r.batches.map(({ atMs }) => atMs)).toEqual([60_000, 60_200, 60_400]);
    expect(r.state.expired).toBe(0);
    await r.clock.advance(1500);
    expect(r.batches).toHaveLength(4);
    r.stopping.abort();
    await r.ended;
    expect(r.clock.pending).toBe(0);
  });

  it('tries again in a minute while the store is unavailable, and says of anything else that it is a bug', async () => {
    const r = rig(700);
    r.state.fault = new StoreUnavailable('disk full');
    await r.clock.advance(61_000);
    expect(r.named('bug')).toHaveLength(0);
    r.state.fault = new TypeError('oh');
    await r.clock.advance(60_000);
    expect(r.named('bug')).toHaveLength(1);
    r.state.fault = null;
    await r.clock.advance(61_000);
    expect(r.state.expired).toBe(0);
    r.stopping.abort();
    await r.ended;
  });
});
