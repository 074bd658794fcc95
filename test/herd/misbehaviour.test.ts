import { expect, test } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { type Rig, startRig, type Told } from './rig.ts';

const LIMIT = 30;
const CALLS = 90;
const WINDOW_MS = 10_000;
const TOTAL_MS = 120_000;
const SPEED = 10;
const FASTEST = 20;

interface Ended {
  readonly told: readonly Told[];
  readonly attempts: number;
  readonly throttled: number;
  readonly tookMs: number;
}

/** Everybody at once against an upstream that always does the same thing wrong. */
async function herd(calls: number, rules: RuleInput[], speed: number): Promise<Ended> {
  const rig: Rig = await startRig({ scenario: { quota: { limit: LIMIT }, rules }, speed });
  try {
    const startedAtMs = rig.clock.now();
    const told = await Promise.all(Array.from({ length: calls }, () => rig.call('GET /me')));
    const { requests, throttled } = rig.simulator.stats();
    return { told, attempts: requests, throttled, tookMs: rig.clock.now() - startedAtMs };
  } finally {
    await rig.stop();
  }
}

function statuses({ told }: Ended): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, code } of told) {
    const key = code === null ? String(status) : `${status} ${code}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

// A quota of 30, which only a 429 betrays where the fields of the good answers are worthless.
const WRONG = ['missing', 'garbage', 'past', 'far_future', 'milliseconds', 'contradictory'] as const;

test.concurrent.for(WRONG)('§4: good answers with rate-limit fields that are %s: everybody is served', async (as) => {
  const ended = await herd(CALLS, [{ fault: { kind: 'rate_fields', as } }], SPEED);
  expect(statuses(ended)).toEqual({ 200: CALLS });
  expect(ended.tookMs).toBeLessThanOrEqual(6 * WINDOW_MS);
  expect(ended.throttled).toBeLessThanOrEqual(as === 'milliseconds' ? 0 : CALLS);
});

// At ten times real time a machine that stalls for some ms is early or late by a tenth of a second.
const STALLED = 2;

test.concurrent('§4: every other answer without fields: hardly a 429', async () => {
  const ended = await herd(CALLS, [{ probability: 0.5, fault: { kind: 'rate_fields', as: 'missing' } }], SPEED);
  expect(statuses(ended)).toEqual({ 200: CALLS });
  expect(ended.throttled).toBeLessThanOrEqual(STALLED);
});

/**
 * The upstream's own 429 as it came, never without a word of when; a refusal with its own time; or, for who waits up to
 * the deadline, the deadline (the 20 ms between the two are one or two at this speed).
 */
function isClear({ status, code, header }: Told): boolean {
  if (code === 'holdfast_deadline') return status === 504;
  return (
    status === 429 &&
    (code === 'holdfast_quota_wait' ? Number(header('retry-after')) > 0 : header('retry-after') !== null)
  );
}

interface Endless {
  readonly hint: 'seconds' | 'date' | 'reset' | 'none';
  readonly wait: string;
  /** The least time between two knocks at the closed door. */
  readonly everyMs: number;
}

const ENDLESS: readonly Endless[] = [
  { hint: 'none', wait: '0s', everyMs: WINDOW_MS },
  { hint: 'reset', wait: '0s', everyMs: 500 },
  { hint: 'reset', wait: '5s', everyMs: 4000 },
  { hint: 'reset', wait: '24h', everyMs: WINDOW_MS },
  { hint: 'seconds', wait: '0s', everyMs: 1000 },
  { hint: 'seconds', wait: '5s', everyMs: 5000 },
  { hint: 'seconds', wait: '24h', everyMs: 60_000 },
  { hint: 'date', wait: '5s', everyMs: 4000 },
];

test.concurrent.for(ENDLESS)(
  '§4: 429 for ever ($hint, $wait): no spin, an end in time, and an honest Retry-After',
  async ({ hint, wait, everyMs }) => {
    const ended = await herd(20, [{ fault: { kind: 'throttle', hint, wait } }], FASTEST);
    const seen = JSON.stringify({ ...statuses(ended), attempts: ended.attempts, tookMs: ended.tookMs });
    expect(ended.told.every(isClear), seen).toBe(true);
    expect(ended.tookMs, seen).toBeLessThanOrEqual(TOTAL_MS + 500 * FASTEST);
    // Ten go before the first answer; then one knocks after each pause.
    expect(ended.attempts, seen).toBeLessThanOrEqual(10 + Math.ceil(ended.tookMs / everyMs));
  },
);
