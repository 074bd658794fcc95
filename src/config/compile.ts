/** Makes the settings out of what was written, and finds the faults that no single key shows. */

import { nearest } from '../core/nearest.ts';
import type { ErrorRule } from '../core/policy.ts';
import type { ClientAccess, ListenAddress, Settings, UpstreamSettings } from '../core/settings.ts';
import { checkSharedDerive } from './compile-derive.ts';
import { compileEntry } from './compile-errors.ts';
import { compileNotify } from './compile-notify.ts';
import { readOwnRows } from './compile-own-rows.ts';
import {
  breakerFaults,
  compileDeadLetters,
  compileLimits,
  compileRedrive,
  compileSections,
  hashOf,
} from './compile-policy.ts';
import { checkedTemplate, compileRows, type ReadRow } from './compile-rows.ts';
import { compileUpstream } from './compile-upstream.ts';
import { type Fault, fault, type Path, showValue } from './faults.ts';
import { type Filled, overlay } from './overlay.ts';
import { SHIPPED_PROFILES } from './profiles.ts';
import type { ConfigFile, PolicySections } from './schema.ts';
import type { Shipped, ShippedEntry } from './shipped.ts';
import type { Environment } from './source.ts';
import { isLoopback, parseAddress } from './units.ts';
import type { Places } from './validate.ts';

/** What settings are made of. */
export interface CompileParts {
  readonly shipped: Shipped;
  /** What was written, checked key by key. */
  readonly config: ConfigFile;
  readonly rowIndexes: readonly number[];
  readonly places: Places;
  readonly env: Environment;
  readonly adminToken: string | null;
  /** What the files of `notify[].url_file` hold, by index; null where there is none, or it cannot be read. */
  readonly notifyUrls: readonly (string | null)[];
  /** Makes a path of the file absolute. */
  readonly resolve: (file: string) => string;
  /** The file that was read, or `defaults`. */
  readonly source: string;
}

/** Compiles the configuration. The settings are usable only when no fault is an error. */
export async function compileSettings(parts: CompileParts): Promise<{ settings: Settings; faults: Fault[] }> {
  const compiler = new Compiler(parts);
  const settings = await compiler.settings();
  return { settings, faults: compiler.faults };
}

/** The rows of the shipped map never change. */
const readShipped = new WeakMap<Shipped, { rows: ReadRow[]; generic: ErrorRule[] }>();

class Compiler {
  readonly faults: Fault[] = [];
  readonly #parts: CompileParts;
  readonly #config: ConfigFile;
  readonly #effective: ConfigFile;

  constructor(parts: CompileParts) {
    this.#parts = parts;
    this.#config = parts.config;
    this.#effective = overlay<ConfigFile>(parts.shipped.defaults, parts.config);
  }

