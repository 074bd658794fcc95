/**
 * An Intercom that misbehaves on request: a real HTTP server whose operations have real effects in memory, a ledger of
 * them, and faults by scenario. It ships with Holdfast, for the demo and for whoever wants to see a client in a storm.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type CancelTimer, type Clock, systemClock } from '../ops/clock.ts';
import { createServer } from '../ops/node-http.ts';
import type { Random } from '../ops/random.ts';
import { error } from './base/answer.ts';
import type { Effect, SeenRequest, Stats } from './base/ledger.ts';
import { CONTROL_PREFIX, control } from './control.ts';
import { compileRule, compileScenario, type RuleInput, type Scenario, type ScenarioInput } from './scenario.ts';
import { Workspace } from './workspace.ts';

const HOST = '127.0.0.1';
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const NO_BODY = Buffer.alloc(0);

/** What a simulator starts with. */
export interface SimulatorOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Default: the scenario's, else 1. */
  readonly seed?: number;
  readonly scenario?: ScenarioInput;
  readonly clock?: Clock;
  /** Replaces the seeded generators. */
  readonly random?: Random;
}

/** A running simulator. */
export interface Simulator {
  readonly url: string;
  readonly port: number;
  readonly seed: number;
  /** Applied effects since the start or the last reset, oldest first. */
  effects(): readonly Effect[];
  /** The last 10,000 requests of the simulated API, oldest first. */
  requests(): readonly SeenRequest[];
  /** Counts; `connections` are those that are open now. */
  stats(): Stats & { readonly connections: number };
  /** Adds a rule before all others. Throws `ScenarioError`. */
  fault(rule: RuleInput): void;
  /** Takes all rules away, those of the scenario too. */
  clearFaults(): void;
  /** Puts another scenario in force; entities and ledger stay. Throws `ScenarioError`. */
  setScenario(scenario: ScenarioInput): void;
  /** Closes the listener and resets every connection, until `accept`. */
  refuse(): Promise<void>;
  /** Listens again, on the same port. */
  accept(): Promise<void>;
  /** Refuses for `ms`. */
  outage(ms: number): void;
  /** Settles when the listener has done what was asked of it so far. */
  settled(): Promise<void>;
  /** Forgets entities, ledger, quota and rules of run time; the scenario begins anew. */
  reset(): void;
  /** Stops listening and closes every connection. */
  close(): Promise<void>;
}

/** Starts a simulator on 127.0.0.1. Rejects when the port is taken; throws `ScenarioError`. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const simulator = new RunningSimulator(options);
  await simulator.start(options.port);
  return simulator;
}

class RunningSimulator implements Simulator {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #clock: Clock;
  readonly #random: Random | null;
  readonly seed: number;
  /** Timers of outages to begin and to end. */
  readonly #outages: CancelTimer[] = [];
  #scenario: Scenario;
  #workspace: Workspace;
  #port = 0;
  /** Listener changes, one after the other. */
  #listening: Promise<void> = Promise.resolve();

  constructor(options: SimulatorOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? null;
    this.#scenario = compileScenario(options.scenario);
    this.seed = options.seed ?? this.#scenario.seed ?? 1;
    this.#workspace = this.#newWorkspace();
    this.#server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, response) => {
      response.sendDate = false;
      receive(request, (body) => this.#handle(request, response, body));
    });
    this.#server.on('connection', (socket: Socket) => this.#onConnection(socket));
  }

  get url(): string {
    return `http://${HOST}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  async start(port: number): Promise<void> {
    await listen(this.#server, port);
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#planOutages();
  }

  effects(): readonly Effect[] {
    return this.#workspace.ledger.effects;
  }

  requests(): readonly SeenRequest[] {
    return this.#workspace.ledger.requests;
  }

  stats(): Stats & { readonly connections: number } {
    return { ...this.#workspace.ledger.stats(), connections: this.#sockets.size };
  }

  fault(rule: RuleInput): void {
    this.#workspace.addRule(compileRule(rule));
  }

  clearFaults(): void {
    this.#workspace.clearRules();
  }

  setScenario(scenario: ScenarioInput): void {
    this.#scenario = compileScenario(scenario);
    this.#workspace.setScenario(this.#scenario);
    void this.accept();
    this.#planOutages();
  }

  refuse(): Promise<void> {
    return this.#change(async () => {
      if (this.#server.listening) await this.#stop();
    });
  }

  accept(): Promise<void> {
    return this.#change(async () => {
      if (!this.#server.listening) await listen(this.#server, this.#port);
    });
  }

  outage(ms: number): void {
    void this.refuse();
    this.#outages.push(this.#clock.timer(ms, () => void this.accept()));
  }

  settled(): Promise<void> {
    return this.#listening;
  }

  reset(): void {
    this.#workspace.end();
    this.#workspace = this.#newWorkspace();
    void this.accept();
    this.#planOutages();
  }

  close(): Promise<void> {
    this.#workspace.end();
    this.#cancelOutages();
    return this.refuse();
  }

  #newWorkspace(): Workspace {
    return new Workspace(this.#scenario, this.seed, this.#clock, this.#random);
  }

  #planOutages(): void {
    this.#cancelOutages();
    for (const { from, to } of this.#scenario.outages) {
      this.#outages.push(this.#clock.timer(from, () => this.outage(to - from)));
    }
  }

  #cancelOutages(): void {
    for (const cancel of this.#outages.splice(0)) cancel();
  }

  #change(step: () => Promise<void>): Promise<void> {
    const changed = this.#listening.then(step);
    this.#listening = changed.catch(() => undefined);
    return changed;
  }

  #stop(): Promise<void> {
    return new Promise((resolve) => {
      // Resets come first: `close` would end idle connections politely.
      for (const socket of this.#sockets) socket.resetAndDestroy();
      this.#server.close(() => resolve());
    });
  }

  #onConnection(socket: Socket): void {
    const fault = this.#workspace.onAccept();
    if (fault !== null) {
      socket.resetAndDestroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #handle(request: IncomingMessage, response: ServerResponse, body: Buffer | null): void {
    if (body === null) {
      const answer = error('', 413, 'client_error', 'Request body too large');
      response.writeHead(answer.status, [...answer.headers, 'Connection', 'close']);
      response.end(answer.body);
    } else if ((request.url as string).startsWith(CONTROL_PREFIX)) {
      control(this, request, response, body);
    } else {
      this.#workspace.handle(request, response, body);
    }
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Reads the body and calls back once; null when it is larger than 64 MiB. Never, when the client broke off. */
function receive(request: IncomingMessage, done: (body: Buffer | null) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('error', () => {});
  request.on('data', (chunk: Buffer) => {
    const before = bytes;
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
    else if (before <= BODY_BYTES_MAX) done(null);
  });
  request.on('end', () => {
    if (bytes > BODY_BYTES_MAX) return;
    done(chunks.length === 0 ? NO_BODY : chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
  });
}
