import type { VerdictClass } from '../core/verdict.ts';
import { BoundedLabels } from './bounded-labels.ts';
import type { Metrics } from './metrics.ts';

/** How many values of one key a metric tells apart. */
const VALUES_MAX = 50;
const VALUE_CHARS_MAX = 64;

/**
 * Counts calls by the values of the keys of `Holdfast-Context` that `telemetry.context_labels` names. Callers choose the
 * values, and a counter never forgets a label: those beyond fifty per key share `other`.
 */
export class ContextLabels {
  readonly #metrics: Metrics;
  readonly #seen = new Map<string, BoundedLabels>();
  #keys: readonly string[] = [];

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** The keys that count from now on. */
  use(keys: readonly string[]): void {
    this.#keys = keys;
  }

  /** Counts one call; one without the key does not count. */
  count(context: Readonly<Record<string, string>>, verdict: VerdictClass): void {
    for (const key of this.#keys) {
      const value = context[key];
      if (value !== undefined) this.#metrics.contextRequests.inc({ key, value: this.#label(key, value), verdict });
    }
  }

  #label(key: string, value: string): string {
    let labels = this.#seen.get(key);
    if (labels === undefined) this.#seen.set(key, (labels = new BoundedLabels(VALUES_MAX)));
    return labels.of(value.slice(0, VALUE_CHARS_MAX));
  }
}
