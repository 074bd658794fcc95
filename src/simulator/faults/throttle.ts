import { z } from 'zod';
import { error } from '../base/answer.ts';
import { duration } from '../base/duration.ts';
import { defineFault } from '../base/fault.ts';
import { retryAfter } from './status.ts';

/** A 429 without effect that says when to come back in one of the known ways, or not at all. */
export const throttle = defineFault(
  'throttle',
  { hint: z.enum(['seconds', 'date', 'reset', 'none']).default('reset'), wait: duration.default(1000) },
  (arrival, options) => {
    const { hint, wait } = options;
    const { limit } = arrival.quota;
    const seconds = String(Math.ceil((arrival.serverNow() + wait) / 1000));
    const rate = ['X-RateLimit-Limit', String(limit), 'X-RateLimit-Remaining', '0', 'X-RateLimit-Reset', seconds];
    const retry =
      hint === 'seconds' || hint === 'date' ? ['Retry-After', retryAfter(arrival.serverNow(), wait, hint)] : [];
    const message = `Exceeded rate limit of ${limit} in 10_seconds`;
    arrival.send(error(arrival.requestId, 429, 'rate_limit_exceeded', message, retry), hint === 'reset' ? rate : []);
  },
);
