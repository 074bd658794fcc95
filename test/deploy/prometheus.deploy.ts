/** Rules and dashboard against a real Prometheus that scrapes a Holdfast under load. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { Child } from '../e2e/child.ts';
import { EVERYTHING, load } from './load.ts';
import { CHART, PROJECT, ran } from './manifests.ts';
import { Prometheus } from './prometheus.ts';

const tools = inject('tools');
const RULES = path.join(CHART, 'files/alerts.yaml');
const LOAD_MS = 30_000;
const CONFIG = `version: 1
defaults: { retry: { base_delay: 50ms } }
telemetry: { context_labels: [workflow] }
`;

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly expr: string; readonly record?: string }[] }[];
}

const dashboard = JSON.parse(readFileSync(path.join(CHART, 'files/dashboard.json'), 'utf8')) as Dashboard;
const rules = (parse(readFileSync(RULES, 'utf8')) as Rules).groups.flatMap((group) => group.rules);
const QUERIES = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => [title, expr] as const),
);

let folder: string;
let simulator: Simulator;
let holdfast: Child;
let adminUrl: string;
let prometheus: Prometheus;
let metrics: string;
let exported: ReadonlySet<string>;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
  simulator = await startSimulator({ port: 0, scenario: EVERYTHING });
  const file = path.join(folder, 'holdfast.yaml');
  writeFileSync(file, CONFIG);
  const where = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', path.join(folder, 'data')];
  const serve = ['serve', '--config', file, '--upstream', simulator.url, ...where];
  holdfast = new Child(process.execPath, [path.join(PROJECT, 'src/main.ts'), ...serve]);
  const listening = (await holdfast.logged('listening')) as { proxy: string; admin: string };
  adminUrl = listening.admin;
  prometheus = await Prometheus.start(tools.prometheus, new URL(adminUrl).host, RULES);
  const calls = await load(listening.proxy, LOAD_MS);
  metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  exported = new Set([...metrics.matchAll(/^(\w+?)(?:_bucket|_sum|_count)?[{ ]/gm)].map(([, name]) => name!));
  console.log(`${calls} calls; metrics without a value, so that their queries prove nothing: ${absent().join(', ')}`);
}, 240_000);

afterAll(async () => {
  await prometheus?.stop();
  if (holdfast !== undefined && holdfast.ended === null) holdfast.signal('SIGKILL');
  await holdfast?.exit();
  await simulator?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The metrics that an expression reads, a histogram by its own name. */
const metricsIn = (expr: string): string[] =>
  [...expr.matchAll(/\bholdfast_[a-z0-9_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, ''));

const absent = (): string[] => {
  const wanted = [...QUERIES.map(([, expr]) => expr), ...rules.map(({ expr }) => expr)].flatMap(metricsIn);
  return [...new Set(wanted)].filter((name) => !exported.has(name)).toSorted();
};

const filledIn = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '20s').replaceAll('$job', '.*').replaceAll('$endpoint', '.*');

/** Only a store that fails, or a queue of a hundred thousand, gives them a value; promtool tests their alert. */
const MAY_BE_ABSENT = ['holdfast_dead_letters_lost_total', 'holdfast_dead_letters_evicted_total'];

it('every metric that a query reads has a value', () => {
  expect(absent().filter((name) => !MAY_BE_ABSENT.includes(name))).toEqual([]);
});

describe('the dashboard', () => {
  it.each(QUERIES)('%s: %s', async (_, expr) => {
    const series = await prometheus.query(filledIn(expr));
    if (metricsIn(expr).every((name) => exported.has(name))) expect(series.length).toBeGreaterThan(0);
  });

  it('offers the jobs and the endpoints that there are', async () => {
    for (const { definition } of dashboard.templating.list.filter((each) => each.definition !== undefined)) {
      const [, match = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(definition!) ?? [];
      const values = await prometheus.ask(`label/${label}/values`, { 'match[]': filledIn(match) });
      expect(values, definition).not.toEqual([]);
    }
  });
});

describe('the rules', () => {
  it('are evaluated without an error', async () => {
    const { groups } = (await prometheus.ask('rules')) as {
      groups: { rules: { name: string; health: string; lastError?: string }[] }[];
    };
    const evaluated = groups.flatMap((group) => group.rules);
    expect(evaluated).toHaveLength(rules.length);
    expect(evaluated.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  it.each(rules.filter(({ record, expr }) => record !== undefined && !expr.includes('offset')))(
    '$record has data',
    async ({ record }) => {
      expect((await prometheus.query(record!)).length).toBeGreaterThan(0);
    },
  );

  it('see what goes wrong here before its time is up, and nothing else', async () => {
    const { result } = (await prometheus.ask('query', { query: 'count by (alertname) (ALERTS)' })) as {
      result: { metric: { alertname: string } }[];
    };
    const names = result.map(({ metric }) => metric.alertname);
    expect(names).toEqual(expect.arrayContaining(['HoldfastErrorRate', 'HoldfastBreakerOpen']));
    for (const name of ['HoldfastAbsent', 'HoldfastCredentials', 'HoldfastConfigRejected', 'HoldfastStoreUnhealthy'])
      expect(names).not.toContain(name);
  });

  it('satisfy promtool, and pass their unit tests', async () => {
    expect(await ran(tools.promtool, ['check', 'rules', RULES])).toMatchObject({ code: 0 });
    const tests = ['alerts.test.yaml', 'alerts-usual.test.yaml'].map((file) => path.join(import.meta.dirname, file));
    const { code, output } = await ran(tools.promtool, ['test', 'rules', ...tests]);
    expect(code, output).toBe(0);
  });
});

it('/metrics leaves promtool check metrics nothing to say', async () => {
  expect(await ran(tools.promtool, ['check', 'metrics'], metrics)).toEqual({ code: 0, output: '' });
});
