/** The way to the upstream, its connections and the credential that is sent there, which a reload may change under running calls. */

import type { Settings } from './core/settings.ts';
import type { Wire } from './core/wire.ts';
import { type Credentials, openCredentials } from './upstream/credentials.ts';
import { createUpstream, type Upstream, type UpstreamStats } from './upstream/upstream.ts';

type Environment = Readonly<Record<string, string | undefined>>;

interface Lane {
  readonly upstream: Upstream;
  readonly credentials: Credentials;
}

/** The way of this moment. A call that took its connection before a swap still gets an answer from the new one. */
export class Way {
  readonly wire: Wire;
  readonly credentials: Credentials;
  readonly #env: Environment;
  #lane: Lane;
  /** Opened by a reload that has not put its settings in force yet. */
  #next: Lane | null = null;
  /** Calls still run on these. */
  readonly #former = new Set<Upstream>();

  private constructor(lane: Lane, env: Environment) {
    this.#lane = lane;
    this.#env = env;
    this.wire = {
      connection: (cancel) => this.#lane.upstream.connection(cancel),
      dispatch: (request, handler) => this.#lane.upstream.dispatch(request, handler),
    };
    this.credentials = {
      current: () => this.#lane.credentials.current(),
      reread: () => this.#lane.credentials.reread(),
    };
  }

  /** Rejects with `UpstreamSettingsError`. */
  static async open(settings: Settings, env: Environment): Promise<Way> {
    return new Way(await openLane(settings, env), env);
  }

  /** Opens what other settings make necessary, beside what is in use. Rejects with `UpstreamSettingsError`. */
  async prepare(settings: Settings, running: Settings): Promise<void> {
    const changed = wayOf(settings) !== wayOf(running);
    this.#next = changed ? await openLane(settings, this.#env) : null;
  }

  /** Puts in use what was prepared; the former one closes when its calls are over. */
  swap(): void {
    const { upstream } = this.#lane;
    if (this.#next === null) return;
    this.#lane = this.#next;
    this.#next = null;
    this.#former.add(upstream);
    void upstream.close().then(() => this.#former.delete(upstream));
  }

  stats(): UpstreamStats {
    return this.#lane.upstream.stats();
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#lane.upstream, ...this.#former].map((upstream) => upstream.destroy()));
  }
}

async function openLane({ upstream }: Settings, env: Environment): Promise<Lane> {
  return { upstream: createUpstream(upstream), credentials: await openCredentials(upstream.credentials, env) };
}

/** What a change of makes another way to the upstream necessary; a breaker's rules can change on the way. */
function wayOf({ upstream }: Settings): string {
  const { breaker: _, ...way } = upstream;
  return JSON.stringify(way);
}
