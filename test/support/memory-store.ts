import type {
  DeadCount,
  DeadFilter,
  DeadGroup,
  DeadHead,
  DeadLimits,
  DeadPage,
  Evictable,
  Success,
  Superseded,
} from '../../src/core/dead-letters.ts';
import { type Operation, type OperationChange, type OperationState, TRANSITIONS } from '../../src/core/operation.ts';
import type { DuePart, QueueDepth } from '../../src/core/queue-store.ts';
import {
  type GateState,
  type OpenOperation,
  OperationExists,
  type Store,
  type StoreHealth,
  StoreUnavailable,
} from '../../src/core/store.ts';
import { groupsOfParts } from '../../src/store/dead-groups.ts';
import {
  headOfDead,
  isDeletable,
  isMeant,
  originalsOf,
  partOfDead,
  rankOf,
  replacedBy,
  samplesOf,
  supersededIn,
} from './memory-dead.ts';
import { depthOf, duePartOf, standsBefore } from './memory-queue.ts';

const OPEN_STATES: ReadonlySet<OperationState> = new Set(['reserved', 'sent', 'unknown']);

/**
 * A store in memory: what layer tests use in the place of SQLite, held to the same contract suite. It outlives a
 * "crash" as long as the test keeps the object and makes the layers anew.
 */
export class MemoryStore implements Store {
  /** While set, every call rejects and nothing is changed. */
  fault: string | null = null;
  /** While set, calls wait for it, in order: a disk that takes its time. */
  commitGate: Promise<void> | null = null;
  /** Every write that was made, in order: `insert op-1 sent`, `change op-1 succeeded`, `delivered op-1`. */
  readonly writes: string[] = [];
  readonly #rows = new Map<string, Operation>();
  readonly #gates = new Map<string, GateState>();
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Rows as they are, for assertions, in the order of their insertion. */
  rows(): readonly Operation[] {
    return [...this.#rows.values()];
  }

  insert(operation: Operation): Promise<void> {
    const row = copied(operation);
    return this.#next(() => {
      if (this.#rows.has(row.id) || this.#keyTaken(row.scope, row.keyHash, row.id)) throw new OperationExists(row.id);
      this.#rows.set(row.id, row);
      this.#markReplaced(row.id);
      this.writes.push(`insert ${row.id} ${row.state}`);
    });
  }

