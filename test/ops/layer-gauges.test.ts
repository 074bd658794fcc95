import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import type { QuotaStatus, StackStatus } from '../../src/core/status.ts';
import { declareLayerGauges } from '../../src/ops/layer-gauges.ts';

const quota = (token: string, overrides: Partial<QuotaStatus> = {}): QuotaStatus => ({
  token,
  limit: 83,
  remaining: 80,
  resetSeconds: 4,
  foreign: 2,
  pausedSeconds: 0,
  pausedEndpoints: {},
  waiting: 0,
  ...overrides,
});

function scrape(overrides: Partial<StackStatus>): Promise<string> {
  const registry = new Registry();
  const status: StackStatus = {
    inFlight: () => 3,
    waiting: () => 7,
    breakers: () => [],
    quotas: () => [],
    clockSkew: () => null,
    ...overrides,
  };
  declareLayerGauges(registry, status, () => 1_000_000);
  return registry.metrics();
}

it('shows breakers as 0, 1 and 2, a hand included', async () => {
  const kinds = ['closed', 'half_open', 'open', 'held_open', 'held_closed'] as const;
  const breakers = kinds.map((kind) => ({ endpoint: kind, kind, probeInSeconds: 0, requests: 0, failures: 0 }));
  const text = await scrape({ breakers: () => breakers });
  const values = kinds.map((kind) => /} (\d)/.exec(text.slice(text.indexOf(`{endpoint="${kind}"}`)))?.[1]);
  expect(values).toEqual(['0', '1', '2', '2', '0']);
  expect(text).toContain('holdfast_in_flight 3');
  expect(text).toContain('holdfast_waiting 7');
});

it('shows what is known of each token, the pause as a moment, and one clock difference for all', async () => {
  const quotas = [quota('a', { pausedSeconds: 5 }), quota('b', { limit: null, remaining: null, resetSeconds: null })];
  const text = await scrape({ quotas: () => quotas, clockSkew: () => ({ seconds: -90, errorSeconds: 0.01 }) });
  for (const line of [
    'holdfast_quota_limit{token="a"} 83',
    'holdfast_quota_remaining{token="a"} 80',
    'holdfast_quota_reset_seconds{token="a"} 4',
    'holdfast_quota_foreign{token="a"} 2',
    'holdfast_paused_until_seconds{token="a"} 1005',
    'holdfast_paused_until_seconds{token="b"} 0',
    'holdfast_clock_skew_seconds{token="b"} -90',
    'holdfast_clock_skew_error_seconds 0.01',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  expect(text).not.toContain('holdfast_quota_limit{token="b"}');
});

it('forgets a token that is gone, and shows a hundred at most', async () => {
  let quotas = Array.from({ length: 300 }, (_, i) => quota(`t${i}`));
  const registry = new Registry();
  const status = { inFlight: () => 0, waiting: () => 0, breakers: () => [], clockSkew: () => null };
  declareLayerGauges(registry, { ...status, quotas: () => quotas }, () => 0);
  expect((await registry.metrics()).match(/holdfast_quota_limit\{/g)).toHaveLength(100);
  quotas = [quota('t1')];
  expect((await registry.metrics()).match(/holdfast_quota_limit\{/g)).toHaveLength(1);
});
