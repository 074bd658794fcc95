import { z } from 'zod';
import { type Arrival, defineFault } from '../base/fault.ts';

/** A good answer whose rate-limit fields are missing or wrong. */
export const rateFields = defineFault(
  'rate_fields',
  { as: z.enum(['missing', 'garbage', 'past', 'far_future', 'milliseconds', 'contradictory']) },
  (arrival, options) => arrival.send(arrival.apply(), fieldsAs[options.as](arrival)),
);

const HOUR_SECONDS = 3600;
const TEN_YEARS_SECONDS = 10 * 365 * 24 * HOUR_SECONDS;

function fields(limit: number | string, remaining: number | string, reset: number | string): string[] {
  return [
    'X-RateLimit-Limit',
    String(limit),
    'X-RateLimit-Remaining',
    String(remaining),
    'X-RateLimit-Reset',
    String(reset),
  ];
}

const fieldsAs = {
  missing: () => [],
  garbage: () => fields('many', '-', 'soon'),
  past: ({ quota, serverNow }: Arrival) =>
    fields(quota.limit, quota.remaining, Math.floor(serverNow() / 1000) - HOUR_SECONDS),
  far_future: ({ quota, serverNow }: Arrival) =>
    fields(quota.limit, 0, Math.floor(serverNow() / 1000) + TEN_YEARS_SECONDS),
  milliseconds: ({ quota }: Arrival) => fields(quota.limit, quota.remaining, quota.resetSeconds * 1000),
  contradictory: ({ quota }: Arrival) => fields(0, quota.limit + 1, quota.resetSeconds),
};
