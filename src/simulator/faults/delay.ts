import { duration } from '../base/duration.ts';
import { defineFault } from '../base/fault.ts';

/** Carries the operation out after a while and answers as it should, plus up to `jitter` more. */
export const delay = defineFault('delay', { by: duration, jitter: duration.default(0) }, (arrival, options) => {
  arrival.later(options.by + arrival.random() * options.jitter, () => arrival.send(arrival.apply()));
});
