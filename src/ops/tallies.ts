/**
 * A counter and a histogram for what every call counts. prom-client builds and hashes a label object with each count,
 * 5 µs a call; here the cell of a combination of labels is found by a few look-ups, and prom-client is told at the scrape.
 */

import type { LabelValues, Registry } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import Histogram from 'prom-client/lib/histogram.js';

/** What both are declared with. */
interface Declaration {
  readonly name: string;
  readonly help: string;
  readonly registers: Registry[];
}

type LabelValue = string | number;

interface Cell<L extends string> {
  readonly labels: LabelValues<L>;
  /** Since the last scrape. */
  count: number;
}

interface Branch<L extends string> {
  readonly next: Map<LabelValue, Branch<L>>;
  cell: Cell<L> | null;
}

/** A counter that is told by the values of its labels, in their order. */
export class TallyCounter<L extends string> extends Counter<L> {
  readonly #names: readonly L[];
  readonly #root: Branch<L> = { next: new Map(), cell: null };
  readonly #cells: Cell<L>[] = [];

  constructor(declaration: Declaration & { readonly labelNames: readonly L[] }) {
    super(declaration);
    this.#names = declaration.labelNames;
  }

  /** Counts one; a value for every label. */
  tally(values: readonly LabelValue[]): void {
    let branch = this.#root;
    for (const value of values) {
      const next = branch.next.get(value);
      branch = next ?? this.#grow(branch, value);
    }
    branch.cell ??= this.#cellOf(values);
    branch.cell.count += 1;
  }

  override get(): ReturnType<Counter<L>['get']> {
    for (const cell of this.#cells) {
      if (cell.count > 0) this.inc(cell.labels, cell.count);
      cell.count = 0;
    }
    return super.get();
  }

  #grow(branch: Branch<L>, value: LabelValue): Branch<L> {
    const grown: Branch<L> = { next: new Map(), cell: null };
    branch.next.set(value, grown);
    return grown;
  }

  #cellOf(values: readonly LabelValue[]): Cell<L> {
    const labels = Object.fromEntries(this.#names.map((name, index) => [name, values[index]])) as LabelValues<L>;
    const cell = { labels, count: 0 };
    this.#cells.push(cell);
    return cell;
  }
}

interface Durations {
  /** One per bound, not cumulated, and one for what is longer than all. */
  readonly counts: Float64Array;
  sum: number;
}

/** A histogram of seconds by endpoint. */
export class EndpointHistogram extends Histogram<'endpoint'> {
  readonly #declaration: Declaration;
  readonly #bounds: readonly number[];
  readonly #endpoints = new Map<string, Durations>();

  constructor(declaration: Declaration & { readonly buckets: readonly number[] }) {
    super({ ...declaration, buckets: [...declaration.buckets], labelNames: ['endpoint'] });
    this.#declaration = declaration;
    this.#bounds = declaration.buckets;
  }

  /** Takes one duration. */
  note(endpoint: string, seconds: number): void {
    let durations = this.#endpoints.get(endpoint);
    if (durations === undefined) {
      durations = { counts: new Float64Array(this.#bounds.length + 1), sum: 0 };
      this.#endpoints.set(endpoint, durations);
    }
    let index = 0;
    while (index < this.#bounds.length && seconds > (this.#bounds[index] as number)) index += 1;
    durations.counts[index] = (durations.counts[index] as number) + 1;
    durations.sum += seconds;
  }

  /** Where the registry and `get` take the values from; not in prom-client's types. */
  async getForPromString(): Promise<object> {
    const values: object[] = [];
    const { name, help } = this.#declaration;
    for (const [endpoint, { counts, sum }] of this.#endpoints) {
      const sharedLabels = { endpoint };
      let count = 0;
      for (const [index, inBucket] of counts.entries()) {
        count += inBucket;
        const labels = { le: this.#bounds[index] ?? '+Inf' };
        values.push({ metricName: `${name}_bucket`, labels, sharedLabels, value: count });
      }
      values.push({ metricName: `${name}_sum`, labels: {}, sharedLabels, value: sum });
      values.push({ metricName: `${name}_count`, labels: {}, sharedLabels, value: count });
    }
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }
}
