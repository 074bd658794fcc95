/**
 * Puts one instance together: upstream, stack, data plane, admin plane, and the swap of all of them when the
 * configuration changes. `serve` runs it in a process, the demo and the tests beside other things in theirs.
 */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { DestinationStream } from 'pino';
import { createLedgerJobs, type Ledger, type LedgerJobs, openLedger } from './assemble-ledger.ts';
import { Way } from './assemble-way.ts';
import { HOST } from './core/breaker.ts';
import { ByteBudget } from './core/byte-budget.ts';
import type { Settings } from './core/settings.ts';
import { type AdminParts, createAdminPlane } from './edge/admin.ts';
import type { BreakerOrder } from './edge/admin-breakers.ts';
import type { Readiness } from './edge/admin-open.ts';
import { shownStatus } from './edge/admin-status.ts';
import { createDataPlane, type DataPlane } from './edge/data-plane.ts';
import { listenOn, urlOf } from './edge/listen.ts';
import { type ConfigWatch, createConfigWatch, type Loaded, type WatchedFile } from './jobs/config-watch.ts';
import { createNotify, type NotifyJob } from './jobs/notify.ts';
import { type Clock, sleep, systemClock } from './ops/clock.ts';
import { declareDeadLetterGauges } from './ops/dead-letter-gauges.ts';
import { Events } from './ops/events.ts';
import { newId } from './ops/ids.ts';
import { declareLayerGauges } from './ops/layer-gauges.ts';
import { createLog, type Log } from './ops/log.ts';
import { createMetrics, type Metrics } from './ops/metrics.ts';
import { QueueEvents } from './ops/queue-events.ts';
import { type Random, systemRandom } from './ops/random.ts';
import { buildStack, type Stack } from './stack.ts';
import { UpstreamSettingsError } from './upstream/connect.ts';

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

/** Starts an instance; rejects with the system's error when an address is taken, with one of its own when the data directory is. */
export async function startInstance(parts: AssembleParts): Promise<Instance> {
  const { settings } = parts;
  const clock = parts.clock ?? systemClock;
  const log = createLog(settings.log, parts.logTo);
  const metrics = createMetrics();
  metrics.buildInfo.set({ version: parts.version, node: parts.nodeVersion }, 1);
  const events = new Events(log, metrics);
  const way = await Way.open(settings, parts.env);
  const ledger = await openLedger(settings, clock, events);
  const instance = new Assembly(parts, { clock, log, metrics, events, way, ledger });
  try {
    await instance.start();
  } catch (error) {
    await Promise.all([way.destroy(), ledger.store.close()]);
    throw error;
  }
  return instance;
}

/** What is opened before the instance is put together. */
interface Opened {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly way: Way;
  readonly ledger: Ledger;
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
  readonly #log: Log;
  readonly #way: Way;
  readonly #ledger: Ledger;
  readonly #jobs: LedgerJobs;
  /** Aborted when the drain begins: what nobody waits for stops. */
  readonly #stopping = new AbortController();
  #jobsOver: Promise<void> = Promise.resolve();
  readonly #notify: NotifyJob;
  /** Aborted when the drain is over: until then targets are told. */
  readonly #drained = new AbortController();
  #notifyOver: Promise<void> = Promise.resolve();
  #settings: Settings;
  #address: AddressInfo | null = null;
  #adminAddress: AddressInfo | null = null;

  constructor(parts: AssembleParts, { clock, log, metrics, events, way, ledger }: Opened) {
    const { settings } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.#way = way;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    this.#buffered = new ByteBudget(settings.limits.bufferedBytes);
    this.#log = log;
    this.events = events;
    const random = parts.random ?? systemRandom;
    this.#notify = createNotify({ settings: this.settings, clock, random, events, instance: hostname() });
    events.listen((event) => [this.#notify, this.#jobs.redrive].forEach(({ take }) => take(event)));
    events.contextLabels.use(settings.contextLabels);
    this.config = createConfigWatch({
      events: this.events,
      file: parts.file,
      load: () => this.#load(),
      running: this.settings,
      swap: (next) => this.#apply(next),
    });
    const shared = {
      clock,
      events,
      buffered: this.#buffered,
      settings: this.settings,
      newId: () => newId(clock),
      store: ledger.store,
      namesKey: ledger.keys.names,
    };
    this.#stack = buildStack({
      ...shared,
      wire: way.wire,
      random,
      limits: () => this.#settings.limits,
      hostPolicy: () => this.#settings.upstream.breaker,
      credentials: way.credentials,
      passthrough: () => this.#settings.upstream.credentials.kind === 'passthrough',
      match: (method, path) => this.#settings.match(method, path),
      keep: (gate) => ledger.store.keepGate(gate),
      stopping: this.#stopping.signal,
      wakeQueue: () => this.#jobs.wakeQueue(),
      configHash: () => this.#settings.hash,
    });
    declareLayerGauges(metrics.registry, this.#stack, () => this.#clock.wall());
    this.#dataPlane = createDataPlane({ ...shared, service: this.#stack.service, full: this.#stack.full });
    this.#jobs = createLedgerJobs(
      {
        ...shared,
        restoreGates: (gates) => this.#stack.restore(gates, this.#settings.policies),
        ...this.#stack,
        queueEvents: new QueueEvents(log, metrics.registry, ledger.store, () => clock.wall()),
        counted: (counts) => this.#stack.dead.refresh(counts),
      },
      clock,
    );
    this.#admin = this.#createAdmin(metrics, shared);
  }

