/**
 * The product on one page: the layers that every call passes, outermost first, and why each stands where it stands.
 * Adding a behaviour is `core/x`, `layers/x`, a section of the configuration, and one line here.
 */

import { compose, type Service } from './core/service.ts';
import { type AttemptParts, attempt } from './layers/attempt.ts';
import { type DeadlineParts, deadline } from './layers/deadline.ts';
import { type RetryParts, retry } from './layers/retry.ts';
import { createShed, type ShedParts } from './layers/shed.ts';

/** What the layers are made of; each takes its own share. */
export type StackParts = ShedParts & DeadlineParts & RetryParts & AttemptParts;

/** The stack, and what others may ask of it. */
export interface Stack {
  readonly service: Service;
  /** Calls that have not really ended. */
  readonly inFlight: () => number;
}

/** Builds the stack of live calls. */
export function buildStack(parts: StackParts): Stack {
  const shed = createShed(parts);
  const layers = [
    // Outermost: what cannot be served is refused before anything is stored or buffered for it.
    shed.layer,
    // Outside retry: the total time includes every retry and every wait.
    deadline(parts),
    // Directly around the attempt: looks at each verdict and sends again what may be sent again.
    retry(parts),
  ];
  // Innermost: one try on the wire, classified once; everybody above reads that verdict.
  return { service: compose(layers, attempt(parts)), inFlight: shed.inFlight };
}
