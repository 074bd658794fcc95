import { type BreakerPolicy, hostBreakerPolicy } from '../core/breaker.ts';
import type { UpstreamSettings } from '../core/settings.ts';
import { ms } from './compile-policy.ts';
import { type Fault, fault, type Path, showValue } from './faults.ts';
import type { Filled } from './overlay.ts';
import { REGIONS } from './regions.ts';
import type { ConfigFile } from './schema.ts';
import type { Environment } from './source.ts';
import { proxyFromEnvironment } from './upstream-proxy.ts';
import type { Places } from './validate.ts';

type HostBreakerSection = NonNullable<NonNullable<ConfigFile['upstream']>['breaker']>;

/** What the upstream is compiled from. */
export interface UpstreamParts {
  readonly config: ConfigFile;
  readonly places: Places;
  readonly env: Environment;
  /** Makes a path of the file absolute. */
  readonly resolve: (file: string) => string;
}

/** Compiles `upstream`. What is wrong goes to `faults`. */
export function compileUpstream(parts: UpstreamParts, effective: ConfigFile, faults: Fault[]): UpstreamSettings {
  return new UpstreamCompiler(parts, effective, faults).upstream();
}

class UpstreamCompiler {
  readonly #parts: UpstreamParts;
  readonly #effective: ConfigFile;
  readonly #faults: Fault[];

  constructor(parts: UpstreamParts, effective: ConfigFile, faults: Fault[]) {
    this.#parts = parts;
    this.#effective = effective;
    this.#faults = faults;
  }

  upstream(): UpstreamSettings {
    const given = this.#parts.config.upstream ?? {};
    if (given.url && given.region) {
      this.#fault(['upstream', 'region'], 'names a host that upstream.url names already', {
        allowed: 'one of the two',
      });
    }
    const origin = this.#origin(
      given.region && !given.url ? REGIONS[given.region] : (this.#effective.upstream?.url ?? ''),
    );
    const credentials = given.credentials ?? 'passthrough';
    return {
      origin,
      connections: this.#effective.upstream?.connections ?? 0,
      proxy: this.#proxy(origin, given.proxy ?? null),
      caFile: given.ca_file ? this.#parts.resolve(given.ca_file) : null,
      credentials:
        typeof credentials === 'string'
          ? { kind: 'passthrough' }
          : 'bearer_file' in credentials
            ? { kind: 'bearer_file', file: this.#parts.resolve(credentials.bearer_file) }
            : { kind: 'bearer_env', name: credentials.bearer_env },
      breaker: this.#breaker(),
    };
  }

  #origin(text: string): string {
    const path = ['upstream', 'url'];
    const url = URL.canParse(text) ? new URL(text) : null;
    const allowed = 'scheme, host and port only, such as https://api.intercom.io';
    if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
      this.#fault(path, 'is no http or https URL', { allowed });
    } else if (url.username !== '' || url.password !== '') {
      this.#fault(path, 'holds a user or a password', { allowed: `${allowed}; upstream.credentials for a token` });
    } else if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || /[?#]$/.test(text)) {
      this.#fault(path, 'holds a path, a query or a fragment', { allowed });
    } else {
      if (url.protocol === 'http:' && /(^|\.)intercom\.(io|com)$/.test(url.hostname)) {
        this.#fault(path, 'sends tokens to Intercom in clear', { severity: 'warning', allowed: 'https' });
      }
      return url.origin;
    }
    return REGIONS.us;
  }

  #breaker(): BreakerPolicy {
    const written = this.#effective.upstream?.breaker as Filled<HostBreakerSection>;
    const [openForMs, maxOpenForMs] = [ms(written.open_for), ms(written.max_open_for)];
    if (openForMs > maxOpenForMs) {
      this.#fault(['upstream', 'breaker', 'open_for'], `is longer than max_open_for (${written.max_open_for})`, {
        allowed: 'a shorter one, or a longer max_open_for',
      });
    }
    return hostBreakerPolicy({ failures: written.failures, windowMs: ms(written.window), openForMs, maxOpenForMs });
  }

  #proxy(origin: string, given: string | null): string | null {
    const named = given === null ? proxyFromEnvironment(origin, this.#parts.env) : { url: given, variable: null };
    if (named === null) return null;
    const url = URL.canParse(named.url) ? new URL(named.url) : null;
    if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.href;
    const allowed = 'a URL such as http://proxy:3128';
    if (named.variable === null) this.#fault(['upstream', 'proxy'], 'is no http or https URL', { allowed });
    else {
      const place = { source: `environment ${named.variable}`, line: null, column: null, got: showValue(named.url) };
      this.#faults.push(fault(place, [], 'is no http or https URL', { allowed }));
    }
    return null;
  }

  #fault(path: Path, message: string, more: Parameters<typeof fault>[3]): void {
    this.#faults.push(fault(this.#parts.places.placeOf(path), path, message, more));
  }
}
