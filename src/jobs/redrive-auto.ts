/**
 * `dead_letters.auto_redrive`: a breaker that closes sends again what its open time made. What that is is told by the time
 * between opening and closing and by the kind of death: refused, or failed to the end. Rows that the upstream refused for
 * what they are stay where they are. Since when a breaker is open is kept beside it: who restarts the proxy in the middle of
 * an outage means the rows of all of it.
 */

import { HOST } from '../core/breaker.ts';
import type { DeadFilter, DeadLetterStore } from '../core/dead-letters.ts';
import type { OperatorEvent } from '../core/notify.ts';
import type { DeadReason } from '../core/operation.ts';
import type { RedriveOrder } from '../core/redrive.ts';
import type { Settings } from '../core/settings.ts';
import type { GateState } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';

/** What it needs. */
export interface AutoRedriveParts {
  readonly settings: () => Settings;
  readonly store: Pick<DeadLetterStore, 'listDead'>;
  readonly start: (order: RedriveOrder) => Promise<unknown>;
  readonly keep: (gate: GateState) => void;
  readonly bug: (error: unknown) => void;
}

/** What an outage makes; a create in doubt is looked for first, like in every redrive. */
const MADE_BY_OUTAGE: ReadonlySet<DeadReason> = new Set(['refused', 'exhausted', 'unknown']);
const PAGE = 1000;
const CANARY = 3;
/** A breaker that is open for longer is not one that an outage has opened. */
const OPENED_KEPT_MS = 7 * 86_400_000;

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

  /** What an earlier process kept: of breakers that are still open. Before the first call. */
  restore(gates: readonly GateState[]): void {
    const open = new Set(gates.filter(({ kind }) => kind === 'breaker').map(({ name }) => name));
    for (const { kind, name, value } of gates) {
      const sinceMs = Number(value);
      if (kind === 'opened' && open.has(name) && Number.isFinite(sinceMs)) this.#openSince.set(name, sinceMs);
    }
  }

  /** Neither waits nor throws. */
  take(event: OperatorEvent): void {
    if (event.kind !== 'breaker') return;
    const { endpoint, to } = event;
    const since = this.#openSince.get(endpoint);
    if ((to === 'open' || to === 'held_open') && since === undefined) this.#opened(endpoint, this.#clock.wall());
    if ((to !== 'closed' && to !== 'held_closed') || since === undefined) return;
    this.#openSince.delete(endpoint);
    this.#parts.keep({ kind: 'opened', name: endpoint, value: '0', expiresAtMs: 0 });
    if (!this.#parts.settings().deadLetters.autoRedrive) return;
    this.#redrive(endpoint, since, this.#clock.wall()).catch(this.#parts.bug);
  }

  #opened(endpoint: string, nowMs: number): void {
    this.#openSince.set(endpoint, nowMs);
    this.#parts.keep({ kind: 'opened', name: endpoint, value: String(nowMs), expiresAtMs: nowMs + OPENED_KEPT_MS });
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
