/** What every call at the edge shares: types only, so that calls and the data plane do not import each other. */

import type { ByteBudget } from '../core/byte-budget.ts';
import type { Outcome } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import type { Settings } from '../core/settings.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { ClientToken } from './client-token.ts';
import type { CredentialRefs } from './credential-ref.ts';
import type { Reserved } from './reserved.ts';

/** The surroundings of a call. */
export interface Plane {
  readonly settings: () => Settings;
  readonly service: Service;
  /** `service` will refuse the next call as too many. */
  readonly full: () => boolean;
  readonly clock: Clock;
  readonly events: Events;
  readonly buffered: ByteBudget;
  readonly newId: () => string;
  /** Our name in `Via`, of this process alone, so that two Holdfasts in a row are no loop. */
  readonly via: string;
  readonly clientToken: ClientToken;
  readonly credentialRefs: CredentialRefs;
  readonly reserved: Reserved;
  readonly draining: boolean;
  enter(): void;
  leave(): void;
  /** The caller has its answer but the exchange goes on: a drain waits for it. */
  settling(settled: Promise<Outcome>): void;
}
