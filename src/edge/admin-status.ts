import type { BreakerStatus, StackStatus } from '../core/status.ts';

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

function shownBreaker({ kind, probeInSeconds, requests, failures }: BreakerStatus) {
  return { state: kind, probe_in_seconds: probeInSeconds, requests, failures };
}
