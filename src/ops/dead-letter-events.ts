import type { Superseded } from '../core/dead-letters.ts';
import type { Exchange } from '../core/exchange.ts';
import type { DeadReason } from '../core/operation.ts';
import { StoreUnavailable } from '../core/store.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Groups of which it is known that their first row was told. */
const GROUPS_MAX = 1000;

/** The events of the dead letter queue. */
export class DeadLetterEvents {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #groups = new Set<string>();

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /**
   * A call is kept; `id` is its exchange's, null for one of an earlier process. The first of its group is worth a look, the
   * others are more of the same.
   */
  kept(id: string | null, endpoint: string, reason: DeadReason, group: string, operation: string): void {
    this.#metrics.deadLetters.inc({ endpoint, cause: reason });
    const line = { event: 'dead_letter', ...(id === null ? {} : { id }), endpoint, operation, reason, group };
    if (this.#groups.has(group)) {
      this.#log.info(line);
      return;
    }
    if (this.#groups.size >= GROUPS_MAX) this.#groups.clear();
    this.#groups.add(group);
    this.#log.warn(line);
  }

  /** A call that should have been kept is not: the store would not. Its caller has the error. */
  lost(exchange: Exchange, reason: DeadReason, error: unknown): void {
    const endpoint = exchange.policy.name;
    this.#metrics.deadLettersLost.inc({ endpoint });
    this.#log.error({ event: 'dead_letter_lost', id: exchange.id, endpoint, reason, ...whyOf(error) });
  }

  /** A success made one needless, or perhaps did. */
  superseded(exchange: Exchange, by: string, { superseded, maybe }: Superseded): void {
    const endpoint = exchange.policy.name;
    const operation = superseded ?? maybe;
    this.#log.info({ event: 'dead_letter_superseded', endpoint, operation, by, certain: superseded !== null });
  }

  /** Whether a success made one needless could not be asked. */
  notAsked(error: unknown): void {
    if (!(error instanceof StoreUnavailable)) this.#log.error({ event: 'bug', where: 'supersede', err: error });
  }

  /** Retention is about to take some. */
  evicting(why: string, count: number): void {
    this.#metrics.deadLettersEvicted.inc({ reason: why }, count);
    this.#log.warn({ event: 'dead_letters_evicted', reason: why, count });
  }

  /** A person asked for something to be done with them. */
  handled(action: string, fields: Readonly<Record<string, unknown>>): void {
    this.#log.info({ event: 'dead_letters_handled', action, ...fields });
  }
}

function whyOf(error: unknown): Record<string, unknown> {
  if (error instanceof StoreUnavailable) return { why: error.message };
  return { err: error instanceof Error ? error : new Error(String(error)) };
}
