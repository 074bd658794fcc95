/** The gauges of the dead letter queue, counted by the store when somebody scrapes. */

import { Gauge, type Registry } from 'prom-client';
import type { OperationState } from '../core/operation.ts';

/** Every state that a dead letter can be in, so that a gauge falls to 0 and does not vanish. */
const STATES: readonly OperationState[] = ['dead', 'unknown', 'redriving', 'succeeded', 'discarded', 'superseded'];

/** Rows and bytes by state. */
export type DeadSums = ReadonlyMap<OperationState, { readonly rows: number; readonly bytes: number }>;

/**
 * Declares the gauges, which one scrape asks once. `count` rejects when the store cannot tell, and then they keep what they
 * showed. Each collects for itself: a scrape reads all metrics at once, and a value that another sets comes too late for it.
 */
export function declareDeadLetterGauges(registry: Registry, count: () => Promise<DeadSums>): void {
  let reading: Promise<DeadSums | null> | null = null;
  const read = (): Promise<DeadSums | null> => {
    reading ??= count()
      .catch(() => null)
      .finally(() => (reading = null));
    return reading;
  };
  const registers: Registry[] = [];
  const rows = new Gauge({
    name: 'holdfast_dead_letters',
    help: 'Dead letters by state; dead and unknown want something done.',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const sums = await read();
      if (sums === null) return;
      for (const state of new Set([...STATES, ...sums.keys()])) this.set({ state }, sums.get(state)?.rows ?? 0);
    },
  });
  const bytes = new Gauge({
    name: 'holdfast_dead_letters_bytes',
    help: 'About what dead letters take on the disk (dead_letters.max_bytes).',
    registers,
    async collect() {
      const sums = await read();
      if (sums !== null) this.set([...sums.values()].reduce((total, each) => total + each.bytes, 0));
    },
  });
  registry.registerMetric(rows);
  registry.registerMetric(bytes);
}
