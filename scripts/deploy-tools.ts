/**
 * Gets the tools of `npm run test:deploy` into a cache folder, each in a folder of its version: what is there already is
 * not fetched again. They come from the Go module proxy, Debian's packages, PyPI and npm, all pinned but Debian's.
 */

import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** The Kubernetes versions that the manifests must fit: the oldest that the chart takes, and the newest known. */
export const KUBERNETES_VERSIONS = ['1.30.0', '1.37.0'] as const;

const CRDS = new URL('../test/deploy/crds/', import.meta.url);
const SCHEMAS_WHEEL = 'kubernetes-validate==1.37.0';
const SCHEMAS_SHA256 = '85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9';

/** Paths of what was fetched. */
export interface DeployTools {
  readonly helm: string;
  readonly kubeconform: string;
  /** Checks a compose file against the Compose Specification, its reference implementation. */
  readonly compose: string;
  readonly prometheus: string;
  readonly promtool: string;
  /** `{version}/{kind}-{group}-{apiVersion}.json`, strict. */
  readonly schemas: string;
  /** A `node_modules` with the validators of the Prometheus Operator's resources. */
  readonly crds: string;
}

/** A tool that could not be had, and why. */
export class ToolsMissing extends Error {
  override readonly name = 'ToolsMissing';
}

interface Recipe {
  /** The folder in the cache; a new version is a new one. */
  readonly folder: string;
  readonly fetch: (into: string, env: NodeJS.ProcessEnv) => Promise<void>;
}

const RECIPES: Readonly<Record<'helm' | 'kubeconform' | 'compose' | 'prometheus' | 'schemas' | 'crds', Recipe>> = {
  helm: fromGo('helm.sh/helm/v4/cmd/helm', 'v4.3.1'),
  kubeconform: fromGo('github.com/yannh/kubeconform/cmd/kubeconform', 'v0.8.0'),
  compose: fromGo('github.com/compose-spec/compose-go/v2/cmd', 'v2.16.2'),
  prometheus: { folder: 'prometheus-debian', fetch: fetchPrometheus },
  schemas: { folder: `schemas-${SCHEMAS_SHA256.slice(0, 12)}`, fetch: fetchSchemas },
  crds: { folder: 'crds-6.0.0', fetch: fetchCrds },
};

/** Fetches what is missing, one after the other; a `ToolsMissing` names all that could not be had. */
export async function deployTools(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<DeployTools> {
  const cache = path.join(
    env['XDG_CACHE_HOME'] ?? path.join(env['HOME'] ?? '/tmp', '.cache'),
    'holdfast',
    'deploy-tools',
  );
  await mkdir(cache, { recursive: true });
  const missing: string[] = [];
  for (const [name, recipe] of Object.entries(RECIPES)) {
    const folder = path.join(cache, recipe.folder);
    if (await exists(folder)) continue;
    say(`deploy-tools: fetching ${recipe.folder}`);
    const beside = `${folder}.partial`;
    try {
      await rm(beside, { recursive: true, force: true });
      await mkdir(beside);
      await recipe.fetch(beside, env);
      // A folder with its final name is whole.
      await rename(beside, folder);
    } catch (error) {
      missing.push(`${name} (${recipe.folder}): ${reasonOf(error)}`);
    }
  }
  if (missing.length > 0) throw new ToolsMissing(`could not get:\n  ${missing.join('\n  ')}`);
  const at = (name: keyof typeof RECIPES, ...parts: string[]): string =>
    path.join(cache, RECIPES[name].folder, ...parts);
  return {
    helm: at('helm', 'helm'),
    kubeconform: at('kubeconform', 'kubeconform'),
    compose: at('compose', 'cmd'),
    prometheus: at('prometheus', 'usr/bin/prometheus'),
    promtool: at('prometheus', 'usr/bin/promtool'),
    schemas: at('schemas'),
    crds: at('crds', 'node_modules'),
  };
}

function fromGo(module: string, version: string): Recipe {
  const name = module.split('/').find((part) => ['helm', 'kubeconform', 'compose-go'].includes(part));
  return {
    folder: `${name}-${version}`,
    fetch: async (into, env) => {
      const build = { ...env, GOBIN: into, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' };
      await run('go', ['install', '-trimpath', '-ldflags=-s -w', `${module}@${version}`], { cwd: into, env: build });
    },
  };
}

/** Unpacked, not installed: nothing of the machine changes, and no service starts. */
async function fetchPrometheus(into: string, env: NodeJS.ProcessEnv): Promise<void> {
  const download = () => run('apt-get', ['download', 'prometheus'], { cwd: into, env });
  // The lists of a new machine are empty or old.
  await download().catch(async () => {
    await run('apt-get', ['update', '-qq'], { env });
    await download();
  });
  const [archive = ''] = await readdir(into);
  await run('dpkg-deb', ['-x', archive, '.'], { cwd: into, env });
  await rm(path.join(into, archive));
}

const UNPACK = `
import sys, zipfile
wheel, *versions = sys.argv[1:]
archive = zipfile.ZipFile(wheel)
for name in archive.namelist():
    parts = name.split('/')
    if len(parts) == 4 and parts[2] in ['v%s-local-strict' % version for version in versions]:
        archive.extract(name)
`;

async function fetchSchemas(into: string, env: NodeJS.ProcessEnv): Promise<void> {
  const options = { cwd: into, env };
  await writeFile(path.join(into, 'wanted.txt'), `${SCHEMAS_WHEEL} --hash=sha256:${SCHEMAS_SHA256}\n`);
  const wanted = ['--only-binary', ':all:', '--require-hashes', '-r', 'wanted.txt'];
  await run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', ...wanted], options);
  const wheel = (await readdir(into)).find((name) => name.endsWith('.whl')) ?? '';
  await run('python3', ['-c', UNPACK, wheel, ...KUBERNETES_VERSIONS], options);
  await rm(path.join(into, wheel));
  for (const version of KUBERNETES_VERSIONS) {
    const folder = path.join(into, version);
    await rename(path.join(into, 'kubernetes_validate/kubernetes-json-schema', `v${version}-local-strict`), folder);
    for (const name of await readdir(folder)) await makeLocal(path.join(folder, name));
  }
}

/** The schemas point at each other by an address; on disk they stand beside each other. */
async function makeLocal(file: string): Promise<void> {
  const { $id: _, ...schema } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify(schema).replaceAll('"/api/_definitions.json#', '"_definitions.json#'));
}

async function fetchCrds(into: string, env: NodeJS.ProcessEnv): Promise<void> {
  for (const name of ['package.json', 'package-lock.json']) await copyFile(new URL(name, CRDS), path.join(into, name));
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: into,
    env,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

function reasonOf(error: unknown): string {
  const { code, path: program, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
  if (code === 'ENOENT') return `there is no ${program} on this machine`;
  return (stderr?.trim() || message).split('\n').slice(-3).join(' | ');
}
