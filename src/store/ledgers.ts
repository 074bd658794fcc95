import type { DatabaseSync } from 'node:sqlite';
import { Ledger } from './ledger.ts';
import { DeadLedger } from './ledger-dead.ts';
import { QueueLedger } from './queue.ts';
import { RedriveLedger } from './redrives.ts';
import type { Sealer } from './seal.ts';
import { Statements } from './statements.ts';

/** Everything that can be asked of one open ledger. */
export interface Ledgers {
  readonly ledger: Ledger;
  readonly dead: DeadLedger;
  readonly redrives: RedriveLedger;
  readonly queue: QueueLedger;
}

/** The statements on an open ledger. */
export function ledgersOn(database: DatabaseSync, sealer: Sealer): Ledgers {
  const statements = new Statements(database);
  const ledger = new Ledger(database, statements, sealer);
  return {
    ledger,
    dead: new DeadLedger(statements, ledger),
    redrives: new RedriveLedger(statements),
    queue: new QueueLedger(statements),
  };
}
