/**
 * Makes the Grafana dashboard of scripts/dashboard-panels.ts. Run it after a change there
 * (`node scripts/generate-dashboard.ts`); test/deploy/dashboard.test.ts fails until somebody did.
 */

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Panel } from './dashboard-panel.ts';
import { PANELS } from './dashboard-panels.ts';

const FILE = fileURLToPath(new URL('../helm/holdfast/files/dashboard.json', import.meta.url));
const COLUMNS = 24;
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** The text of the dashboard, as Grafana imports it. */
export function dashboardJson(): string {
  const dashboard = {
    uid: 'holdfast',
    title: 'Holdfast',
    tags: ['holdfast', 'intercom'],
    schemaVersion: 41,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus' },
        variable('job', 'label_values(holdfast_build_info, job)'),
        variable('endpoint', 'label_values(holdfast_requests_total{job=~"$job"}, endpoint)'),
      ],
    },
    panels: placed(PANELS),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function variable(name: string, query: string): unknown {
  return {
    name,
    label: name,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  };
}

function placed(panels: readonly Panel[]): unknown[] {
  let x = 0;
  let y = 0;
  let lineHeight = 0;
  return panels.map((panel, index) => {
    if (x + panel.width > COLUMNS) {
      x = 0;
      y += lineHeight;
      lineHeight = 0;
    }
    const gridPos = { x, y, w: panel.width, h: panel.height };
    x += panel.width;
    lineHeight = Math.max(lineHeight, panel.height);
    const head = { id: index + 1, type: panel.type, title: panel.title, gridPos };
    return panel.type === 'row' ? { ...head, collapsed: false, panels: [] } : { ...head, ...bodyOf(panel) };
  });
}

function bodyOf({ type, description, unit, queries, custom, defaults, overrides }: Panel): Record<string, unknown> {
  return {
    ...(description !== undefined && { description }),
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: {
        ...(unit !== undefined && { unit }),
        ...(type === 'timeseries' && { min: 0, custom: { showPoints: 'never', fillOpacity: 0, ...custom } }),
        ...defaults,
      },
      overrides: overrides ?? [],
    },
    options:
      type === 'timeseries'
        ? { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } }
        : {},
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCodePoint(65 + index),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      ...(type === 'stat' && { instant: true }),
    })),
  };
}

if (import.meta.main) await writeFile(FILE, dashboardJson());
