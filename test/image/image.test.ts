/** The image without a container engine: the Dockerfile checked, and its very steps carried out in a clean folder. */

import { execFile } from 'node:child_process';
import { chmodSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Child } from '../e2e/child.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { environmentOf, letIn, linesOf, replay, stagesOf } from './dockerfile.ts';

const PROJECT = path.resolve(import.meta.dirname, '../..');
const FILE = path.join(PROJECT, 'Dockerfile');
const USER = 65532;
const stages = stagesOf(FILE);
const final = stages.at(-1)!;
const exec = (text: string | undefined): string[] => JSON.parse(text ?? '') as string[];
const command = [...exec(linesOf(final, 'ENTRYPOINT')[0]?.text), ...exec(linesOf(final, 'CMD')[0]?.text)];

describe('the Dockerfile', () => {
  it('has nothing that a linter complains about', () => {
    expect(validate(readFileSync(FILE, 'utf8'), {}).map(({ message }) => message)).toEqual([]);
  });

  it('runs as a user without rights, and has nothing to write but its data', () => {
    expect(linesOf(final, 'USER').map(({ text }) => text)).toEqual([`${USER}:${USER}`]);
    expect(linesOf(final, 'VOLUME').map(({ text }) => text)).toEqual([environmentOf(final)['HOLDFAST_DATA']]);
    const owned = linesOf(final, 'COPY').filter(({ flags }) => flags['chown'] !== undefined);
    expect(owned.map(({ words }) => words.at(-1))).toEqual(['/data']);
  });

  it('starts Holdfast as process 1, asks it for its health, and stops it by SIGTERM', () => {
    expect(command.at(-1)).toBe('serve');
    expect(exec(linesOf(final, 'HEALTHCHECK')[0]?.text.replace(/^CMD /, '')).at(-1)).toBe('health');
    expect(linesOf(final, 'STOPSIGNAL').map(({ text }) => text)).toEqual(['SIGTERM']);
  });

  it('is built from one base image of a full version, with the Node that is tested here, and fetches nothing else', () => {
    expect(new Set(stages.map(({ image }) => image))).toEqual(new Set(['${NODE_IMAGE}']));
    const base = /^ARG NODE_IMAGE=node:(\S+?)-\S+-slim$/m.exec(readFileSync(FILE, 'utf8'))?.[1];
    const pinned = JSON.parse(readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as Record<string, never>;
    expect(base).toBe(pinned['devDependencies']!['node']);
    expect(stages.flatMap(({ lines }) => lines).filter(({ keyword }) => keyword === 'ADD')).toEqual([]);
  });

  it('says what it is', () => {
    const labels = linesOf(final, 'LABEL')[0]?.text ?? '';
    for (const name of ['title', 'description', 'version', 'revision', 'licenses'])
      expect(labels).toContain(`org.opencontainers.image.${name}=`);
    const { version } = JSON.parse(readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as { version: string };
    expect(readFileSync(FILE, 'utf8')).toContain(`ARG VERSION=${version}\n`);
  });

  it('is given what it copies, and nothing else', () => {
    const copied = stages
      .flatMap((stage) => linesOf(stage, 'COPY'))
      .filter(({ flags }) => flags['from'] === undefined)
      .flatMap(({ words }) => words.slice(0, -1));
    expect(letIn(path.join(PROJECT, '.dockerignore')).toSorted()).toEqual([...new Set(copied)].toSorted());
  });
});

describe('its steps in a clean folder', () => {
  const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  let root: string;
  let folder: string;
  let app: string;

  beforeAll(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
    // The user of the image must reach it.
    chmodSync(root, 0o755);
    folder = await replay(stages, PROJECT, root, { ...process.env, PATH, npm_config_prefer_offline: 'true' });
    app = path.join(folder, linesOf(final, 'WORKDIR')[0]!.text);
  }, 300_000);

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('leave plain JavaScript, the map, and no development dependency', () => {
    const own = globSync('**/*', { cwd: app, exclude: (name) => name === 'node_modules' });
    expect(own.filter((name) => /\.tsx?$/.test(name))).toEqual([]);
    expect(own).toEqual(expect.arrayContaining(['dist/main.js', 'config/intercom.yaml', 'LICENSE', 'package.json']));
    const { devDependencies } = JSON.parse(readFileSync(path.join(app, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const installed = new Set(globSync(['*', '@*/*'], { cwd: path.join(app, 'node_modules') }));
    expect(Object.keys(devDependencies).filter((name) => installed.has(name))).toEqual([]);
    expect(statSync(path.join(folder, 'data')).mode & 0o777).toBe(0o700);
  });

  it('leave an image that serves as its user, says that it is healthy, and stops on SIGTERM with exit 0', async () => {
    const upstream = await ScriptedUpstream.start();
    const env = {
      ...environmentOf(final),
      HOLDFAST_LISTEN: '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
      HOLDFAST_UPSTREAM_URL: upstream.origin,
      HOLDFAST_DATA: path.join(folder, 'data'),
    };
    // Root, as in a container, cannot be told from the user where it writes; others run it as themselves.
    const as = process.getuid?.() === 0 ? { uid: USER, gid: USER } : {};
    const served = new Child(command[0]!, command.slice(1), env, { cwd: app, ...as });
    try {
      const { proxy, admin } = (await served.logged('listening')) as { proxy: string; admin: string };
      expect((await fetch(`${proxy}/contacts/7`)).status).toBe(200);
      const health = exec(linesOf(final, 'HEALTHCHECK')[0]!.text.replace(/^CMD /, ''));
      const HOLDFAST_ADMIN_LISTEN = new URL(admin).host;
      const asked = await promisify(execFile)(health[0]!, health.slice(1), {
        cwd: app,
        env: { ...env, PATH, HOLDFAST_ADMIN_LISTEN },
        ...as,
      });
      expect(asked.stdout).toBe('ready\n');
      served.signal('SIGTERM');
      expect([await served.exit(), served.stderr]).toEqual([0, '']);
    } finally {
      if (served.ended === null) served.signal('SIGKILL');
      await upstream.close();
    }
  });
});
