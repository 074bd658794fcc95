/**
 * Puts one instance together: upstream, stack, data plane, admin plane, and the swap of all of them when the
 * configuration changes. `serve` runs it in a process, the demo and the tests beside other things in theirs.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DestinationStream } from 'pino';
import { HOST } from './core/breaker.ts';
import { ByteBudget } from './core/byte-budget.ts';
import type { ListenAddress, Settings } from './core/settings.ts';
import type { Wire } from './core/wire.ts';
import { createAdminPlane, type Readiness } from './edge/admin.ts';
import type { BreakerOrder } from './edge/admin-breakers.ts';
import { shownStatus } from './edge/admin-status.ts';
import { createDataPlane, type DataPlane } from './edge/data-plane.ts';
import { type ConfigWatch, createConfigWatch, type Loaded, type WatchedFile } from './jobs/config-watch.ts';
import { type Clock, systemClock } from './ops/clock.ts';
import { Events } from './ops/events.ts';
import { declareLayerGauges } from './ops/layer-gauges.ts';
import { createLog } from './ops/log.ts';
import { createMetrics } from './ops/metrics.ts';
import { type Random, systemRandom } from './ops/random.ts';
import { buildStack, type Stack } from './stack.ts';
import { UpstreamSettingsError } from './upstream/connect.ts';
import { type Credentials, openCredentials } from './upstream/credentials.ts';
import { createUpstream, type Upstream } from './upstream/upstream.ts';

/** What an instance is made of. */
export interface AssembleParts {
  readonly settings: Settings;
  readonly version: string;
  readonly nodeVersion: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logTo: DestinationStream;
  /** The configuration file that is watched; null for none. */
  readonly file: WatchedFile | null;
  /** Reads the configuration again. */
  readonly load: () => Promise<Loaded>;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** A running instance. */
export interface Instance {
  readonly events: Events;
  /** `http://127.0.0.1:8080`: where clients reach it. */
  readonly url: string;
  readonly adminUrl: string;
  readonly settings: () => Settings;
  /** Reloads the configuration and watches its file. */
  readonly config: ConfigWatch;
  /** Unready, drain, close; resolves when everything is over, after `graceMs` at the latest. */
  stop(graceMs: number): Promise<void>;
}

/** What can be swapped while calls are running. */
interface Way {
  readonly upstream: Upstream;
  readonly credentials: Credentials;
}

/** Starts an instance; rejects with the system's error when an address is taken. */
export async function startInstance(parts: AssembleParts): Promise<Instance> {
  const instance = new Assembly(parts, await openWay(parts.settings, parts.env));
  await instance.listen();
  return instance;
}

async function openWay({ upstream }: Settings, env: AssembleParts['env']): Promise<Way> {
  return { upstream: createUpstream(upstream), credentials: await openCredentials(upstream.credentials, env) };
}

class Assembly implements Instance {
  readonly events: Events;
  readonly config: ConfigWatch;
  readonly #parts: AssembleParts;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  readonly #buffered: ByteBudget;
  readonly #stack: Stack;
  readonly #dataPlane: DataPlane;
  readonly #admin: Server;
  readonly #log;
  #settings: Settings;
  #way: Way;
  /** Opened by a reload that has not put its settings in force yet. */
  #nextWay: Way | null = null;
  /** Calls still run on these. */
  readonly #formerUpstreams = new Set<Upstream>();
  #draining = false;
  #address: AddressInfo | null = null;
  #adminAddress: AddressInfo | null = null;

