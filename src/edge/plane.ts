/** What every call at the edge shares: types only, so that calls and the data plane do not import each other. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ByteBudget } from '../core/byte-budget.ts';
import type { Outcome } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import type { Settings } from '../core/settings.ts';
import type { Store } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { ClientToken } from './client-token.ts';
import type { CredentialRefs } from './credential-ref.ts';

/** A request to a path of Holdfast's own. */
export interface ReservedCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted with a `CancelReason` when the client leaves or the process stops, with a `Refusal` when its body is malformed. */
  readonly signal: AbortSignal;
}

/** Serves one request under `/.holdfast/`; resolves when nothing of it goes on. */
export type Reserved = (call: ReservedCall) => Promise<void>;

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
  /** What callers may ask of their operations. */
  readonly store: Pick<Store, 'get' | 'change'>;
  readonly reserved: Reserved;
  readonly draining: boolean;
  enter(): void;
  leave(): void;
  /** The caller has its answer but the exchange goes on: a drain waits for it. */
  settling(settled: Promise<Outcome>): void;
}
