import type { QueueStore } from '../core/queue-store.ts';
import type { BreakerStatus, StackStatus } from '../core/status.ts';
import type { DeadTally } from '../core/supersede.ts';

/** What `/api/status` shows of the layers: breakers by endpoint, quotas by token, dead letters by state. */
export function shownStatus(status: StackStatus & { readonly dead: Pick<DeadTally, 'byState'> }) {
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
    dead_letters: Object.fromEntries([...status.dead.byState()].map(([state, { rows }]) => [state, rows])),
  };
}

/** What it shows of the durable queue; null when the ledger cannot tell. `nowMs` is epoch ms. */
export async function shownQueue(store: Pick<QueueStore, 'queueDepth'>, nowMs: number) {
  const depth = await store.queueDepth().catch(() => null);
  if (depth === null) return null;
  const { rows, oldestAtMs } = depth;
  return { waiting: rows, oldest_seconds: oldestAtMs === null ? 0 : Math.max(nowMs - oldestAtMs, 0) / 1000 };
}

function shownBreaker({ kind, probeInSeconds, requests, failures }: BreakerStatus) {
  return { state: kind, probe_in_seconds: probeInSeconds, requests, failures };
}
