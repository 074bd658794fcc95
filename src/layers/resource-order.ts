/**
 * Keeps the order of writes to one resource (semantics §2, `core/resource.ts`): a write waits while an earlier one of the
 * same resource is undecided, in the waiting room and until its deadline. It waits instead of being refused, because
 * nearly all such doubts are over after one backoff. The map holds only resources that are being written now, so
 * `limits.in_flight` and `limits.waiting` bound it.
 */

import { type Exchange, noteWait } from '../core/exchange.ts';
import type { Outcome, Refused } from '../core/outcome.ts';
import { ResourceWrites, resourceOf, type WaitingWrite } from '../core/resource.ts';
import type { Layer, Service } from '../core/service.ts';
import { refusedVerdict } from '../core/verdict.ts';
import { roomFull, type WaitingRoom } from '../core/waiting-room.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { BEFORE_DEADLINE_MS, type LetGo, waitInLine } from './wait.ts';

/** What the layer is made of. */
export interface ResourceOrderParts {
  readonly clock: Clock;
  readonly waiting: WaitingRoom;
  readonly events: Pick<Events, 'wouldHave'>;
}

type Writes = ResourceWrites<LetGo<true>>;

const NAME = 'resource-order';
const RETRY_AFTER_MS = 1000;
/** By arrival alone: a priority must not turn two writes round. */
const NO_URGENCY = 0;

/** Holds a write back while an older one of its resource may still land. */
export function resourceOrder(parts: ResourceOrderParts): Layer {
  const resources = new Map<string, Writes>();
  return (inner) => (exchange) => {
    const resource = resourceOf(exchange);
    return resource === null ? inner(exchange) : run(parts, resources, resource, inner, exchange);
  };
}

function run(
  parts: ResourceOrderParts,
  resources: Map<string, Writes>,
  resource: string,
  inner: Service,
  exchange: Exchange,
): Promise<Outcome> {
  let writes = resources.get(resource);
  if (writes === undefined) resources.set(resource, (writes = new ResourceWrites()));
  const leave = (): void => {
    writes.leave(exchange)?.(true);
    if (writes.idle) resources.delete(resource);
  };
  if (writes.held) {
    if (exchange.policy.mode === 'enforce') {
      return wait(parts, writes, exchange).then((refused) => refused ?? follow(inner, exchange, leave));
    }
    parts.events.wouldHave(exchange, NAME, 'wait for an undecided write to the same resource');
  }
  writes.enter(exchange);
  return follow(inner, exchange, leave);
}

/** Calls inward and leaves when that has really ended. */
async function follow(inner: Service, exchange: Exchange, leave: () => void): Promise<Outcome> {
  let outcome: Outcome;
  try {
    outcome = await inner(exchange);
  } catch (error) {
    leave();
    throw error;
  }
  if (outcome.settled === undefined) leave();
  else void outcome.settled.then(leave, leave);
  return outcome;
}

/** Null when it may go, and counts as running. */
async function wait(parts: ResourceOrderParts, writes: Writes, exchange: Exchange): Promise<Refused | null> {
  const { clock, waiting } = parts;
  if (!waiting.enter(exchange)) return roomFull(NAME);
  const startedAtMs = clock.now();
  const mayGo = await waitInLine<true, WaitingWrite<LetGo<true>>>(clock, exchange, {
    line: writes.line,
    urgency: NO_URGENCY,
    lastMs: exchange.deadlineAtMs - BEFORE_DEADLINE_MS,
    valueOf: (letGo) => ({ exchange, letGo }),
    onLeft: nothing,
  });
  waiting.leave();
  noteWait(exchange, clock.now() - startedAtMs, 'order');
  return mayGo === null ? undecided() : null;
}

const nothing = (): void => {};

function undecided(): Refused {
  return {
    kind: 'refused',
    by: NAME,
    code: 'holdfast_overloaded',
    message:
      'An earlier write to the same resource is undecided and may still land after this one. Nothing was sent; send it again later.',
    retryAfterMs: RETRY_AFTER_MS,
    verdict: refusedVerdict('resource_undecided', RETRY_AFTER_MS),
  };
}
