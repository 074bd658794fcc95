/** The pieces of which scripts/dashboard-panels.ts composes the dashboard. */

/** One line, or set of lines, of a panel. */
export interface Query {
  readonly expr: string;
  /** How Grafana names each line; `{{label}}` is replaced. */
  readonly legend: string;
}

/** One panel before it has a place. */
export interface Panel {
  readonly type: 'timeseries' | 'stat' | 'state-timeline' | 'row';
  readonly title: string;
  /** What a reader should conclude. */
  readonly description?: string;
  readonly unit?: string;
  readonly queries: readonly Query[];
  /** Of 24 columns. */
  readonly width: number;
  readonly height: number;
  readonly custom?: Readonly<Record<string, unknown>>;
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly overrides?: readonly unknown[];
}

/** Selects by the variables of the page: what has no endpoint, and what has one. */
export const ALL = 'job=~"$job"';
export const AT = 'job=~"$job", endpoint=~"$endpoint"';
/** Per second, over what a pixel shows. */
export const rate = (series: string): string => `rate(${series}[$__rate_interval])`;
/** A query and the name of its lines. */
export const query = (expr: string, legend = ''): Query => ({ expr, legend });

/** A heading. */
export const row = (title: string): Panel => ({ type: 'row', title, queries: [], width: 24, height: 1 });

/** Lines over time. */
export const lines = (title: string, unit: string, queries: readonly Query[], more: Partial<Panel> = {}): Panel => ({
  type: 'timeseries',
  title,
  unit,
  queries,
  width: 12,
  height: 8,
  ...more,
});

/** A number of now; `at` are the values from which it is orange and red. */
export const stat = (
  title: string,
  unit: string,
  expr: string,
  at?: readonly [orange: number, red: number],
): Panel => ({
  type: 'stat',
  title,
  unit,
  queries: [query(expr)],
  width: 3,
  height: 4,
  defaults: { thresholds: { mode: 'absolute', steps: steps(at) } },
});

function steps(at: readonly [number, number] | undefined): readonly unknown[] {
  const green = { color: 'green', value: null };
  if (at === undefined) return [green];
  return [green, { color: 'orange', value: at[0] }, { color: 'red', value: at[1] }];
}

/** A gauge that is 1 when all is well. */
export const health = (title: string, expr: string): Panel => ({
  ...stat(title, 'none', expr),
  defaults: {
    mappings: [{ type: 'value', options: { 0: { text: 'no', color: 'red' }, 1: { text: 'yes', color: 'green' } } }],
  },
});

/** Areas on top of each other. */
export const STACKED = { fillOpacity: 30, stacking: { mode: 'normal', group: 'A' } };