  constructor(parts: AssembleParts, way: Way) {
    const { settings } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.#way = way;
    this.#clock = parts.clock ?? systemClock;
    this.#startedAtMs = this.#clock.now();
    this.#buffered = new ByteBudget(settings.limits.bufferedBytes);
    this.#log = createLog(settings.log, parts.logTo);
    const metrics = createMetrics();
    metrics.buildInfo.set({ version: parts.version, node: parts.nodeVersion }, 1);
    this.events = new Events(this.#log, metrics);
    this.config = createConfigWatch({
      events: this.events,
      file: parts.file,
      load: () => this.#load(),
      running: this.settings,
      swap: (next) => this.#apply(next),
    });
    const shared = { clock: this.#clock, events: this.events, buffered: this.#buffered, settings: this.settings };
    this.#stack = buildStack({
      ...shared,
      wire: this.#wire(),
      random: parts.random ?? systemRandom,
      limits: () => this.#settings.limits,
      hostPolicy: () => this.#settings.upstream.breaker,
      credentials: this.#credentials(),
      keep: () => {},
    });
    declareLayerGauges(metrics.registry, this.#stack, () => this.#clock.wall());
    this.#dataPlane = createDataPlane({
      ...shared,
      service: this.#stack.service,
      full: this.#stack.full,
      newId: randomUUID,
      namesKey: randomBytes(32),
    });
    this.#admin = createAdminPlane({
      ...shared,
      registry: metrics.registry,
      readiness: () => this.#readiness(),
      status: () => this.#status(),
      breakers: {
        hold: (endpoint, order) => this.#holdBreaker(endpoint, order),
        show: (endpoint) => shownStatus(this.#stack).breakers[endpoint],
      },
      reload: this.config.reload,
      newId: randomUUID,
    });
  }

  readonly settings = (): Settings => this.#settings;

  get url(): string {
    return urlOf(this.#settings.tls === null ? 'http' : 'https', this.#address);
  }

  get adminUrl(): string {
    return urlOf('http', this.#adminAddress);
  }

  async listen(): Promise<void> {
    this.#adminAddress = await listenOn(this.#admin, this.#settings.admin.listen);
    try {
      this.#address = await this.#dataPlane.listen();
    } catch (error) {
      this.#admin.close();
      throw error;
    }
    const { hash, source, mode, upstream } = this.#settings;
    this.events.configLoaded(hash, source);
    this.events.lifecycle('listening', { proxy: this.url, admin: this.adminUrl, upstream: upstream.origin, mode });
  }

  /** A configuration whose way to the upstream cannot be opened is as faulty as one that cannot be read. */
  async #load(): Promise<Loaded> {
    const loaded = await this.#parts.load();
    if (!loaded.ok) return loaded;
    try {
      const changed = wayOf(loaded.settings) !== wayOf(this.#settings);
      this.#nextWay = changed ? await openWay(loaded.settings, this.#parts.env) : null;
      return loaded;
    } catch (error) {
      if (error instanceof UpstreamSettingsError) return { ok: false, faults: [error.message] };
      throw error;
    }
  }

  /** Puts another configuration in force; calls under way keep the one they started with. */
  async #apply(settings: Settings): Promise<void> {
    const former = this.#way;
    const next = this.#nextWay ?? former;
    this.#nextWay = null;
    this.#buffered.resize(settings.limits.bufferedBytes);
    this.#log.level = settings.log.level;
    this.#settings = settings;
    this.#way = next;
    this.events.configLoaded(settings.hash, settings.source);
    if (former !== next) void this.#retire(former.upstream);
  }

  async #retire(upstream: Upstream): Promise<void> {
    this.#formerUpstreams.add(upstream);
    await upstream.close();
    this.#formerUpstreams.delete(upstream);
  }

  async stop(graceMs: number): Promise<void> {
    this.#draining = true;
    this.events.lifecycle('draining', { active: this.#dataPlane.active(), graceMs });
    await this.#dataPlane.drain(graceMs);
    const closed = new Promise((resolve) => this.#admin.close(resolve));
    this.#admin.closeAllConnections();
    await closed;
    const unfinished = this.#dataPlane.active();
    await Promise.all([this.#way.upstream, ...this.#formerUpstreams].map((upstream) => upstream.destroy()));
    this.events.lifecycle('stopped', { unfinished });
  }

  /** The upstream of this moment. A call that took its connection before a swap still gets an answer from the new one. */
  #wire(): Wire {
    return {
      connection: (signal) => this.#way.upstream.connection(signal),
      dispatch: (request, handler) => this.#way.upstream.dispatch(request, handler),
    };
  }

  #credentials(): Credentials {
    return { current: () => this.#way.credentials.current(), reread: () => this.#way.credentials.reread() };
  }

  #holdBreaker(endpoint: string, order: BreakerOrder): boolean {
    if (endpoint !== HOST && !this.#settings.policies.some(({ name }) => name === endpoint)) return false;
    this.#stack.holdBreaker(endpoint, order);
    return true;
  }

  #readiness(): Readiness {
    return this.#draining ? { ready: false, reasons: ['draining'] } : { ready: true, reasons: [] };
  }

  #status(): Record<string, unknown> {
    const { mode, hash, source, upstream } = this.#settings;
    return {
      version: this.#parts.version,
      uptime_seconds: Math.round((this.#clock.now() - this.#startedAtMs) / 1000),
      mode,
      ...this.#readiness(),
      config: { hash, source },
      ...shownStatus(this.#stack),
      buffered_bytes_free: this.#buffered.freeBytes,
      upstream: { origin: upstream.origin, ...this.#way.upstream.stats() },
    };
  }
}

/** What a change of makes another way to the upstream necessary; a breaker's rules can change on the way. */
function wayOf({ upstream }: Settings): string {
  const { breaker: _, ...way } = upstream;
  return JSON.stringify(way);
}

function listenOn(server: Server, { host, port }: ListenAddress): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve(server.address() as AddressInfo);
    });
  });
}

function urlOf(scheme: 'http' | 'https', address: AddressInfo | null): string {
  if (address === null) throw new Error('not listening yet');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${host}:${address.port}`;
}
