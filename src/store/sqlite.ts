import type { Operation, OperationChange, OperationState } from '../core/operation.ts';
import type { DuePart, QueueDepth } from '../core/queue-store.ts';
import type { GateState, OpenOperation, Store, StoreHealth } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import { SqliteDeadLetters } from './dead-letters.ts';
import type { Keys } from './keys.ts';
import { SqliteRedrives } from './redrives.ts';
import { pack, packChange, packInsert } from './requests.ts';
import { StoreThread } from './thread.ts';

/** Another process has the directory. The message says what to do. */
export class DirectoryInUse extends Error {
  override readonly name = 'DirectoryInUse';
  readonly code = 'DIRECTORY_IN_USE';
}

/** What a store on SQLite needs. */
export interface StoreParts {
  readonly directory: string;
  readonly keys: Keys;
  readonly clock: Clock;
  /** Told at first and at every change: null when it works, else what is wrong and what to do. */
  readonly onHealth: (fault: string | null) => void;
}

/**
 * Opens the ledger in a directory, which it makes when needed. Rejects with `DirectoryInUse`, and with nothing else: a
 * ledger that cannot be used gives a store that says so in `health()`, rejects every call, and is tried again by itself
 * when the fault may pass.
 */
export async function openStore(parts: StoreParts): Promise<SqliteStore> {
  const thread = new StoreThread(parts);
  const fault = await thread.open();
  if (fault?.inUse !== true) return new SqliteStore(thread);
  await thread.close();
  throw new DirectoryInUse(fault.text);
}

/** The port on SQLite: every call is a request to the thread. */
export class SqliteStore extends SqliteDeadLetters implements Store {
  readonly redrives: SqliteRedrives;
  readonly #thread: StoreThread;

  constructor(thread: StoreThread) {
    super(thread);
    this.redrives = new SqliteRedrives(thread);
    this.#thread = thread;
  }

  /** Transactions so far: what shows that calls share them. */
  get batches(): number {
    return this.#thread.batches;
  }

  insert(operation: Operation): Promise<void> {
    return this.#thread.ask(packInsert(operation)) as Promise<undefined>;
  }

  change(id: string, change: OperationChange, from?: readonly OperationState[]): Promise<boolean> {
    return this.#thread.ask(packChange(id, change, from ?? null)) as Promise<boolean>;
  }

  delivered(id: string): void {
    this.#thread.send(pack(['delivered', id]));
  }

  remove(id: string): Promise<void> {
    return this.#thread.ask(pack(['remove', id])) as Promise<undefined>;
  }

  async get(id: string): Promise<Operation | null> {
    return withBuffers((await this.#thread.ask(pack(['get', id]))) as Operation | null);
  }

  async byKey(scope: string, keyHash: string): Promise<Operation | null> {
    return withBuffers((await this.#thread.ask(pack(['byKey', scope, keyHash]))) as Operation | null);
  }

  open(sinceMs: number): Promise<readonly OpenOperation[]> {
    return this.#thread.ask(pack(['open', sinceMs])) as Promise<readonly OpenOperation[]>;
  }

  async due(states: readonly OperationState[], nowMs: number, limit: number): Promise<readonly Operation[]> {
    return ((await this.#thread.ask(pack(['due', states, nowMs, limit]))) as readonly Operation[]).map(withBuffers);
  }

  claimed(scope: string, endpoint: string, answerId: string, exceptId: string): Promise<boolean> {
    return this.#thread.ask(pack(['claimed', scope, endpoint, answerId, exceptId])) as Promise<boolean>;
  }

  keepGate(gate: GateState): void {
    this.#thread.send(pack(['keepGate', gate]));
  }

  gates(nowMs: number): Promise<readonly GateState[]> {
    return this.#thread.ask(pack(['gates', nowMs])) as Promise<readonly GateState[]>;
  }

  expire(nowMs: number, limit: number): Promise<number> {
    return this.#thread.ask(pack(['expire', nowMs, limit])) as Promise<number>;
  }

  queueDue(nowMs: number, afterLane: string | null, perLane: number): Promise<DuePart> {
    return this.#thread.ask(pack(['queueDue', nowMs, afterLane, perLane])) as Promise<DuePart>;
  }

  queuedBefore(resource: string): Promise<boolean> {
    return this.#thread.ask(pack(['queuedBefore', resource])) as Promise<boolean>;
  }

  queueDepth(): Promise<QueueDepth> {
    return this.#thread.ask(pack(['queueDepth'])) as Promise<QueueDepth>;
  }

  health(): StoreHealth {
    return this.#thread.health();
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}

/** What came over from the thread has plain byte arrays in the place of Buffers. */
function withBuffers<T extends Operation | null>(operation: T): T {
  if (operation === null) return operation;
  const { body, answer } = operation;
  return {
    ...operation,
    body: body === null ? null : buffer(body),
    answer: answer === null ? null : { ...answer, body: answer.body === null ? null : buffer(answer.body) },
  };
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
