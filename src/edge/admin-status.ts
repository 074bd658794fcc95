import type { BreakerStatus, StackStatus } from '../core/status.ts';
import { type Store, StoreUnavailable } from '../core/store.ts';

/** What `/api/status` shows of the layers: breakers by endpoint, quotas by token. */
export function shownStatus(status: StackStatus) {
  const skew = status.clockSkew();
  return {
    in_flight: status.inFlight(),
    waiting: status.waiting(),
    breakers: Object.fromEntries(status.breakers().map((each) => [each.endpoint, shownBreaker(each)])),
    quotas: Object.fromEntries(
      status.quotas().map((quota) => [
        quota.token,
        {
          limit: quota.limit,
          remaining: quota.remaining,
          reset_seconds: quota.resetSeconds,
          foreign: quota.foreign,
          paused_seconds: quota.pausedSeconds,
          paused_endpoints: quota.pausedEndpoints,
          waiting: quota.waiting,
        },
      ]),
    ),
    clock_skew: skew && { seconds: skew.seconds, error_seconds: skew.errorSeconds },
  };
}

/** What it shows of the ledger: both null when that cannot tell. `nowMs` is epoch ms. */
export async function shownLedger(store: Pick<Store, 'queueDepth' | 'countDead'>, nowMs: number) {
  try {
    const [{ rows, oldestAtMs }, counts] = await Promise.all([store.queueDepth(), store.countDead()]);
    const dead: Record<string, number> = { dead: 0, unknown: 0 };
    for (const each of counts) dead[each.state] = (dead[each.state] ?? 0) + each.rows;
    const oldestSeconds = oldestAtMs === null ? 0 : Math.max(nowMs - oldestAtMs, 0) / 1000;
    return { queue: { waiting: rows, oldest_seconds: oldestSeconds }, dead_letters: dead };
  } catch (error) {
    if (error instanceof StoreUnavailable) return { queue: null, dead_letters: null };
    throw error;
  }
}

function shownBreaker({ kind, probeInSeconds, requests, failures }: BreakerStatus) {
  return { state: kind, probe_in_seconds: probeInSeconds, requests, failures };
}
