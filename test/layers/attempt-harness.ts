import { ByteBudget } from '../../src/core/byte-budget.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { AnswerStream, Outcome } from '../../src/core/outcome.ts';
import type { ErrorCondition, ErrorRule, Limits } from '../../src/core/policy.ts';
import type { RawHeaders } from '../../src/core/raw-headers.ts';
import type { Service } from '../../src/core/service.ts';
import { attempt } from '../../src/layers/attempt.ts';
import { HandWire } from '../support/hand-wire.ts';
import { type RecordedEvents, recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

export const LIMITS: Limits = {
  inFlight: 100,
  waiting: 20_000,
  perEndpoint: null,
  requestBodyBytes: 1_000_000,
  bufferedBytes: 1_000_000,
  repeatableBodyBytes: 1_000_000,
  errorBodyBytes: 1000,
  storedAnswerBytes: 200_000,
};

/** The attempt service over a wire and a clock that the test drives. */
export class AttemptHarness {
  readonly wire = new HandWire();
  readonly clock = new VirtualClock();
  readonly buffered = new ByteBudget(LIMITS.bufferedBytes);
  readonly recorded: RecordedEvents = recordedEvents();
  credential: string | null = null;
  readonly service: Service = attempt({
    wire: this.wire,
    clock: this.clock,
    events: this.recorded.events,
    buffered: this.buffered,
    limits: () => LIMITS,
    credentials: { current: () => this.credential },
  });

  /** Starts an attempt and waits until it is on the wire, or over. */
  async start(exchange: Exchange): Promise<{ outcome: Promise<Outcome> }> {
    const outcome = this.service(exchange);
    await this.clock.settle();
    return { outcome };
  }

  /** Lets the last call start and answer in one go. */
  answer(status: number, body: string | Buffer, headers: RawHeaders = []): void {
    const { handler } = this.wire.last;
    handler.onStart();
    handler.onHead(status, headers);
    if (body.length > 0) handler.onData(Buffer.from(body));
    handler.onEnd([]);
  }

  /** Whether the attempt left nothing behind: no place, no timer, no held byte. */
  leftovers(): { places: number; timers: number; bytes: number } {
    return {
      places: this.wire.held,
      timers: this.clock.pending,
      bytes: LIMITS.bufferedBytes - this.buffered.freeBytes,
    };
  }
}

export const NOTHING_LEFT = { places: 0, timers: 0, bytes: 0 };

/** What came out of a stream, as text: `text|end`, `text|truncated`. */
export interface Drained {
  text: string;
  ended: string;
}

/** Starts a stream and collects what comes. */
export function drain(stream: AnswerStream): Drained {
  const drained: Drained = { text: '', ended: '' };
  stream.start({
    data: (chunk) => void (drained.text += chunk.toString('latin1')),
    end: (trailers) => void (drained.ended = ['end', ...trailers].join(' ')),
    fail: (failure) => void (drained.ended = failure),
  });
  return drained;
}

const ANY: ErrorCondition = {
  matchesStatus: null,
  codes: null,
  message: null,
  body: null,
  failures: null,
  afterUnknown: false,
};

/** An error rule; override what it says. */
export function rule(when: Partial<ErrorCondition>, overrides: Partial<ErrorRule> = {}): ErrorRule {
  return {
    when: { ...ANY, ...when },
    verdict: 'ok',
    reason: 'by_rule',
    retryAfterMs: null,
    pauses: null,
    deadLetter: null,
    origin: 'test',
    ...overrides,
  };
}
