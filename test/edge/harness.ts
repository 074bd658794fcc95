import { connect, type Socket } from 'node:net';
import { hostBreakerPolicy } from '../../src/core/breaker.ts';
import { ByteBudget } from '../../src/core/byte-budget.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { AnswerSink, AnswerStream, FailureKind, Outcome } from '../../src/core/outcome.ts';
import type { EndpointPolicy, Limits } from '../../src/core/policy.ts';
import type { RawHeaders } from '../../src/core/raw-headers.ts';
import type { Service } from '../../src/core/service.ts';
import type { Settings } from '../../src/core/settings.ts';
import { createDataPlane, type DataPlane } from '../../src/edge/data-plane.ts';
import { type Clock, systemClock } from '../../src/ops/clock.ts';
import { answered, policy } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { type RecordedEvents, recordedEvents } from '../support/recorded-events.ts';

/** Limits small enough to be passed by a test. */
export const LIMITS: Limits = {
  inFlight: 1024,
  waiting: 20_000,
  perEndpoint: null,
  requestBodyBytes: 4 * 1024 * 1024,
  bufferedBytes: 64 * 1024 * 1024,
  repeatableBodyBytes: 64 * 1024,
  errorBodyBytes: 64 * 1024,
  storedAnswerBytes: 1024 * 1024,
};

/** Settings for a data plane on a free port whose every request matches one policy. */
export function edgeSettings(overrides: Partial<Settings> = {}, of: Partial<EndpointPolicy> = {}): Settings {
  const matched = { policy: policy(of), params: {} };
  return {
    listen: { host: '127.0.0.1', port: 0 },
    mode: 'enforce',
    admin: { listen: { host: '127.0.0.1', port: 0 }, token: null },
    clients: { kind: 'open' },
    tls: null,
    upstream: {
      origin: 'http://127.0.0.1:9',
      connections: 8,
      proxy: null,
      caFile: null,
      credentials: { kind: 'passthrough' },
      breaker: hostBreakerPolicy({ failures: 5, windowMs: 10_000, openForMs: 1000, maxOpenForMs: 30_000 }),
    },
    data: '/nowhere',
    dataKeyFile: null,
    limits: LIMITS,
    deadLetters: { retainMs: 2_592_000_000, maxEntries: 100_000, maxBytes: 2 ** 30, autoRedrive: false },
    redrive: { velocity: 0.1, maxAgeMs: 86_400_000 },
    notify: [],
    contextLabels: [],
    log: { level: 'info', redact: [] },
    hash: 'abc',
    source: 'test',
    policies: [matched.policy],
    match: () => matched,
    shown: {},
    ...overrides,
  };
}

/** One exchange that reached the service, with its body read whole. */
export interface Seen {
  readonly exchange: Exchange;
  /** Null when the body broke off. */
  readonly body: Buffer | null;
}

/** A running edge over a service of the test's. */
export interface Edge {
  readonly plane: DataPlane;
  readonly port: number;
  readonly recorded: RecordedEvents;
  readonly buffered: ByteBudget;
  /** Every exchange, in the order in which its body ended. */
  readonly seen: Seen[];
  close(): Promise<void>;
}

/** What an edge can be started with. */
export interface EdgeOptions {
  readonly settings?: Settings | (() => Settings);
  readonly clock?: Clock;
  readonly headTimeoutMs?: number;
  /** What the service says before a body is read; never full by default. */
  readonly full?: () => boolean;
  /** Answers each exchange; the default is 200 with the body that came. `body` is null when it broke off. */
  readonly answer?: (exchange: Exchange, body: Buffer | null) => Outcome | Promise<Outcome>;
  /** Replaces the reading of bodies altogether. */
  readonly service?: Service;
}

let ids = 0;

/** Starts an edge on a free port. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const recorded = recordedEvents();
  const seen: Seen[] = [];
  const { settings = edgeSettings() } = options;
  const current = typeof settings === 'function' ? settings : () => settings;
  const buffered = new ByteBudget(current().limits.bufferedBytes);
  const service: Service = async (exchange) => {
    const body = await bodyOf(exchange);
    seen.push({ exchange, body });
    return (
      options.answer?.(exchange, body) ?? answered(200, { body: { kind: 'bytes', bytes: body ?? Buffer.alloc(0) } })
    );
  };
  const plane = createDataPlane({
    settings: current,
    service: options.service ?? service,
    full: options.full ?? (() => false),
    clock: options.clock ?? systemClock,
    events: recorded.events,
    buffered,
    store: new MemoryStore(),
    newId: () => `id${++ids}`,
    namesKey: NAMES_KEY,
    ...(options.headTimeoutMs === undefined ? {} : { headTimeoutMs: options.headTimeoutMs }),
  });
  const { port } = await plane.listen();
  return { plane, port, recorded, buffered, seen, close: () => plane.drain(0) };
}

/** The whole body of an exchange; null when its stream broke off. */
export async function bodyOf({ body }: Exchange): Promise<Buffer | null> {
  if (body.kind === 'none') return Buffer.alloc(0);
  if (body.kind === 'bytes') return body.bytes;
  body.opened = true;
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body.open()) chunks.push(chunk as Buffer);
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

/** A streamed answer that the test drives by hand. */
export class HandStream implements AnswerStream {
  sink: AnswerSink | null = null;
  paused = 0;
  resumed = 0;
  discarded = false;
  #done: () => void = () => {};
  readonly done = new Promise<void>((resolve) => {
    this.#done = resolve;
  });
  onStart: (sink: AnswerSink) => void = () => {};

  start(sink: AnswerSink): void {
    this.sink = sink;
    this.onStart(sink);
  }

  pause(): void {
    this.paused += 1;
  }

  resume(): void {
    this.resumed += 1;
  }

  discard(): void {
    this.discarded = true;
    this.#done();
  }

  end(trailers: RawHeaders = []): void {
    this.sink?.end(trailers);
    this.#done();
  }

  fail(kind: FailureKind): void {
    this.sink?.fail(kind);
    this.#done();
  }
}

/** A raw client: bytes out, bytes in. */
export class RawClient {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #waiting: (() => void)[] = [];
  /** The server closed its side, or the connection broke. */
  ended = false;
  error: NodeJS.ErrnoException | null = null;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.#received.push(chunk);
      this.#wake();
    });
    this.socket.on('error', (error) => {
      this.error = error;
    });
    const over = (): void => {
      this.ended = true;
      this.#wake();
    };
    this.socket.on('end', over);
    this.socket.on('close', over);
  }

  /** Everything that came so far, latin1. */
  get text(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  /** The bytes behind the first head. */
  get body(): Buffer {
    const all = Buffer.concat(this.#received);
    return all.subarray(all.indexOf('\r\n\r\n') + 4);
  }

  send(bytes: string | Buffer): this {
    this.socket.write(bytes, 'latin1');
    return this;
  }

  /** Resolves when `test` holds of what came, or the connection is over. */
  async until(test: (text: string) => boolean): Promise<string> {
    while (!this.ended && !test(this.text)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.text;
  }

  /** Resolves when the server has closed. */
  async closed(): Promise<string> {
    while (!this.ended) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.text;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Sends bytes on a new connection, closes it when `close`, and resolves with all that comes until the server closes. */
export async function exchangeBytes(port: number, bytes: string | Buffer): Promise<string> {
  const client = new RawClient(port);
  const text = await client.send(bytes).closed();
  client.destroy();
  return text;
}
