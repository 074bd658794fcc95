/**
 * The front door: a plain `http.createServer`, because every layer between it and the proxy costs more than all rules of
 * the proxy together (performance, "What was learned" 3). It turns sockets into connections and requests into calls;
 * everything else is theirs.
 */

import { type KeyObject, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server as HttpServer, IncomingMessage, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ByteBudget } from '../core/byte-budget.ts';
import type { Outcome } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import type { Settings } from '../core/settings.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { createServer as createHttpServer } from '../ops/node-http.ts';
import { Call, type Expectation } from './call.ts';
import { NO_TUNNEL, refusalOfParserError, writeRawRefusal } from './client-error.ts';
import { ClientToken } from './client-token.ts';
import { Connection } from './connection.ts';
import { CredentialRefs } from './credential-ref.ts';
import type { Plane, Reserved } from './plane.ts';
import { createReserved } from './reserved.ts';

const HEAD_BYTES_MAX = 16 * 1024;
const HEAD_TIMEOUT_MS = 10_000;
/** Longer than clients keep idle sockets, so that they and not we close them (semantics §10). */
const IDLE_CONNECTION_MS = 75_000;
/** A client whose machine vanished is noticed although it says nothing. */
const TCP_KEEPALIVE_MS = 30_000;

/** What the data plane is made of. */
export interface DataPlaneParts {
  readonly settings: () => Settings;
  readonly service: Service;
  /** `service` will refuse the next call as too many. */
  readonly full: () => boolean;
  readonly clock: Clock;
  readonly events: Events;
  readonly store: Plane['store'];
  /** `limits.buffered`. */
  readonly buffered: ByteBudget;
  readonly newId: () => string;
  /** Names credentials; kept with the ledger, so that names outlive the process. 32 bytes. */
  readonly namesKey: KeyObject;
  /** Time for a request head, ms; 10 s unless a test wants it shorter. */
  readonly headTimeoutMs?: number;
}

/** The running front door. */
export interface DataPlane {
  readonly server: HttpServer | HttpsServer;
  /** Binds `listen` of the settings; rejects with the system's error. */
  listen(): Promise<AddressInfo>;
  /**
   * Accepts nothing new, ends all waits, and resolves when every call and everything settled behind one is over, after
   * `graceMs` at the latest. Then all connections are closed.
   */
  drain(graceMs: number): Promise<void>;
  /** Calls that have not ended, and exchanges that go on behind an early answer. */
  active(): number;
}

/** Builds the front door; it listens when it is told to. */
export function createDataPlane(parts: DataPlaneParts): DataPlane {
  return new FrontDoor(parts);
}

class FrontDoor implements DataPlane, Plane {
  readonly server: HttpServer | HttpsServer;
  readonly settings: () => Settings;
  readonly service: Service;
  readonly full: () => boolean;
  readonly clock: Clock;
  readonly events: Events;
  readonly buffered: ByteBudget;
  readonly store: Plane['store'];
  readonly newId: () => string;
  readonly via = `holdfast-${randomBytes(4).toString('hex')}`;
  readonly clientToken: ClientToken;
  readonly credentialRefs: CredentialRefs;
  readonly reserved: Reserved;
  draining = false;
  readonly #connections = new Map<Duplex, Connection>();
  /** Only a count: a table that is added to and deleted from with every call keeps dead calls alive for the collector. */
  #calls = 0;
  #settling = 0;
  /** Set while draining: a call or a connection is over. */
  #onProgress: (() => void) | null = null;

  constructor(parts: DataPlaneParts) {
    this.settings = parts.settings;
    this.service = parts.service;
    this.full = parts.full;
    this.clock = parts.clock;
    this.events = parts.events;
    this.buffered = parts.buffered;
    this.store = parts.store;
    this.newId = parts.newId;
    this.credentialRefs = new CredentialRefs(parts.namesKey);
    this.clientToken = new ClientToken(parts.clock, parts.events);
    this.reserved = createReserved(this);
    this.server = this.#createServer(parts.headTimeoutMs ?? HEAD_TIMEOUT_MS);
  }

