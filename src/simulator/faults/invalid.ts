import { error } from '../base/answer.ts';
import { defineFault } from '../base/fault.ts';

/** A validation error that comes as 500, as Intercom does for some fields: sending it again is hopeless. */
export const invalid = defineFault('invalid', {}, (arrival) => {
  arrival.send(error(arrival.requestId, 500, 'parameter_invalid', 'invalid field value'));
});