  readonly settings = (): Settings => this.#settings;

  #createAdmin(
    { registry }: Metrics,
    shared: Pick<AdminParts, 'clock' | 'events' | 'settings' | 'newId' | 'namesKey' | 'store'>,
  ): Server {
    const { dead } = this.#stack;
    declareDeadLetterGauges(registry, async () => {
      dead.refresh(await shared.store.countDead());
      return dead.byState();
    });
    return createAdminPlane({
      ...shared,
      registry,
      readiness: () => this.#readiness(),
      status: () => this.#status(),
      breakers: {
        hold: (endpoint, order) => this.#holdBreaker(endpoint, order),
        show: (endpoint) => shownStatus(this.#stack).breakers[endpoint],
      },
      reload: this.config.reload,
      version: this.#parts.version,
      redrives: this.#jobs.redrive.redrives,
    });
  }

  get url(): string {
    return urlOf(this.#settings.tls === null ? 'http' : 'https', this.#address);
  }

  get adminUrl(): string {
    return urlOf('http', this.#adminAddress);
  }

  async start(): Promise<void> {
    await this.#jobs.restore();
    this.#adminAddress = await listenOn(this.#admin, this.#settings.admin.listen);
    try {
      this.#address = await this.#dataPlane.listen();
    } catch (error) {
      this.#admin.close();
      throw error;
    }
    const { hash, source, mode, upstream } = this.#settings;
    this.events.configLoaded(hash, source);
    this.#jobsOver = this.#jobs.run(this.#stopping.signal);
    this.#notifyOver = this.#notify.run(this.#drained.signal);
    this.events.lifecycle('listening', { proxy: this.url, admin: this.adminUrl, upstream: upstream.origin, mode });
  }

  /** A configuration whose way to the upstream cannot be opened is as faulty as one that cannot be read. */
  async #load(): Promise<Loaded> {
    const loaded = await this.#parts.load();
    if (!loaded.ok) return loaded;
    try {
      await this.#way.prepare(loaded.settings, this.#settings);
      return loaded;
    } catch (error) {
      if (error instanceof UpstreamSettingsError) return { ok: false, faults: [error.message] };
      throw error;
    }
  }

  /** Puts another configuration in force; calls under way keep the one they started with. */
  async #apply(settings: Settings): Promise<void> {
    this.#buffered.resize(settings.limits.bufferedBytes);
    this.#log.level = settings.log.level;
    this.#settings = settings;
    this.events.contextLabels.use(settings.contextLabels);
    this.#way.swap();
    this.events.configLoaded(settings.hash, settings.source);
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.events.lifecycle('draining', { active: this.#dataPlane.active(), graceMs });
    await Promise.all([this.#dataPlane.drain(graceMs), this.#jobsWithin(graceMs)]);
    const closed = new Promise((resolve) => this.#admin.close(resolve));
    this.#admin.closeAllConnections();
    await closed;
    const unfinished = this.#dataPlane.active();
    await this.#way.destroy();
    await this.#jobsOver;
    this.#drained.abort();
    await this.#notifyOver;
    await this.#ledger.store.close();
    this.events.lifecycle('stopped', { unfinished });
  }

  /** Runs that no client waits for have the same grace. What it cuts short stays in the ledger. */
  async #jobsWithin(graceMs: number): Promise<void> {
    const over = new AbortController();
    void this.#jobsOver.then(() => over.abort());
    await sleep(this.#clock, graceMs, over.signal);
  }

  #holdBreaker(endpoint: string, order: BreakerOrder): boolean {
    if (endpoint !== HOST && !this.#settings.policies.some(({ name }) => name === endpoint)) return false;
    this.#stack.holdBreaker(endpoint, order);
    return true;
  }

  #readiness(): Readiness {
    const { fault } = this.#ledger.store.health();
    const reasons = [...(this.#stopping.signal.aborted ? ['draining'] : []), ...(fault === null ? [] : [fault])];
    return { ready: reasons.length === 0, reasons };
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
      upstream: { origin: upstream.origin, ...this.#way.stats() },
    };
  }
}
