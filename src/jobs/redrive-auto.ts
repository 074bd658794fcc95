/**
 * `dead_letters.auto_redrive`: a breaker that closes sends again what its open time made. What that is is told by the time
 * between opening and closing and by the kind of death: refused, or failed to the end. Rows that the upstream refused for
 * what they are stay where they are. Times are kept in memory: what an earlier process let die waits for a person.
 */

import { HOST } from '../core/breaker.ts';
import type { DeadFilter, DeadLetterStore } from '../core/dead-letters.ts';
import type { OperatorEvent } from '../core/notify.ts';
import type { DeadReason } from '../core/operation.ts';
import type { RedriveOrder } from '../core/redrive.ts';
import type { Settings } from '../core/settings.ts';
import type { Clock } from '../ops/clock.ts';

/** What it needs. */
export interface AutoRedriveParts {
  readonly settings: () => Settings;
  readonly store: Pick<DeadLetterStore, 'listDead'>;
  readonly start: (order: RedriveOrder) => Promise<unknown>;
  readonly bug: (error: unknown) => void;
}

/** What an outage makes; a create in doubt is looked for first, like in every redrive. */
const MADE_BY_OUTAGE: ReadonlySet<DeadReason> = new Set(['refused', 'exhausted', 'unknown']);
const PAGE = 1000;
const CANARY = 3;

/** Hears of breakers, and starts redrives. */
export class AutoRedrive {
  readonly #parts: AutoRedriveParts;
  readonly #clock: Clock;
  /** Epoch ms, by endpoint. */
  readonly #openSince = new Map<string, number>();

  constructor(parts: AutoRedriveParts, clock: Clock) {
    this.#parts = parts;
    this.#clock = clock;
  }

  /** Neither waits nor throws. */
  take(event: OperatorEvent): void {
    if (event.kind !== 'breaker') return;
    const { endpoint, to } = event;
    const since = this.#openSince.get(endpoint);
    if (to === 'open' && since === undefined) this.#openSince.set(endpoint, this.#clock.wall());
    if (to !== 'closed' || since === undefined) return;
    this.#openSince.delete(endpoint);
    if (!this.#parts.settings().deadLetters.autoRedrive) return;
    this.#redrive(endpoint, since, this.#clock.wall()).catch(this.#parts.bug);
  }

  async #redrive(endpoint: string, sinceMs: number, untilMs: number): Promise<void> {
    const ids = await this.#made(endpoint, sinceMs, untilMs + 1);
    if (ids.length === 0) return;
    const { velocity } = this.#parts.settings().redrive;
    await this.#parts.start({ filter: { ids }, velocity, canary: CANARY, force: false, trigger: 'breaker' });
  }

  async #made(endpoint: string, sinceMs: number, untilMs: number): Promise<string[]> {
    const where = endpoint === HOST ? {} : { endpoint };
    const filter: DeadFilter = { ...where, states: ['dead', 'unknown'], sinceMs, untilMs };
    const ids: string[] = [];
    for (let cursor: number | null = null; ; ) {
      const page = await this.#parts.store.listDead(filter, cursor, PAGE);
      for (const { id, deadReason } of page.letters) {
        if (deadReason !== null && MADE_BY_OUTAGE.has(deadReason)) ids.push(id);
      }
      if (page.next === null) return ids;
      cursor = page.next;
    }
  }
}
