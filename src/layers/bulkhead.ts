/**
 * `limits.per_endpoint`: at most so many calls of one endpoint under way at once; off by default. Beyond it a call waits
 * its turn, in the waiting room and until its deadline, instead of being refused: the limit protects a slow endpoint's
 * neighbours, and those do not gain by an error. A call counts until its answer's stream has run dry.
 */

import { Bulkhead } from '../core/bulkhead.ts';
import { type Exchange, noteWait } from '../core/exchange.ts';
import { type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import type { Limits } from '../core/policy.ts';
import type { Layer, Service } from '../core/service.ts';
import { refusedVerdict } from '../core/verdict.ts';
import { roomFull, type WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { BEFORE_DEADLINE_MS, itself, type LetGo, waitInLine } from './wait.ts';

/** What the layer is made of. */
export interface BulkheadParts {
  readonly clock: Clock;
  readonly limits: () => Limits;
  readonly waiting: WaitingRoom;
  readonly events: Pick<Events, 'wouldHave'>;
}

type Endpoint = Bulkhead<LetGo<true>>;

const RETRY_AFTER_MS = 1000;

/** Keeps one endpoint from taking everything. */
export function bulkhead(parts: BulkheadParts): Layer {
  const endpoints = new Map<string, Endpoint>();
  return (inner) => (exchange) => {
    const limit = parts.limits().perEndpoint;
    // Without a limit only the calls that are still counted matter, and they count themselves out.
    return limit === null ? inner(exchange) : run(parts, endpoints, limit, inner, exchange);
  };
}

async function run(
  parts: BulkheadParts,
  endpoints: Map<string, Endpoint>,
  limit: number,
  inner: Service,
  exchange: Exchange,
): Promise<Outcome> {
  const { name, mode } = exchange.policy;
  const endpoint = endpoints.get(name) ?? new Bulkhead();
  endpoints.set(name, endpoint);
  if (!endpoint.enter(limit)) {
    if (mode === 'observe') {
      parts.events.wouldHave(exchange, 'bulkhead', 'wait for its turn at the endpoint');
      return inner(exchange);
    }
    const refused = await wait(parts, endpoint, exchange);
    if (refused !== null) return refused;
  }
  const leave = (): void => {
    endpoint.leave();
    const now = parts.limits().perEndpoint ?? Infinity;
    for (let next = endpoint.next(now); next !== null; next = endpoint.next(now)) next(true);
    if (endpoint.idle) endpoints.delete(name);
  };
  let outcome: Outcome;
  try {
    outcome = await inner(exchange);
  } catch (error) {
    leave();
    throw error;
  }
  const stream = streamOf(outcome);
  if (stream === null) leave();
  else void stream.done.then(leave);
  return outcome;
}

/** Null when it may enter, and has. */
async function wait(parts: BulkheadParts, endpoint: Endpoint, exchange: Exchange): Promise<Refused | null> {
  const { clock, waiting } = parts;
  if (!waiting.enter(exchange)) return roomFull('bulkhead');
  const startedAtMs = clock.now();
  const lastMs = exchange.deadlineAtMs - BEFORE_DEADLINE_MS;
  const entered = await waitInLine<true, LetGo<true>>(clock, exchange, {
    line: endpoint.line,
    urgency: exchange.priority,
    lastMs,
    valueOf: itself,
    onLeft: nothing,
  });
  waiting.leave();
  noteWait(exchange, clock.now() - startedAtMs, 'bulkhead');
  return entered === null ? busy() : null;
}

const nothing = (): void => {};

function busy(): Refused {
  return {
    kind: 'refused',
    by: 'bulkhead',
    code: 'holdfast_overloaded',
    message:
      'Too many calls of this endpoint are under way, and none ended in time. Nothing was sent; send it again later.',
    retryAfterMs: RETRY_AFTER_MS,
    verdict: refusedVerdict('endpoint_busy', RETRY_AFTER_MS),
  };
}