  change(id: string, change: OperationChange, from?: readonly OperationState[]): Promise<boolean> {
    const given = copied(change);
    return this.#next(() => {
      const row = this.#rows.get(id);
      if (row === undefined || !TRANSITIONS[row.state].includes(given.state)) return false;
      if (from !== undefined && !from.includes(row.state)) return false;
      if (this.#keyTaken(row.scope, given.keyHash ?? null, id)) throw new OperationExists(id);
      if (given.state === 'discarded') this.#giveBack(row);
      this.#rows.set(id, { ...row, ...given, attempts: [...row.attempts, ...(given.attempts ?? [])] });
      if (given.state === 'dead') this.#markReplaced(id);
      this.writes.push(`change ${id} ${given.state}`);
      return true;
    });
  }

  delivered(id: string): void {
    this.#next(() => {
      const row = this.#rows.get(id);
      if (row !== undefined) this.#rows.set(id, { ...row, delivered: true });
      this.writes.push(`delivered ${id}`);
    }).catch(() => {});
  }

  remove(id: string): Promise<void> {
    return this.#next(() => {
      this.#rows.delete(id);
      this.writes.push(`remove ${id}`);
    });
  }

  get(id: string): Promise<Operation | null> {
    return this.#next(() => copiedOrNull(this.#rows.get(id)));
  }

  byKey(scope: string, keyHash: string): Promise<Operation | null> {
    return this.#next(() => copiedOrNull(this.rows().find((row) => row.scope === scope && row.keyHash === keyHash)));
  }

  open(sinceMs: number): Promise<readonly OpenOperation[]> {
    return this.#next(() =>
      this.rows()
        .filter((row) => OPEN_STATES.has(row.state) || isUndelivered(row, sinceMs))
        .map(openPart),
    );
  }

  due(states: readonly OperationState[], nowMs: number, limit: number): Promise<readonly Operation[]> {
    return this.#next(() =>
      this.rows()
        .filter((row) => states.includes(row.state) && dueAtMs(row) <= nowMs)
        .sort((a, b) => dueAtMs(a) - dueAtMs(b))
        .slice(0, limit)
        .map(copied),
    );
  }

  claimed(scope: string, endpoint: string, answerId: string, exceptId: string): Promise<boolean> {
    return this.#next(() =>
      this.rows().some(
        (row) => row.scope === scope && row.endpoint === endpoint && row.answerId === answerId && row.id !== exceptId,
      ),
    );
  }

  keepGate(gate: GateState): void {
    this.#next(() => {
      this.#gates.set(`${gate.kind} ${gate.name}`, { ...gate });
      this.writes.push(`gate ${gate.kind} ${gate.name}`);
    }).catch(() => {});
  }

  gates(nowMs: number): Promise<readonly GateState[]> {
    return this.#next(() => [...this.#gates.values()].filter((gate) => gate.expiresAtMs > nowMs));
  }

  expire(nowMs: number, limit: number): Promise<number> {
    return this.#next(() => {
      for (const [name, gate] of this.#gates) if (gate.expiresAtMs <= nowMs) this.#gates.delete(name);
      const old = this.rows()
        .filter((row) => row.expiresAtMs !== null && row.expiresAtMs <= nowMs)
        .sort((a, b) => (a.expiresAtMs ?? 0) - (b.expiresAtMs ?? 0))
        .slice(0, limit);
      for (const row of old) this.#rows.delete(row.id);
      return old.length;
    });
  }

  keepDead(operation: Operation): Promise<string> {
    const row = copied(operation);
    return this.#next(() => {
      if (this.#rows.get(row.id)?.state === 'reserved') this.#rows.delete(row.id);
      const equal = row.deadReason === 'refused' ? this.#newestEqual(row) : undefined;
      if (equal !== undefined) {
        const { updatedAtMs } = row;
        this.#rows.set(equal.id, { ...equal, count: equal.count + 1, updatedAtMs, deadAtMs: updatedAtMs });
        return equal.id;
      }
      if (this.#rows.has(row.id)) throw new OperationExists(row.id);
      this.#rows.set(row.id, row);
      this.#markReplaced(row.id);
      this.writes.push(`insert ${row.id} ${row.state}`);
      return row.id;
    });
  }

  #markReplaced(id: string): void {
    const row = this.#rows.get(id);
    if (row?.state !== 'dead' || row.deadReason === null) return;
    for (const each of replacedBy(this.rows(), row)) {
      if (each.maybeSupersededBy === null) this.#rows.set(each.id, { ...each, maybeSupersededBy: id });
    }
  }

  #giveBack(row: Operation): void {
    if (row.state !== 'dead') return;
    for (const each of replacedBy(this.rows(), row)) {
      if (each.maybeSupersededBy !== row.id) continue;
      this.#rows.set(each.id, { ...each, maybeSupersededBy: row.maybeSupersededBy });
    }
  }

  #delete(row: Operation): void {
    this.#giveBack(this.#rows.get(row.id) ?? row);
    this.#rows.delete(row.id);
  }

  #newestEqual(row: Operation): Operation | undefined {
    return this.rows().findLast(
      (each) =>
        each.state === 'dead' &&
        each.deadReason === 'refused' &&
        each.identity === row.identity &&
        each.scope === row.scope &&
        each.formerKeyHash === row.formerKeyHash &&
        each.causeId === row.causeId,
    );
  }

  supersede(success: Success): Promise<Superseded> {
    return this.#next(() => {
      const { id, nowMs } = success;
      const { needless, ofKey, older, equal } = supersededIn(this.rows(), success);
      for (const row of [...ofKey, ...older])
        this.#rows.set(row.id, { ...row, maybeSupersededBy: id, updatedAtMs: nowMs });
      if (needless !== undefined) {
        for (const row of [needless, ...originalsOf(this.rows(), success, needless)]) {
          const keyHash = row.keyHash === row.formerKeyHash ? null : row.keyHash;
          this.#rows.set(row.id, { ...row, state: 'superseded', supersededBy: id, updatedAtMs: nowMs, keyHash });
        }
        return { superseded: needless.id, maybe: null };
      }
      if (older[0] !== undefined) return { superseded: null, maybe: older[0].id };
      if (equal === undefined) return { superseded: null, maybe: null };
      this.#rows.set(equal.id, { ...equal, maybeSupersededBy: id, updatedAtMs: nowMs });
      return { superseded: null, maybe: equal.id };
    });
  }

  listDead(filter: DeadFilter, cursor: number | null, limit: number): Promise<DeadPage> {
    return this.#next(() => {
      const all = this.rows();
      const letters: DeadHead[] = [];
      for (let at = (cursor ?? all.length) - 1; at >= 0; at--) {
        const row = all[at] as Operation;
        if (row.deadReason === null || !isMeant(row, filter)) continue;
        if (letters.length === limit) return { letters, next: at + 1 };
        letters.push(headOfDead(row));
      }
      return { letters, next: null };
    });
  }

  groupDead(filter: DeadFilter, limit: number): Promise<readonly DeadGroup[]> {
    return this.#next(() => {
      const dead = this.rows().filter((row) => row.deadReason !== null && isMeant(row, filter));
      return groupsOfParts(dead.map(partOfDead), filter)
        .slice(0, limit)
        .map((group) => ({ ...group, samples: samplesOf(this.rows(), group.causeId) }));
    });
  }

  countDead(): Promise<readonly DeadCount[]> {
    return this.#next(() =>
      this.rows()
        .filter((row) => row.deadReason !== null)
        .map(({ endpoint, state }) => ({ endpoint, state, rows: 1, bytes: 0 })),
    );
  }

  purgeDead(filter: DeadFilter): Promise<number> {
    return this.#next(() => {
      const rows = this.rows().filter((row) => isDeletable(row) && isMeant(row, filter));
      for (const row of rows) this.#delete(row);
      return rows.length;
    });
  }

  evictable({ beforeMs, maxEntries }: DeadLimits, limit: number): Promise<readonly Evictable[]> {
    return this.#next(() => {
      const rows = this.rows().filter(isDeletable);
      const old = rows.filter((row) => (row.deadAtMs ?? Infinity) < beforeMs);
      if (old.length > 0) return old.slice(0, limit).map(({ id }): Evictable => ({ id, why: 'age' }));
      const all = this.rows().filter(({ deadReason }) => deadReason !== null).length;
      const over = Math.min(Math.max(all - maxEntries, 0), limit);
      return rows
        .sort((a, b) => rankOf(a) - rankOf(b))
        .slice(0, over)
        .map(({ id }): Evictable => ({ id, why: 'count' }));
    });
  }

  evict(ids: readonly string[]): Promise<number> {
    return this.#next(() => {
      const rows = this.rows().filter((row) => isDeletable(row) && ids.includes(row.id));
      for (const row of rows) this.#delete(row);
      return rows.length;
    });
  }

  queueDue(nowMs: number, _afterLane: string | null, perLane: number): Promise<DuePart> {
    return this.#next(() => duePartOf(this.rows(), nowMs, perLane));
  }

  queuedBefore(resource: string): Promise<boolean> {
    return this.#next(() => this.rows().some((row) => row.resource === resource && standsBefore(row)));
  }

  queueDepth(): Promise<QueueDepth> {
    return this.#next(() => depthOf(this.rows()));
  }

  health(): StoreHealth {
    const fault = this.#closed ? 'The store is closed.' : this.fault;
    return { healthy: fault === null, fault };
  }

  async close(): Promise<void> {
    await this.#tail;
    this.#closed = true;
  }

  #keyTaken(scope: string, keyHash: string | null, exceptId: string): boolean {
    if (keyHash === null) return false;
    return this.rows().some((row) => row.scope === scope && row.keyHash === keyHash && row.id !== exceptId);
  }

  #next<T>(run: () => T): Promise<T> {
    const result = this.#tail.then(async () => {
      if (this.commitGate !== null) await this.commitGate;
      const { fault } = this.health();
      if (fault !== null) throw new StoreUnavailable(fault);
      return run();
    });
    this.#tail = result.catch(() => {});
    return result;
  }
}

