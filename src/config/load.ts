/**
 * Loads the configuration: file, environment and flags over the defaults. `serve`, `check`, `explain` and every reload
 * come through here, so that what `check` accepts is what `serve` runs. All faults are found in one run.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { Settings } from '../core/settings.ts';
import { compileSettings } from './compile.ts';
import { type Fault, fault, type Path, type Place, showValue, whyUnreadable } from './faults.ts';
import type { ConfigFile } from './schema.ts';
import { loadShipped } from './shipped.ts';
import type { Environment, Source } from './source.ts';
import { parseAddress } from './units.ts';
import type { Places, Validated } from './validate.ts';

/** Options of the command line that are keys of the configuration. */
export interface Flags {
  readonly listen?: string | undefined;
  readonly admin?: string | undefined;
  readonly upstream?: string | undefined;
  readonly data?: string | undefined;
}

/** What to load. */
export interface LoadRequest {
  /** The configuration file; null for the defaults. */
  readonly file: string | null;
  readonly env: Environment;
  readonly flags: Flags;
  /** Reads a text file; throws as `node:fs` does. */
  readonly readFile: (file: string) => string | Promise<string>;
}

/** The settings, or why there are none. Warnings alone hinder nothing. */
export type LoadResult =
  | { readonly ok: true; readonly settings: Settings; readonly faults: readonly Fault[] }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** The configuration file that a command is to read: the option, else `HOLDFAST_CONFIG`, else null. */
export function configFileOf(option: string | undefined, env: Environment): string | null {
  return option ?? (env['HOLDFAST_CONFIG'] || null);
}

/** Loads the settings. Expected faults are values; it rejects only for bugs and a broken installation. */
export async function loadSettings(request: LoadRequest): Promise<LoadResult> {
  const faults: Fault[] = [];
  const shipped = await loadShipped();
  const source = request.file === null ? null : await readConfigFile(request, request.file, faults);
  const overrides = overridesOf(request);
  const places = placesOf(source, overrides);
  const data = withOverrides(source?.data ?? {}, overrides);
  // The schema library is the most expensive part of a start; values that are plainly good do without it.
  const checked: Validated =
    source === null && overrides.every(isPlainlyGood)
      ? { config: data as ConfigFile, faults: [], rowIndexes: [] }
      : (await import('./validate.ts')).validate(data, places);
  faults.push(...checked.faults);
  const directory = path.dirname(path.resolve(request.file ?? 'holdfast.yaml'));
  const files = new FileCheck(request, checked.config, places, (file) => path.resolve(directory, file), faults);
  const adminToken = await files.adminToken();
  await files.others();
  const compiled = await compileSettings({
    shipped,
    config: checked.config,
    rowIndexes: checked.rowIndexes,
    places,
    env: request.env,
    adminToken,
    notifyUrls: await files.notifyUrls(),
    resolve: (file) => path.resolve(directory, file),
    source: request.file ?? 'defaults',
  });
  faults.push(...compiled.faults);
  faults.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  const hasErrors = faults.some(({ severity }) => severity === 'error');
  return hasErrors ? { ok: false, faults } : { ok: true, settings: compiled.settings, faults };
}

async function readConfigFile({ readFile, env }: LoadRequest, file: string, faults: Fault[]): Promise<Source | null> {
  let text: string;
  try {
    text = await readFile(file);
  } catch (error) {
    faults.push(
      fault({ source: file, line: null, column: null, got: null }, [], `cannot be read: ${whyUnreadable(error)}`),
    );
    return null;
  }
  const read = (await import('./source.ts')).readSource(file, text, env);
  faults.push(...read.faults);
  return read.source;
}

/** A value that environment or command line lay over the file. */
interface Override {
  readonly path: readonly string[];
  readonly value: string;
  readonly origin: string;
}

/** The strongest last. An empty variable counts as not set, as container templates leave them. */
function overridesOf({ env, flags }: LoadRequest): Override[] {
  const candidates: [readonly string[], string | undefined, string][] = [
    [['listen'], env['HOLDFAST_LISTEN'], 'environment HOLDFAST_LISTEN'],
    [['admin', 'listen'], env['HOLDFAST_ADMIN_LISTEN'], 'environment HOLDFAST_ADMIN_LISTEN'],
    [['upstream', 'url'], env['HOLDFAST_UPSTREAM_URL'], 'environment HOLDFAST_UPSTREAM_URL'],
    [['data'], absolute(env['HOLDFAST_DATA']), 'environment HOLDFAST_DATA'],
    [['log', 'level'], env['HOLDFAST_LOG_LEVEL'], 'environment HOLDFAST_LOG_LEVEL'],
    [['listen'], flags.listen, 'flag --listen'],
    [['admin', 'listen'], flags.admin, 'flag --admin'],
    [['upstream', 'url'], flags.upstream, 'flag --upstream'],
    [['data'], absolute(flags.data), 'flag --data'],
  ];
  return candidates.flatMap(([at, value, origin]) =>
    value === undefined || (value === '' && origin.startsWith('env')) ? [] : [{ path: at, value, origin }],
  );
}

/** Relative to where the command runs, and not to the configuration file that it lies over. */
function absolute(directory: string | undefined): string | undefined {
  return directory ? path.resolve(directory) : directory;
}

/** Addresses are checked here as there, and the URL when it is compiled. */
function isPlainlyGood({ path: at, value }: Override): boolean {
  if (at[0] === 'data') return !/[\0\r\n]/.test(value);
  return at.at(-1) === 'listen' ? parseAddress(value) !== null : at.at(-1) === 'url' && value !== '';
}

