import type { Redrive, RowResult } from '../core/redrive.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** The events of redrives. Credentials and filters are no part of them: a filter may name a person. */
export class RedriveEvents {
  readonly #log: Log;
  readonly #rows: Metrics['redriveRows'];

  constructor(log: Log, { redriveRows }: Pick<Metrics, 'redriveRows'>) {
    this.#log = log;
    this.#rows = redriveRows;
  }

  /** A redrive began, stopped, went on or is over. */
  changed({ id, state, why, rows, counts, trigger, velocity }: Redrive): void {
    const line = { event: 'redrive', redrive: id, state, rows, ...counts, trigger, velocity };
    if (state === 'paused') this.#log.warn({ ...line, why });
    else this.#log.info(line);
  }

  /** A row has its result. */
  row(result: RowResult): void {
    this.#rows.inc({ result });
  }

  /** Redrives of an earlier process could not be read: they go on when they can be. */
  notRestored(fault: string): void {
    this.#log.error({ event: 'redrives_not_restored', fault });
  }

  /** A bug: something threw that must not. */
  bug(error: unknown): void {
    this.#log.error({ event: 'bug', where: 'redrive', err: error instanceof Error ? error : new Error(String(error)) });
  }
}
