/** What needs no Prometheus to be told of the rules and the dashboard. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PANELS } from '../../scripts/dashboard-panels.ts';
import { dashboardJson } from '../../scripts/generate-dashboard.ts';

const PROJECT = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(PROJECT, file), 'utf8');

interface Alert {
  readonly alert: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<'summary' | 'impact' | 'runbook_url', string>>;
}

const { groups } = parse(read('helm/holdfast/files/alerts.yaml')) as { groups: { rules: Partial<Alert>[] }[] };
const alerts = groups.flatMap(({ rules }) => rules).filter((rule): rule is Alert => rule.alert !== undefined);

describe('the alerts', () => {
  it('cover every signal, at the severities that it has', () => {
    const severities = new Map<string, string[]>();
    for (const { alert, labels } of alerts) severities.set(alert, [...(severities.get(alert) ?? []), labels.severity]);
    const both = ['warning', 'critical'];
    expect(Object.fromEntries(severities)).toEqual({
      HoldfastErrorRate: both,
      HoldfastRetryRate: both,
      HoldfastBreakerOpen: both,
      HoldfastDeadLetters: both,
      HoldfastDeadLettersLost: ['critical'],
      HoldfastQueueOld: ['warning'],
      HoldfastLatency: both,
      HoldfastThroughput: both,
      HoldfastCredentials: ['critical'],
      HoldfastRecordsRefused: ['warning'],
      HoldfastStoreUnhealthy: ['critical'],
      HoldfastConfigRejected: ['warning'],
      HoldfastAbsent: ['critical'],
    });
  });

  it('each say what is wrong, what that means for users, and where it says what to do', () => {
    const headings = [...read('docs/operations.md').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const { alert, annotations } of alerts) {
      expect([annotations.summary, annotations.impact].filter(Boolean), alert).toHaveLength(2);
      const [page, anchor] = annotations.runbook_url.split('#');
      expect(page).toBe('docs/operations.md');
      expect(headings, alert).toContain(anchor);
    }
  });
});

describe('the dashboard', () => {
  it('is what scripts/generate-dashboard.ts makes of its panels', () => {
    expect(read('helm/holdfast/files/dashboard.json')).toBe(dashboardJson());
  });

  it('fills whole lines, and asks for the variables that it has', () => {
    const { panels } = JSON.parse(dashboardJson()) as { panels: { gridPos: { x: number; w: number } }[] };
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (const { expr } of PANELS.flatMap(({ queries }) => queries)) {
      expect(expr).toContain('job=~"$job"');
      for (const [, name] of expr.matchAll(/\$(\w+)/g)) expect(['job', 'endpoint', '__rate_interval']).toContain(name);
    }
  });
});