function dueAtMs(row: Operation): number {
  return row.dueAtMs ?? Infinity;
}

function isUndelivered(row: Operation, sinceMs: number): boolean {
  if (row.delivered) return false;
  if (row.state === 'waiting') return row.lane !== null && row.dueAtMs !== null && row.createdAtMs >= sinceMs;
  return row.state === 'succeeded' && row.updatedAtMs >= sinceMs;
}

function openPart(row: Operation): OpenOperation {
  const { id, endpoint, operationClass, scope, keyHash, identity, state, effect } = row;
  const { createdAtMs, updatedAtMs, sentAtMs, delivered, handedOver } = row;
  return {
    id,
    endpoint,
    operationClass,
    scope,
    keyHash,
    identity,
    state,
    effect,
    createdAtMs,
    updatedAtMs,
    sentAtMs,
    delivered,
    handedOver,
  };
}

function copiedOrNull(row: Operation | undefined): Operation | null {
  return row === undefined ? null : copied(row);
}

/** A copy that shares nothing; `structuredClone` alone would turn Buffers into plain byte arrays. */
function copied<T>(value: T): T {
  if (Buffer.isBuffer(value)) return Buffer.from(value) as T;
  if (Array.isArray(value)) return value.map(copied) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copied(part)])) as T;
}
