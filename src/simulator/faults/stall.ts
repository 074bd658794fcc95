import { defineFault } from '../base/fault.ts';

/** Applies, sends the head and half of the body, and then nothing more; the connection stays open. */
export const stall = defineFault('stall', {}, (arrival) => {
  const answer = arrival.apply();
  const length = Math.max(answer.body.length, 1);
  arrival.response.writeHead(answer.status, [...arrival.fields(), ...answer.headers, 'Content-Length', String(length)]);
  arrival.noteStatus(answer.status);
  arrival.response.flushHeaders();
  arrival.response.write(answer.body.subarray(0, Math.floor(answer.body.length / 2)));
});
