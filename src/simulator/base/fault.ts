import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { z } from 'zod';
import type { Random } from '../../ops/random.ts';
import type { Answer } from './answer.ts';
import { duration } from './duration.ts';
import type { QuotaReading } from './quota.ts';

/** A request that arrived whole and was let in, in the hands of a fault. */
export interface Arrival {
  readonly requestId: string;
  readonly socket: Socket;
  readonly response: ServerResponse;
  readonly quota: QuotaReading;
  /** Epoch ms of the server's clock. */
  readonly serverNow: () => number;
  /** What chance a fault needs beyond whether it strikes. */
  readonly random: Random;
  /** Carries the operation out, at this moment. At most once. */
  readonly apply: () => Answer;
  /** Calls back after `ms`, also when the client has gone; never after the simulator was reset or closed. */
  readonly later: (ms: number, callback: () => void) => void;
  /** The fields that every answer carries; `rateHeaders` replaces the three rate-limit fields. */
  readonly fields: (rateHeaders?: readonly string[]) => string[];
  /** Writes an answer as it should be, Content-Length included. */
  readonly send: (answer: Answer, rateHeaders?: readonly string[]) => void;
  /** Notes the status of an answer that the fault writes by hand. */
  readonly noteStatus: (status: number) => void;
}

/** What happens to a request instead of its answer. */
export interface Fault {
  readonly kind: string;
  /** True: strikes when a connection is accepted, before any request; `run` is not called. */
  readonly onAccept: boolean;
  readonly run: (arrival: Arrival) => void;
}

/** Declares a kind of fault: its options as scenarios write them, and what it does. */
export function defineFault<K extends string, S extends z.ZodRawShape>(
  kind: K,
  shape: S,
  run: (arrival: Arrival, options: z.output<z.ZodObject<S>>) => void,
) {
  return z.strictObject({ kind: z.literal(kind), ...shape }).transform(
    (options): Fault => ({
      kind,
      onAccept: false,
      run: (arrival) => run(arrival, options as unknown as z.output<z.ZodObject<S>>),
    }),
  );
}

/** Whether the operation takes effect although its answer is lost; `late`: `late_by` after that. */
export const effectShape = {
  effect: z.enum(['none', 'applied', 'late']).default('none'),
  late_by: duration.default(1000),
};

/** Lets the operation take effect, or not, now or later. */
export function takeEffect(arrival: Arrival, options: { effect: 'none' | 'applied' | 'late'; late_by: number }): void {
  if (options.effect === 'applied') arrival.apply();
  if (options.effect === 'late') arrival.later(options.late_by, () => arrival.apply());
}