function withOverrides(data: unknown, overrides: readonly Override[]): unknown {
  if (overrides.length === 0 || typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  const copy = structuredClone(data) as Record<string, unknown>;
  for (const { path: at, value } of overrides) {
    let section = copy;
    for (const name of at.slice(0, -1)) {
      section[name] ??= {};
      const next = section[name];
      if (typeof next !== 'object' || next === null) break;
      section = next as Record<string, unknown>;
    }
    section[at.at(-1) as string] = value;
    // A region in the file is the same choice, and weaker.
    if (at[0] === 'upstream' && section['url'] === value) delete section['region'];
  }
  return copy;
}

function placesOf(source: Source | null, overrides: readonly Override[]): Places {
  const nowhere: Place = { source: source?.name ?? 'defaults', line: null, column: null, got: null };
  const overrideAt = (at: Path) => overrides.findLast((each) => each.path.join('.') === at.join('.'));
  return {
    placeOf: (at) => {
      const override = overrideAt(at);
      if (override !== undefined) return { ...nowhere, source: override.origin, got: showValue(override.value) };
      return source?.placeOf(at) ?? nowhere;
    },
    placeOfKey: (at, name) => source?.placeOfKey(at, name) ?? nowhere,
  };
}

/** Reads the files and variables that the configuration names, so that a missing one stops the start and no call. */
class FileCheck {
  readonly #request: LoadRequest;
  readonly #config: ConfigFile;
  readonly #places: Places;
  readonly #resolve: (file: string) => string;
  readonly #faults: Fault[];

  constructor(
    request: LoadRequest,
    config: ConfigFile,
    places: Places,
    resolve: (file: string) => string,
    faults: Fault[],
  ) {
    this.#request = request;
    this.#config = config;
    this.#places = places;
    this.#resolve = resolve;
    this.#faults = faults;
  }

  /** The admin token: from the environment, else from its file; null when there is none. */
  async adminToken(): Promise<string | null> {
    const given = this.#request.env['HOLDFAST_ADMIN_TOKEN'];
    if (given) {
      const place = { source: 'environment HOLDFAST_ADMIN_TOKEN', line: null, column: null, got: null };
      return this.#token(given.trim(), place, []);
    }
    const file = this.#config.admin?.token_file;
    if (!file) return null;
    const at = ['admin', 'token_file'];
    const text = await this.#read(at, file);
    return text === null ? UNREADABLE : this.#token(text.trim(), this.#places.placeOf(at), at);
  }

  /** The URLs that stand in files; null where there is none. */
  async notifyUrls(): Promise<(string | null)[]> {
    const urls: (string | null)[] = [];
    for (const [index, { url, url_file: file }] of (this.#config.notify ?? []).entries()) {
      const text = file && !url ? await this.#read(['notify', index, 'url_file'], file) : null;
      urls.push(text?.trim() ?? null);
    }
    return urls;
  }

  async others(): Promise<void> {
    const { tls, upstream, clients } = this.#config;
    const credentials = upstream?.credentials;
    if (tls?.cert_file && tls.key_file) await this.#tlsPair(tls.cert_file, tls.key_file);
    if (upstream?.ca_file) await this.#read(['upstream', 'ca_file'], upstream.ca_file);
    if (typeof clients === 'object' && clients?.token_file)
      await this.#readToken(['clients', 'token_file'], clients.token_file);
    if (typeof credentials !== 'object' || credentials === null) return;
    const at = ['upstream', 'credentials'];
    if ('bearer_file' in credentials) await this.#readToken([...at, 'bearer_file'], credentials.bearer_file);
    else if (!this.#request.env[credentials.bearer_env]) {
      this.#fault([...at, 'bearer_env'], 'names an environment variable that is not set');
    }
  }

  async #tlsPair(certFile: string, keyFile: string): Promise<void> {
    const certText = await this.#read(['tls', 'cert_file'], certFile);
    const keyText = await this.#read(['tls', 'key_file'], keyFile);
    const cert = certText === null ? null : attempted(() => new X509Certificate(certText));
    const key = keyText === null ? null : attempted(() => createPrivateKey(keyText));
    if (cert === undefined) this.#fault(['tls', 'cert_file'], 'names a file that holds no PEM certificate');
    if (key === undefined) this.#fault(['tls', 'key_file'], 'names a file that holds no PEM key without a passphrase');
    if (cert && key && !cert.checkPrivateKey(key)) {
      this.#fault(['tls', 'key_file'], 'holds the key of another certificate than tls.cert_file');
    }
  }

  async #readToken(at: Path, file: string): Promise<void> {
    const text = await this.#read(at, file);
    if (text !== null) this.#token(text.trim(), this.#places.placeOf(at), at);
  }

  #token(token: string, place: Place, at: Path): string {
    if (!/^[\x21-\x7e]+$/.test(token)) {
      const message =
        token === '' ? 'holds no token' : 'holds a token with spaces or characters that no header can carry';
      this.#faults.push(fault(place, at, message));
    }
    return token;
  }

  async #read(at: Path, file: string): Promise<string | null> {
    try {
      return await this.#request.readFile(this.#resolve(file));
    } catch (error) {
      this.#fault(at, `names a file that cannot be read: ${whyUnreadable(error)}`);
      return null;
    }
  }

  #fault(at: Path, message: string): void {
    this.#faults.push(fault(this.#places.placeOf(at), at, message));
  }
}

/** Stands for a token whose file has a fault of its own, so that its absence is not reported as well. */
const UNREADABLE = '';

function attempted<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
