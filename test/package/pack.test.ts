/** What `npm pack` makes: an installable package in plain JavaScript that needs no development dependency. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { started } from '../e2e/child.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

const run = promisify(execFile);
const PROJECT = path.resolve(import.meta.dirname, '../..');
const NO_TYPESCRIPT = { NODE_OPTIONS: '--no-experimental-strip-types' };

interface LockFile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
}

let folder: string;
let files: readonly string[];

const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
const inFolder = (...parts: string[]): string => path.join(folder, ...parts);

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
  const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  const npm = (args: readonly string[], cwd: string) => run('npm', args, { cwd, env: { ...process.env, PATH } });
  const { stdout } = await npm(['pack', '--json', '--silent', '--pack-destination', folder], PROJECT);
  // The build that runs first prints its own lines before the JSON.
  const [packed] = JSON.parse(stdout.slice(stdout.search(/^\[/m))) as [{ filename: string; files: { path: string }[] }];
  files = packed.files.map((file) => file.path);
  await install(packed.filename, npm);
}, 120_000);

/** Installs with the versions of our own lock file, so that what `npm ci` fetched serves again, offline too. */
async function install(
  tarball: string,
  npm: (args: readonly string[], cwd: string) => Promise<unknown>,
): Promise<void> {
  const { lockfileVersion, packages } = readJson(path.join(PROJECT, 'package-lock.json')) as LockFile;
  const needed = Object.entries(packages).filter(([at, { dev, devOptional }]) => at !== '' && !dev && !devOptional);
  const { name, version, bin, dependencies } = readJson(path.join(PROJECT, 'package.json')) as Record<string, string>;
  const root = { name: 'somebody', version: '1.0.0', dependencies: { holdfast: `file:${tarball}` } };
  const own = { name, version, resolved: `file:${tarball}`, bin, dependencies };
  const lock = {
    ...root,
    lockfileVersion,
    requires: true,
    packages: { '': root, 'node_modules/holdfast': own, ...Object.fromEntries(needed) },
  };
  writeFileSync(inFolder('package.json'), JSON.stringify(root));
  writeFileSync(inFolder('package-lock.json'), JSON.stringify(lock));
  await npm(['install', '--omit=dev', '--prefer-offline', '--no-audit', '--no-fund'], folder);
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('holds plain JavaScript, the map and the papers, and nothing of the workshop', () => {
  expect(files).toEqual(
    expect.arrayContaining(['package.json', 'LICENSE', 'README.md', 'dist/main.js', 'config/intercom.yaml']),
  );
  expect(
    files.filter((file) => /\.tsx?$|\.tsbuildinfo$|\.map$|(^|\/)(test|bench|scripts|src|data)\//.test(file)),
  ).toEqual([]);
  expect(files.filter((file) => !/^(dist|config)\/|^[A-Za-z]+(\.md|\.json)?$/.test(file))).toEqual([]);
});

it('starts with the line that finds Node and bounds its memory', () => {
  const [first] = readFileSync(inFolder('node_modules/holdfast/dist/main.js'), 'utf8').split('\n');
  expect(first).toBe('#!/usr/bin/env -S node --max-semi-space-size=8');
});

it('brings no development dependency and no Node of its own', () => {
  const { devDependencies } = readJson(path.join(PROJECT, 'package.json')) as {
    devDependencies: Record<string, string>;
  };
  const installed = new Set(readdirSync(inFolder('node_modules')));
  expect(Object.keys(devDependencies).filter((name) => installed.has(name))).toEqual([]);
});

it('says its version and helps with every command, without a TypeScript loader', async () => {
  const version = started(inFolder('node_modules/.bin/holdfast'), ['--version'], NO_TYPESCRIPT);
  expect(await version.exit()).toBe(0);
  expect(version.stdout.trim()).toBe((readJson(path.join(PROJECT, 'package.json')) as { version: string }).version);
  for (const command of ['serve', 'check', 'explain', 'schema', 'init', 'simulate', 'demo', 'health']) {
    const help = started(inFolder('node_modules/.bin/holdfast'), [command, '--help'], NO_TYPESCRIPT);
    expect([await help.exit(), help.stderr], command).toEqual([0, '']);
  }
});

it('serves: one request through the installed proxy, then SIGTERM and exit 0', async () => {
  const upstream = await ScriptedUpstream.start();
  const args = ['serve', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--upstream', upstream.origin];
  const child = started(inFolder('node_modules/.bin/holdfast'), args, NO_TYPESCRIPT);
  const { proxy, admin } = (await child.logged('listening')) as { proxy: string; admin: string };
  const response = await fetch(`${proxy}/contacts/7`);
  expect([response.status, await response.json()]).toEqual([200, { ok: true }]);
  expect(response.headers.get('holdfast')).toBe('from=upstream, attempts=1, verdict=ok, effect=none');
  expect((await fetch(`${admin}/readyz`)).status).toBe(200);
  child.signal('SIGTERM');
  expect(await child.exit()).toBe(0);
  expect(child.stderr).toBe('');
  await upstream.close();
});

it('checks a configuration with the map that it carries', async () => {
  const child = started(inFolder('node_modules/.bin/holdfast'), ['explain', 'POST', '/contacts', '--status', '500']);
  expect(await child.exit()).toBe(0);
  expect(child.stdout).toMatch(/rule +POST \/contacts/);
  expect(child.stdout).toContain('holdfast_outcome_unknown');
});
