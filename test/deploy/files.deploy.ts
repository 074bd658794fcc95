/** The compose files and the systemd unit, as their own tools read them. */

import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { PROJECT, ran } from './manifests.ts';

const tools = inject('tools');
const COMPOSE = path.join(PROJECT, 'deploy/compose');

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Composed {
  readonly services: Readonly<
    Record<
      string,
      { readonly volumes?: readonly { readonly type: string; readonly source: string }[]; readonly image: string }
    >
  >;
}

async function composed(...names: string[]): Promise<Composed> {
  const files = names.map((name) => path.join(COMPOSE, name));
  const args = ['-no-interpolation', '-format', 'json', ...files];
  return JSON.parse((await promisify(execFile)(tools.compose, args, { cwd: COMPOSE })).stdout) as Composed;
}

/** One of Grafana's provisioning files. */
const read = (name: string): unknown => parse(readFileSync(path.join(COMPOSE, 'grafana', name), 'utf8'));

describe('the compose files', () => {
  it('follow the Compose Specification, alone and with the simulator', async () => {
    expect(Object.keys((await composed('compose.yaml')).services)).toEqual(['grafana', 'holdfast', 'prometheus']);
    expect(Object.keys((await composed('compose.yaml', 'simulator.yaml')).services)).toContain('simulator');
  });

  it('mount files that are there, and run images of a named version', async () => {
    for (const { volumes = [], image } of Object.values((await composed('compose.yaml')).services)) {
      for (const { source } of volumes.filter(({ type }) => type === 'bind')) readFileSync(source);
      expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
    }
  });

  it('give Prometheus a configuration that it takes, with the rules', async () => {
    copyFileSync(path.join(COMPOSE, 'prometheus.yaml'), path.join(folder, 'prometheus.yaml'));
    copyFileSync(path.join(PROJECT, 'helm/holdfast/files/alerts.yaml'), path.join(folder, 'alerts.yaml'));
    const { code, output } = await ran(tools.promtool, ['check', 'config', path.join(folder, 'prometheus.yaml')]);
    expect(code, output).toBe(0);
    expect(output).toMatch(/\d+ rules found/);
  });

  it('give Grafana the datasource by its name and the folder of the dashboard', () => {
    expect(read('datasource.yaml')).toMatchObject({
      datasources: [{ type: 'prometheus', url: 'http://prometheus:9090' }],
    });
    expect(read('dashboards.yaml')).toMatchObject({
      providers: [{ options: { path: '/var/lib/grafana/dashboards' } }],
    });
  });
});

describe('the systemd unit', () => {
  const UNIT = readFileSync(path.join(PROJECT, 'deploy/systemd/holdfast.service'), 'utf8');

  it('is one that systemd takes', async () => {
    const file = path.join(folder, 'holdfast.service');
    // Verified with a program that is here.
    writeFileSync(file, UNIT.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
    expect(await ran('systemd-analyze', ['verify', '--man=no', file])).toEqual({ code: 0, output: '' });
  });

  it('leaves Holdfast little to do harm with', async () => {
    const file = path.join(folder, 'holdfast.service');
    writeFileSync(file, UNIT);
    const { code, output } = await ran('systemd-analyze', ['security', '--offline=yes', '--threshold=20', file]);
    expect(code, output).toBe(0);
  });

  it('waits longer than Holdfast drains', () => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(UNIT)?.[1])).toBeGreaterThan(29);
  });
});
