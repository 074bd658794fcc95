import { z } from 'zod';
import type { Fault } from '../base/fault.ts';

/** Resets a connection directly after it was accepted. A closed listener is not a fault but an outage of the scenario. */
export const refuse = z
  .strictObject({ kind: z.literal('refuse') })
  .transform((): Fault => ({ kind: 'refuse', onAccept: true, run: ({ socket }) => void socket.resetAndDestroy() }));
