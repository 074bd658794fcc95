import { z } from 'zod';
import { defineFault } from '../base/fault.ts';

/**
 * Applies, and cuts the answer's body: `length` and `chunked` break the connection in the middle, `clean` ends properly
 * with half of the JSON, so that only the JSON itself shows the loss.
 */
export const truncated = defineFault(
  'truncated',
  { framing: z.enum(['length', 'chunked', 'clean']).default('length') },
  (arrival, options) => {
    const answer = arrival.apply();
    const half = answer.body.subarray(0, Math.ceil(answer.body.length / 2));
    if (options.framing === 'clean') {
      arrival.send({ ...answer, body: half });
      return;
    }
    const { response, socket } = arrival;
    const length = Math.max(answer.body.length, half.length + 1);
    const framing = options.framing === 'length' ? ['Content-Length', String(length)] : [];
    response.writeHead(answer.status, [...arrival.fields(), ...answer.headers, ...framing]);
    arrival.noteStatus(answer.status);
    response.write(half.length > 0 ? half : ' ', () => socket.destroy());
  },
);
