/** What the durable queue tells: one line per run, and its depth when somebody scrapes. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { Exchange } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import type { QueueDepth, QueueStore } from '../core/queue-store.ts';
import type { Log } from './log.ts';

const registers: Registry[] = [];

/** The events of the queue. */
export class QueueEvents {
  readonly #log: Log;
  readonly #runs = new Counter({
    name: 'holdfast_queue_runs_total',
    help: 'Runs of handed-over calls, by the verdict that each ended with.',
    labelNames: ['endpoint', 'verdict'],
    registers,
  });

  /** `wall` is the epoch time, ms. */
  constructor(log: Log, registry: Registry, store: Pick<QueueStore, 'queueDepth'>, wall: () => number) {
    this.#log = log;
    registry.registerMetric(this.#runs);
    declareGauges(registry, store, wall);
  }

  /** A run has ended. */
  ran(exchange: Exchange, outcome: Outcome): void {
    const { policy, operation, attempts, context } = exchange;
    const { verdict } = outcome;
    this.#runs.inc({ endpoint: policy.name, verdict: verdict.class });
    if (!this.#log.isLevelEnabled('info')) return;
    this.#log.line({
      event: 'queue_run',
      id: exchange.id,
      operation: operation?.id,
      endpoint: policy.name,
      verdict: verdict.class,
      reason: verdict.reason,
      effect: verdict.effect,
      attempts: attempts.length,
      ...(context === null ? {} : { context }),
    });
  }
}

/** Gauges over the store, which one scrape asks once. When that cannot be read, they keep their last value. */
function declareGauges(registry: Registry, store: Pick<QueueStore, 'queueDepth'>, wall: () => number): void {
  let reading: Promise<QueueDepth | null> | null = null;
  const read = (): Promise<QueueDepth | null> => {
    reading ??= store
      .queueDepth()
      .catch(() => null)
      .finally(() => (reading = null));
    return reading;
  };
  const depth = new Gauge({
    name: 'holdfast_queue_depth',
    help: 'Handed-over calls that have not ended: those that wait in the durable queue and those that run.',
    registers,
    async collect() {
      const found = await read();
      if (found !== null) this.set(found.rows);
    },
  });
  const age = new Gauge({
    name: 'holdfast_queue_oldest_age_seconds',
    help: 'Time since the oldest handed-over call that has not ended was handed over.',
    registers,
    async collect() {
      const found = await read();
      if (found === null) return;
      this.set(found.oldestAtMs === null ? 0 : Math.max(wall() - found.oldestAtMs, 0) / 1000);
    },
  });
  registry.registerMetric(depth);
  registry.registerMetric(age);
}
