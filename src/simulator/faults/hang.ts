import { defineFault, effectShape, takeEffect } from '../base/fault.ts';

/** Never answers; the connection stays open until the client gives up. */
export const hang = defineFault('hang', effectShape, takeEffect);
