/**
 * The gauges of the layers' state, filled when somebody scrapes: a call pays nothing for them. Prometheus reads them in
 * the order of their declaration here, so the first of a group fills the whole group and asks the layer once.
 */

import type { Registry } from 'prom-client';
import Gauge from 'prom-client/lib/gauge.js';
import type { BreakerKind } from '../core/breaker.ts';
import type { StackStatus } from '../core/status.ts';
import { TOKEN_LABELS_MAX } from './metrics.ts';

const BREAKER_STATE: Readonly<Record<BreakerKind, number>> = {
  closed: 0,
  held_closed: 0,
  half_open: 1,
  open: 2,
  held_open: 2,
};

/** Declares the gauges over `status`; `wall` is the epoch time in ms. */
export function declareLayerGauges(registry: Registry, status: StackStatus, wall: () => number): void {
  const gauges = [...loadGauges(status), ...tokenGauges(status, wall)];
  for (const gauge of gauges) registry.registerMetric(gauge);
}

const registers: Registry[] = [];

function loadGauges(status: StackStatus): Gauge[] {
  return [
    new Gauge({
      name: 'holdfast_in_flight',
      help: 'Client requests that are being worked on, without those that wait inside a layer.',
      registers,
      collect() {
        this.set(status.inFlight());
      },
    }),
    new Gauge({
      name: 'holdfast_waiting',
      help: 'Client requests that wait for a slot, at a breaker, for the retry budget or at a bulkhead.',
      registers,
      collect() {
        this.set(status.waiting());
      },
    }),
    new Gauge({
      name: 'holdfast_breaker_state',
      help: 'Circuit breakers that calls have met: 0 closed, 1 half-open, 2 open; endpoint host is the whole upstream.',
      labelNames: ['endpoint'],
      registers,
      collect() {
        this.reset();
        for (const { endpoint, kind } of status.breakers()) this.set({ endpoint }, BREAKER_STATE[kind]);
      },
    }),
  ];
}

function tokenGauges(status: StackStatus, wall: () => number): Gauge[] {
  const ofToken = (name: string, help: string): Gauge<'token'> =>
    new Gauge({ name, help, labelNames: ['token'], registers });
  const collect = (): void => {
    const skew = status.clockSkew();
    for (const gauge of [limit, remaining, reset, pausedUntil, foreign, clockSkew]) gauge.reset();
    if (skew !== null) clockSkewError.set(skew.errorSeconds);
    for (const { token, ...quota } of status.quotas().slice(0, TOKEN_LABELS_MAX)) {
      if (quota.limit !== null) limit.set({ token }, quota.limit);
      if (quota.remaining !== null) remaining.set({ token }, quota.remaining);
      if (quota.resetSeconds !== null) reset.set({ token }, quota.resetSeconds);
      pausedUntil.set({ token }, quota.pausedSeconds === 0 ? 0 : wall() / 1000 + quota.pausedSeconds);
      foreign.set({ token }, quota.foreign);
      if (skew !== null) clockSkew.set({ token }, skew.seconds);
    }
  };
  const limit = new Gauge({
    name: 'holdfast_quota_limit',
    help: 'Calls that one window of the token takes, as the upstream says.',
    labelNames: ['token'],
    registers,
    collect,
  });
  const remaining = ofToken('holdfast_quota_remaining', 'Calls that the current window of the token still takes.');
  const reset = ofToken('holdfast_quota_reset_seconds', 'Time until the current window of the token ends.');
  const pausedUntil = ofToken('holdfast_paused_until_seconds', 'Unix time until which the token pauses; 0 when not.');
  const foreign = ofToken('holdfast_quota_foreign', 'Calls of the current window that somebody else made.');
  const clockSkew = ofToken(
    'holdfast_clock_skew_seconds',
    'Clock of the upstream minus our own, one clock for all tokens.',
  );
  const clockSkewError = new Gauge({
    name: 'holdfast_clock_skew_error_seconds',
    help: 'How far holdfast_clock_skew_seconds may be off, either way.',
    registers,
  });
  return [limit, remaining, reset, pausedUntil, foreign, clockSkew, clockSkewError];
}
