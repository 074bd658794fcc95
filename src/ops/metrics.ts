/**
 * Declares every Prometheus metric in one place, with its help and labels (contract, "Metrics"). Labels are bounded by
 * the configuration: `endpoint` is the name of a rule or `other`, never a path.
 */

import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import { EndpointHistogram, TallyCounter } from './tallies.ts';

const LATENCY_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** How many tokens a metric tells apart. */
export const TOKEN_LABELS_MAX = 100;

/** Counted at the edge and in `shed`: one client request each. */
function requestMetrics(registers: Registry[]) {
  return {
    requests: new TallyCounter({
      name: 'holdfast_requests_total',
      help: 'Client requests answered, by endpoint rule, method, status sent, origin of the answer and verdict.',
      labelNames: ['endpoint', 'method', 'status', 'from', 'verdict'] as const,
      registers,
    }),
    requestDuration: new EndpointHistogram({
      name: 'holdfast_request_duration_seconds',
      help: 'Time from the receipt of a request to the end of its answer, retries and waits included.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    shed: new Counter({
      name: 'holdfast_shed_total',
      help: 'Requests refused because too much was in flight.',
      registers,
    }),
    contextRequests: new Counter({
      name: 'holdfast_context_requests_total',
      help: 'Client requests by the values of the keys of Holdfast-Context that telemetry.context_labels names.',
      labelNames: ['key', 'value', 'verdict'] as const,
      registers,
    }),
    malformed: new Counter({
      name: 'holdfast_malformed_requests_total',
      help: 'Requests refused before they became an exchange, by the status sent.',
      labelNames: ['status'] as const,
      registers,
    }),
  };
}

/** Counted in `attempt` and `retry`: one try on the wire each. */
function attemptMetrics(registers: Registry[]) {
  return {
    attempts: new TallyCounter({
      name: 'holdfast_attempts_total',
      help: 'Attempts on the wire, by verdict and reason.',
      labelNames: ['endpoint', 'verdict', 'reason'] as const,
      registers,
    }),
    attemptDuration: new EndpointHistogram({
      name: 'holdfast_attempt_duration_seconds',
      help: 'Time of one attempt, from dispatch to its verdict.',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    retries: new Counter({
      name: 'holdfast_retries_total',
      help: 'Attempts after the first, by the reason of the failure that they repeat.',
      labelNames: ['endpoint', 'reason'] as const,
      registers,
    }),
    retriesWithheld: new Counter({
      name: 'holdfast_retries_withheld_total',
      help: 'Failed attempts that were not sent again, by why not.',
      labelNames: ['endpoint', 'reason'] as const,
      registers,
    }),
    throttled: new Counter({
      name: 'holdfast_throttled_total',
      help: 'Attempts that the upstream answered with 429.',
      labelNames: ['endpoint', 'token'] as const,
      registers,
    }),
    unmappedErrors: new Counter({
      name: 'holdfast_unmapped_errors_total',
      help: 'Error answers of known operations that no rule of the error maps names.',
      labelNames: ['endpoint', 'status'] as const,
      registers,
    }),
  };
}

/** Counted in the layers. Their gauges are in `layer-gauges.ts`. */
function layerMetrics(registers: Registry[]) {
  return {
    breakerTransitions: new Counter({
      name: 'holdfast_breaker_transitions_total',
      help: 'Changes of state of a circuit breaker; endpoint host is the breaker of the whole upstream.',
      labelNames: ['endpoint', 'to'] as const,
      registers,
    }),
    would: new Counter({
      name: 'holdfast_would_total',
      help: 'Mode observe: what a layer would have done, had it been allowed to.',
      labelNames: ['endpoint', 'layer'] as const,
      registers,
    }),
    pacingWait: new Histogram({
      name: 'holdfast_pacing_wait_seconds',
      help: 'Waits for a slot of the quota, by priority. Calls that did not wait are not in it.',
      labelNames: ['priority'] as const,
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
  };
}

/** Counted in `idempotency` and `reconcile`, and the state of the store. */
function ledgerMetrics(registers: Registry[]) {
  return {
    idempotency: new Counter({
      name: 'holdfast_idempotency_total',
      help: 'Calls that the ledger knows as an operation, by what it did with them.',
      labelNames: ['endpoint', 'result'] as const,
      registers,
    }),
    reconciliations: new Counter({
      name: 'holdfast_reconciliations_total',
      help: 'Lost creates that were looked for, by what came of it.',
      labelNames: ['endpoint', 'result'] as const,
      registers,
    }),
    deadLetters: new Counter({
      name: 'holdfast_dead_letters_total',
      help: 'Calls kept as dead letters, by cause: exhausted, permanent, unknown, interrupted, refused.',
      labelNames: ['endpoint', 'cause'] as const,
      registers,
    }),
    deadLettersLost: new Counter({
      name: 'holdfast_dead_letters_lost_total',
      help: 'Calls that should have been kept as dead letters and are not, because the ledger was unavailable.',
      labelNames: ['endpoint'] as const,
      registers,
    }),
    deadLettersEvicted: new Counter({
      name: 'holdfast_dead_letters_evicted_total',
      help: 'Dead letters that retention took, counted before they go, by why: age, count, bytes.',
      labelNames: ['reason'] as const,
      registers,
    }),
    redriveRows: new Counter({
      name: 'holdfast_redrive_rows_total',
      help: 'Rows of redrives, by what became of them.',
      labelNames: ['result'] as const,
      registers,
    }),
    notifications: new Counter({
      name: 'holdfast_notifications_total',
      help: 'Messages to the targets of notify, by what became of them: sent, failed, dropped.',
      labelNames: ['target', 'result'] as const,
      registers,
    }),
    storeHealthy: new Gauge({
      name: 'holdfast_store_healthy',
      help: '1 while the ledger can be read and written, 0 while keyed and handed-over calls are refused.',
      registers,
    }),
  };
}

/** About the process itself. */
function processMetrics(registers: Registry[]) {
  return {
    configLastReloadSuccessful: new Gauge({
      name: 'holdfast_config_last_reload_successful',
      help: '1 when the last load of the configuration succeeded, 0 when it failed and the last good one is kept.',
      registers,
    }),
    buildInfo: new Gauge({
      name: 'holdfast_build_info',
      help: 'Always 1; the labels say what is running.',
      labelNames: ['version', 'node'] as const,
      registers,
    }),
  };
}

/** The metrics of one process, all in `registry`. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Declares all metrics in a registry of their own, so that two instances in one test process stay apart. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    ...requestMetrics(registers),
    ...attemptMetrics(registers),
    ...layerMetrics(registers),
    ...ledgerMetrics(registers),
    ...processMetrics(registers),
  };
}
