/**
 * One simulated workspace: entities, ledger, quota and the faults of the scenario in force. It knows no socket but
 * those that it is handed with a request; listening is `simulator.ts`.
 */

import { hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import type { Random } from '../ops/random.ts';
import { seededRandom } from '../ops/seeded-random.ts';
import { type Answer, error } from './base/answer.ts';
import type { Arrival, Fault } from './base/fault.ts';
import { Ledger, type SeenRequest } from './base/ledger.ts';
import { Quota, type QuotaReading } from './base/quota.ts';
import { type Call, type Json, type RouteMatch, Router } from './base/route.ts';
import { createWorld } from './base/world.ts';
import { FaultPlan } from './fault-plan.ts';
import { allRoutes } from './routes.ts';
import type { Rule, Scenario } from './scenario.ts';

const VERSION_DEFAULT = '2.16';
const NOTHING: Json = {};

/** One workspace from its first request to its reset. */
export class Workspace {
  readonly ledger = new Ledger();
  readonly #clock: Clock;
  readonly #seed: number;
  readonly #shared: Random | null;
  readonly #random: Random;
  readonly #router: Router;
  readonly #timers = new Set<CancelTimer>();
  #scenario: Scenario;
  #quota: Quota;
  #plan: FaultPlan;
  #beganMs: number;
  #dateSecond = 0;
  #date = '';

  constructor(scenario: Scenario, seed: number, clock: Clock, shared: Random | null) {
    this.#clock = clock;
    this.#seed = seed;
    this.#shared = shared;
    this.#random = shared ?? seededRandom(seed);
    this.#scenario = scenario;
    this.#beganMs = clock.now();
    this.#quota = quotaOf(scenario);
    this.#plan = new FaultPlan(scenario.rules, seed, shared);
    const world = createWorld({
      seed,
      serverNow: this.#serverNow,
      now: () => clock.now(),
      searchLagMs: () => this.#scenario.search_lag,
    });
    this.#router = new Router(allRoutes(world));
  }

  /** Puts another scenario in force; entities and ledger stay, its time begins now. */
  setScenario(scenario: Scenario): void {
    this.#scenario = scenario;
    this.#beganMs = this.#clock.now();
    this.#quota = quotaOf(scenario);
    this.#plan = new FaultPlan(scenario.rules, this.#seed, this.#shared);
  }

  /** Adds a rule before those of the scenario. */
  addRule(rule: Rule): void {
    this.#plan.add(rule);
  }

  /** Takes all rules away. */
  clearRules(): void {
    this.#plan.clear();
  }

  /** What is to happen to a connection that was just accepted; null for nothing. */
  onAccept(): Fault | null {
    const fault = this.#plan.onAccept(this.#sinceMs());
    if (fault !== null) this.ledger.connectionFaulted(fault.kind);
    return fault;
  }

  /** Answers a request whose body is here, or does to it what the scenario says. */
  handle(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const method = request.method === 'HEAD' ? 'GET' : (request.method as string);
    const target = request.url as string;
    const queryAt = target.indexOf('?');
    const path = queryAt < 0 ? target : target.slice(0, queryAt);
    const match = this.#router.match(method, path);
    const authorization = request.headers.authorization;
    const seen = this.ledger.arrived({
      atMs: this.#clock.wall(),
      method,
      target,
      operation: match?.route.name ?? 'other',
      bodyBytes: body.length,
      bodyHash: shortHash(body),
      tokenHash: shortHash(authorization ?? ''),
    });
    const requestId = seen.n.toString(36).padStart(20, '0');
    const quota = this.#quota.take(seen.tokenHash, this.#serverNow());
    const version = request.headers['intercom-version'];
    const fields = (rate = rateFields(quota)): string[] => [
      'Date',
      this.#dateField(),
      'X-Request-Id',
      requestId,
      'Intercom-Version',
      typeof version === 'string' ? version : VERSION_DEFAULT,
      ...rate,
    ];
    const send = (answer: Answer, rate?: readonly string[]): void => {
      this.ledger.answered(seen, answer.status);
      response.writeHead(answer.status, [
        ...fields(rate as string[] | undefined),
        ...answer.headers,
        'Content-Length',
        String(answer.body.length),
      ]);
      response.end(answer.body);
    };
    if (authorization === undefined) {
      send(error(requestId, 401, 'unauthorized', 'Access Token Invalid'));
      return;
    }
    if (!quota.admitted) {
      const message = `Exceeded rate limit of ${quota.limit} in ${this.#scenario.quota.window / 1000}_seconds`;
      send(error(requestId, 429, 'rate_limit_exceeded', message));
      return;
    }
    const query = queryAt < 0 ? '' : target.slice(queryAt + 1);
    const apply = (): Answer => this.#apply(match, seen, requestId, query, body);
    const fault = this.#plan.onRequest(method, path, this.#sinceMs());
    if (fault === null) {
      send(apply());
      return;
    }
    this.ledger.faulted(seen, fault.kind);
    const arrival: Arrival = {
      requestId,
      socket: request.socket,
      response,
      quota,
      serverNow: this.#serverNow,
      random: this.#random,
      apply,
      later: (ms, callback) => this.later(ms, callback),
      fields: (rate) => fields(rate as string[] | undefined),
      send,
      noteStatus: (status) => this.ledger.answered(seen, status),
    };
    fault.run(arrival);
  }

  /** Calls back after `ms`, unless `end` comes first. */
  later(ms: number, callback: () => void): void {
    const cancel = this.#clock.timer(ms, () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
  }

  /** Cancels what was to happen later. */
  end(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #apply(match: RouteMatch | null, seen: SeenRequest, requestId: string, query: string, body: Buffer): Answer {
    if (match === null) return error(requestId, 404, 'not_found', 'Resource Not Found');
    const parsed = body.length === 0 ? NOTHING : parseObject(body);
    if (parsed === null) return error(requestId, 400, 'parameter_invalid', 'Invalid JSON in the request body');
    const call: Call = {
      params: match.params,
      query: new URLSearchParams(query),
      body: parsed,
      requestId,
      bodyHash: seen.bodyHash,
      effect: (kind, key, id) => this.ledger.applied(seen, kind, key, id, this.#clock.wall()),
    };
    try {
      return match.route.run(call);
    } catch (fault) {
      // NOTE: operations check what Intercom is known to check; a value of an odd type fails as it would in any server.
      return error(requestId, 500, 'server_error', String(fault));
    }
  }

  #sinceMs(): number {
    return this.#clock.now() - this.#beganMs;
  }

  readonly #serverNow = (): number => {
    const { offset, drift } = this.#scenario.clock;
    return this.#clock.wall() + offset + drift * this.#sinceMs();
  };

  #dateField(): string {
    const now = this.#serverNow();
    const second = Math.floor(now / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(second * 1000).toUTCString();
    }
    return this.#date;
  }
}

function quotaOf(scenario: Scenario): Quota {
  const { limit, window, foreign } = scenario.quota;
  return new Quota({ limit, windowMs: window, foreign });
}

function rateFields(quota: QuotaReading): string[] {
  return [
    'X-RateLimit-Limit',
    String(quota.limit),
    'X-RateLimit-Remaining',
    String(quota.remaining),
    'X-RateLimit-Reset',
    String(quota.resetSeconds),
  ];
}

function shortHash(data: Buffer | string): string {
  return hash('sha256', data, 'hex').slice(0, 16);
}

function parseObject(body: Buffer): Json | null {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}
