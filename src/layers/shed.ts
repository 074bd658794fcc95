/**
 * Shedding: beyond `limits.in_flight` a call is refused at once, before anything is stored or buffered for it. A plain
 * count and not a queue: a queue in front of a proxy only adds its own wait to a client that has a timeout. A call counts
 * until it has really ended, that is until its early answer is `settled` and its answer's stream has run dry; one that
 * waits inside a layer, or has waited, counts in the waiting room instead.
 */

import type { Exchange } from '../core/exchange.ts';
import { type Outcome, type Refused, streamOf } from '../core/outcome.ts';
import type { Limits } from '../core/policy.ts';
import type { Layer } from '../core/service.ts';
import { refusedVerdict } from '../core/verdict.ts';
import type { WaitingRoom } from '../core/waiting-room.ts';
import type { Events } from '../ops/events.ts';

/** What the layer is made of. */
export interface ShedParts {
  /** Read per call: a reload may change it. */
  readonly limits: () => Limits;
  readonly events: Events;
  /** Calls that have a place in it do not count. */
  readonly waiting: WaitingRoom;
}

/** The layer, and its count for `/api/status` and for a drain. */
export interface Shed {
  readonly layer: Layer;
  /** Counts, and refuses nobody: for runs that no client waits for, whose number others bound. */
  readonly counting: Layer;
  /** Calls that have not really ended, without those that wait. */
  readonly inFlight: () => number;
  /** The next call will be refused: the edge asks before it reads a body. */
  readonly full: () => boolean;
}

/** An overload passes in about the time of a few calls. */
const RETRY_AFTER_MS = 1000;

/** Refuses calls while too many are in flight. Mode observe only says so. */
export function createShed({ limits, events, waiting }: ShedParts): Shed {
  let count = 0;
  const inFlight = (): number => count - waiting.taken;
  const full = (): boolean => count - waiting.held >= limits().inFlight;
  const leave = (): void => {
    count -= 1;
  };

  const layer: Layer = (inner) => {
    const counted = counting(inner);
    return (exchange) => {
      if (full()) {
        if (exchange.policy.mode === 'enforce') return Promise.resolve(refuse(exchange));
        events.wouldHave(exchange, 'shed', 'refuse as overloaded');
      }
      return counted(exchange);
    };
  };

  const counting: Layer = (inner) => async (exchange) => {
    count += 1;
    let outcome: Outcome;
    try {
      outcome = await inner(exchange);
    } catch (error) {
      leave();
      throw error;
    }
    const stream = streamOf(outcome);
    if (outcome.settled === undefined && stream === null) leave();
    else Promise.all([outcome.settled, stream?.done]).then(leave, leave);
    return outcome;
  };

  function refuse(exchange: Exchange): Refused {
    events.shed(exchange);
    return {
      kind: 'refused',
      by: 'shed',
      code: 'holdfast_overloaded',
      message: 'Too many calls are in flight. Nothing was sent; send this one again later, or raise limits.in_flight.',
      retryAfterMs: RETRY_AFTER_MS,
      verdict: refusedVerdict('overloaded', RETRY_AFTER_MS),
    };
  }

  return { layer, counting, inFlight, full };
}
