/** The gauges of the dead letter queue, counted by the store when somebody scrapes. */

import { Gauge, type Registry } from 'prom-client';
import type { OperationState } from '../core/operation.ts';

/** Every state that a dead letter can be in, so that a gauge falls to 0 and does not vanish. */
const STATES: readonly OperationState[] = ['dead', 'unknown', 'redriving', 'succeeded', 'discarded', 'superseded'];

/** Rows and bytes by state. */
export type DeadSums = ReadonlyMap<OperationState, { readonly rows: number; readonly bytes: number }>;

/** Declares the gauges; `count` rejects when the store cannot tell, and then they keep what they showed. */
export function declareDeadLetterGauges(registry: Registry, count: () => Promise<DeadSums>): void {
  const registers: Registry[] = [];
  const bytes = new Gauge({
    name: 'holdfast_dead_letters_bytes',
    help: 'About what dead letters take on the disk (dead_letters.max_bytes).',
    registers,
  });
  const rows = new Gauge({
    name: 'holdfast_dead_letters',
    help: 'Dead letters by state; dead and unknown want something done.',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const sums = await count().catch(() => null);
      if (sums === null) return;
      let total = 0;
      for (const state of new Set([...STATES, ...sums.keys()])) {
        this.set({ state }, sums.get(state)?.rows ?? 0);
        total += sums.get(state)?.bytes ?? 0;
      }
      bytes.set(total);
    },
  });
  registry.registerMetric(rows);
  registry.registerMetric(bytes);
}
