/**
 * The shape of everything: a request goes inward through the layers as an exchange and comes outward as an outcome.
 * The model is tower's Service and Layer, without readiness: a layer that cannot take an exchange answers `refused`.
 */

import type { Exchange } from './exchange.ts';
import type { Outcome } from './outcome.ts';

/** Carries an exchange out and resolves with how it ended. Rejects only for bugs. */
export type Service = (exchange: Exchange) => Promise<Outcome>;

/** Wraps a service into one that does a little more. */
export type Layer = (inner: Service) => Service;

/** Stacks layers around the innermost service, the first layer outermost. */
export function compose(layers: readonly Layer[], innermost: Service): Service {
  return layers.reduceRight((inner, layer) => layer(inner), innermost);
}
