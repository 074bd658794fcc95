import { z } from 'zod';
import { duration } from '../base/duration.ts';
import { defineFault } from '../base/fault.ts';

/** Applies, and sends the body a few bytes at a time. */
export const drip = defineFault(
  'drip',
  { bytes: z.int().min(1).default(1), every: duration.default(100) },
  (arrival, options) => {
    const answer = arrival.apply();
    const { response } = arrival;
    response.writeHead(answer.status, [
      ...arrival.fields(),
      ...answer.headers,
      'Content-Length',
      String(answer.body.length),
    ]);
    arrival.noteStatus(answer.status);
    response.flushHeaders();
    const next = (at: number): void => {
      if (response.destroyed) return;
      if (at >= answer.body.length) {
        response.end();
        return;
      }
      response.write(answer.body.subarray(at, at + options.bytes));
      arrival.later(options.every, () => next(at + options.bytes));
    };
    next(0);
  },
);