  async settings(): Promise<Settings> {
    const effective = this.#effective;
    const listen = this.#address('listen', effective.listen);
    const mode = effective.mode ?? 'enforce';
    const upstream = compileUpstream(this.#parts, this.#effective, this.faults);
    const clients = this.#clients(listen, upstream);
    const tls = this.#tls();
    this.#breakers();
    await checkSharedDerive(this.#config, (path, wrong) => this.#fault(path, wrong));
    const notify = compileNotify(this.#parts, this.faults);
    const { rows, generic } = readOnce(this.#parts.shipped);
    const compiled = compileRows({
      mode,
      defaults: effective.defaults as Filled<PolicySections>,
      profile: this.#profile(),
      profiles: effective.profiles ?? {},
      shipped: rows,
      own: await readOwnRows(this.#parts, rows, this.faults),
      generic,
      stampsEvents: effective.events?.stamp_created_at ?? true,
    });
    return {
      listen,
      mode,
      admin: this.#admin(),
      clients,
      tls,
      upstream,
      data: this.#parts.resolve(effective.data ?? 'data'),
      dataKeyFile: effective.data_key_file ? this.#parts.resolve(effective.data_key_file) : null,
      limits: compileLimits(effective.limits as Filled<NonNullable<ConfigFile['limits']>>),
      deadLetters: compileDeadLetters(effective.dead_letters as Filled<NonNullable<ConfigFile['dead_letters']>>),
      redrive: compileRedrive(effective.redrive as Filled<NonNullable<ConfigFile['redrive']>>),
      notify,
      contextLabels: [...new Set(effective.telemetry?.context_labels)],
      log: { level: effective.log?.level ?? 'info', redact: effective.log?.redact ?? [] },
      hash: hashOf({ ...effective, tls, notify }, upstream, this.#parts.shipped),
      source: this.#parts.source,
      policies: compiled.policies,
      match: compiled.match,
      shown: this.#shown(upstream),
    };
  }

  #fault(path: Path, message: string, more: Parameters<typeof fault>[3] = {}): void {
    this.faults.push(fault(this.#parts.places.placeOf(path), path, message, more));
  }

  #address(path: string, text: string | null | undefined): ListenAddress {
    const address = parseAddress(text ?? '');
    if (address === null) throw new TypeError(`validation let ${path} pass`);
    return address;
  }

  #admin(): Settings['admin'] {
    const listen = this.#address('admin.listen', this.#effective.admin?.listen);
    const token = this.#parts.adminToken;
    if (token === null && !isLoopback(listen.host)) {
      this.#fault(['admin', 'listen'], 'is not on loopback, and there is no admin token', {
        allowed: '127.0.0.1 or ::1, or a token in admin.token_file or HOLDFAST_ADMIN_TOKEN',
      });
    }
    return { listen, token };
  }

  #clients(listen: ListenAddress, upstream: UpstreamSettings): ClientAccess {
    const { clients } = this.#config;
    if (typeof clients === 'object' && clients?.token_file) {
      return { kind: 'token_file', file: this.#parts.resolve(clients.token_file) };
    }
    if (clients !== 'open' && upstream.credentials.kind !== 'passthrough' && !isLoopback(listen.host)) {
      this.#fault(['listen'], 'lets everyone who reaches it use the credentials of upstream.credentials', {
        allowed: 'a host on loopback, or clients: { token_file: F }, or clients: open written out',
      });
    }
    return { kind: 'open' };
  }

  #tls(): Settings['tls'] {
    const { cert_file: cert, key_file: key } = this.#config.tls ?? {};
    if (cert && key) return { certFile: this.#parts.resolve(cert), keyFile: this.#parts.resolve(key) };
    if (cert || key)
      this.#fault(['tls'], `${cert ? 'key_file' : 'cert_file'} is missing`, { got: null, allowed: 'both, or neither' });
    return null;
  }

  #profile(): string {
    const name = this.#effective.profile ?? 'standard';
    const names = Object.keys(overlay<object>(SHIPPED_PROFILES, this.#effective.profiles));
    if (!names.includes(name)) {
      this.#fault(['profile'], 'no such profile', { allowed: names.join(', '), nearest: nearest(name, names) });
    }
    return name;
  }

  /** Of the defaults and of the profiles of the file; a row reports its own. */
  #breakers(): void {
    const defaults = this.#effective.defaults as Filled<PolicySections>;
    const check = (path: Path, written: PolicySections['breaker'], ...layers: PolicySections[]): void => {
      if (!written) return;
      const { breaker } = compileSections(overlay<PolicySections>(defaults, ...layers) as Filled<PolicySections>);
      for (const [key, message, allowed] of breakerFaults(written, breaker))
        this.#fault([...path, 'breaker', key], message, { allowed });
    };
    check(['defaults'], this.#config.defaults?.breaker);
    for (const [name, profile] of Object.entries(this.#config.profiles ?? {})) {
      check(['profiles', name], profile.breaker, SHIPPED_PROFILES[name] ?? {}, profile);
    }
  }

  #shown(upstream: UpstreamSettings): unknown {
    const proxy = upstream.proxy === null ? null : showValue(upstream.proxy);
    const admin = { ...this.#effective.admin, token: this.#parts.adminToken === null ? null : '[set]' };
    const notify = this.#effective.notify?.map((target) => (target.url ? { ...target, url: '[set]' } : target));
    return {
      ...this.#effective,
      admin,
      notify,
      upstream: { ...this.#effective.upstream, url: upstream.origin, proxy },
    };
  }
}

function readOnce(shipped: Shipped): { rows: ReadRow[]; generic: ErrorRule[] } {
  let read = readShipped.get(shipped);
  if (read === undefined) {
    read = {
      rows: shipped.operations.map(({ row, errors, reconcile, line }) => ({
        row,
        template: checkedTemplate(row.match),
        rules: errors.map(compileShipped),
        recipes: reconcile.map((each) => ({ entry: each.entry, origin: shippedOrigin(each.line) })),
        origin: shippedOrigin(line),
        report: null,
      })),
      generic: shipped.generic.map(compileShipped),
    };
    readShipped.set(shipped, read);
  }
  return read;
}

function compileShipped({ entry, line }: ShippedEntry): ErrorRule {
  const origin = shippedOrigin(line);
  return compileEntry(entry, origin, (path, message) => {
    throw new TypeError(`${origin}: ${path.join('.')} ${message}`);
  });
}

function shippedOrigin(line: number): string {
  return `config/intercom.yaml:${line}`;
}
