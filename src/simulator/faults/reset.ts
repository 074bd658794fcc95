import { defineFault, effectShape, takeEffect } from '../base/fault.ts';

/** Resets the connection (RST) without a byte of answer, before or after the effect. */
export const reset = defineFault('reset', effectShape, (arrival, options) => {
  takeEffect(arrival, options);
  arrival.socket.resetAndDestroy();
});