  async listen(): Promise<AddressInfo> {
    const { listen, tls } = this.settings();
    if (tls !== null && 'setSecureContext' in this.server) {
      const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
      this.server.setSecureContext({ cert, key });
    }
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(listen.port, listen.host, () => {
        this.server.removeListener('error', reject);
        this.server.on('error', (error) => this.events.bug(error, 'listener'));
        resolve();
      });
    });
    return this.server.address() as AddressInfo;
  }

  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    this.server.close();
    for (const connection of this.#connections.values()) connection.shutdown();
    const closing = new Set<Duplex>();
    await new Promise<void>((resolve) => {
      const cancel = this.clock.timer(graceMs, resolve);
      this.#onProgress = () => {
        if (this.active() > 0) return;
        for (const { socket } of this.#connections.values()) {
          // Each further call would leave one more listener on the socket.
          if (!closing.has(socket)) socket.destroySoon();
          closing.add(socket);
        }
        if (this.#connections.size > 0) return;
        cancel();
        resolve();
      };
      this.#onProgress();
    });
    for (const { socket } of this.#connections.values()) socket.destroy();
  }

  active(): number {
    return this.#calls + this.#settling;
  }

  enter(): void {
    this.#calls += 1;
  }

  leave(): void {
    this.#calls -= 1;
    this.#onProgress?.();
  }

  settling(settled: Promise<Outcome>): void {
    this.#settling += 1;
    const over = (): void => {
      this.#settling -= 1;
      this.#onProgress?.();
    };
    settled.then(over, (error: unknown) => {
      this.events.bug(error, 'settled');
      over();
    });
  }

  #createServer(headTimeoutMs: number): HttpServer | HttpsServer {
    const options: ServerOptions = {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: headTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(1000, headTimeoutMs / 2),
      keepAliveTimeout: IDLE_CONNECTION_MS,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      // Ours answers in the shape of all our errors.
      requireHostHeader: false,
    };
    const server =
      this.settings().tls === null
        ? createHttpServer(options)
        : createHttpsServer({ ...options, handshakeTimeout: headTimeoutMs });
    // The limit is in bytes; Node would drop fields beyond a count without a word.
    server.maxHeadersCount = 0;
    // Not in the types, documented in lib/_http_server.js: a client may close its side and still read (semantics §10).
    Object.assign(server, { httpAllowHalfOpen: true });
    const serve = (expectation: Expectation) => (request: IncomingMessage, response: ServerResponse) => {
      const connection = this.#connectionOf(request.socket);
      connection.take(new Call(this, connection, request, response, expectation));
    };
    server.on('request', serve('nothing'));
    server.on('checkContinue', serve('continue'));
    server.on('checkExpectation', serve('unknown'));
    server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      this.#connectionOf(socket as Socket).malformed(NO_TUNNEL);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const refusal = refusalOfParserError(error.code ?? '');
      if (refusal === null) socket.destroy();
      else this.#connectionOf(socket as Socket).malformed(refusal);
    });
    server.on(this.settings().tls === null ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#connectionOf(socket);
    });
    return server;
  }

  #connectionOf(socket: Socket): Connection {
    let connection = this.#connections.get(socket);
    if (connection === undefined) {
      const made = new Connection(socket, (at, refusal) => writeRawRefusal(this, at, refusal));
      connection = made;
      this.#connections.set(socket, made);
      socket.on('end', () => made.endOfInput());
      socket.on('close', () => {
        this.#connections.delete(socket);
        made.gone();
        this.#onProgress?.();
      });
      // Node takes its own listener away when it gives a socket up; an error that nobody hears would end the process.
      socket.on('error', () => {});
    }
    return connection;
  }
}
