/**
 * What the searches of one process share: which creates are under way, who is being looked for, and whose answer which
 * object is. Two equal notes can be intended, and each look finds both: an object is the answer of one call only, and
 * while an identical call is on the wire nobody can say whose it is. Calls are compared by their bytes, and only when
 * somebody is looking: a create that succeeds pays for an entry in a set.
 */

import type { Exchange } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import { answerIdOf } from '../core/reconcile.ts';
import type { Store } from '../core/store.ts';

/** Looks on the wire at once, for the whole process: a reserved share of the quota, and a small one. */
const LOOKS_MAX = 16;
/** Claims of this process that are remembered beside those in the store. */
const CLAIMS_MAX = 10_000;

/** Identical calls, those that are looked for and those that are not. */
export interface Twins {
  readonly onWire: number;
  /** The call itself included. */
  readonly sought: number;
}

/** The register of one process. */
export class Desk {
  readonly #store: Pick<Store, 'claimed'>;
  readonly #live = new Set<Exchange>();
  readonly #sought = new Set<Exchange>();
  /** Scope, endpoint and id of objects that are somebody's answer, and whose, oldest first. */
  readonly #claims = new Map<string, string>();
  readonly #waiting: (() => void)[] = [];
  #looking = 0;

  constructor(store: Pick<Store, 'claimed'>) {
    this.#store = store;
  }

  enter(exchange: Exchange): void {
    this.#live.add(exchange);
  }

  /** A call has its ending. What it made is no answer of a twin that is looked for; its row may not say so yet. */
  leave(exchange: Exchange, outcome: Outcome | null): void {
    this.#live.delete(exchange);
    this.#sought.delete(exchange);
    if (this.#sought.size === 0 || outcome?.kind !== 'answered' || outcome.body.kind !== 'bytes') return;
    if (outcome.verdict.class !== 'ok' || ![...this.#sought].some((each) => areTwins(each, exchange))) return;
    this.claim(exchange, answerIdOf(exchange.policy.answerId, outcome.body.bytes));
  }

  /** The call is being looked for, or not any more. */
  seek(exchange: Exchange, sought: boolean): void {
    if (sought) this.#sought.add(exchange);
    else this.#sought.delete(exchange);
  }

  twinsOf(exchange: Exchange): Twins {
    let onWire = 0;
    let sought = 1;
    for (const each of this.#live) {
      if (each === exchange || holderOf(each) === holderOf(exchange) || !areTwins(each, exchange)) continue;
      if (this.#sought.has(each)) sought += 1;
      else if (each.operation !== null && each.operation.sentAtMs !== null) onWire += 1;
    }
    return { onWire, sought };
  }

  /** Whether the ledger knows the object as the answer of another operation. Rejects when it cannot say. */
  async isTaken(exchange: Exchange, id: string): Promise<boolean> {
    const { scope, policy, operation } = exchange;
    return this.isClaimed(exchange, id) || (await this.#store.claimed(scope, policy.name, id, operation?.id ?? ''));
  }

  /** Whether it is known here as the answer of another one. */
  isClaimed(exchange: Exchange, id: string | null): boolean {
    const holder = id === null ? undefined : this.#claims.get(claimOf(exchange, id));
    return holder !== undefined && holder !== holderOf(exchange);
  }

  claim(exchange: Exchange, id: string | null): void {
    if (id === null) return;
    this.#claims.set(claimOf(exchange, id), holderOf(exchange));
    if (this.#claims.size <= CLAIMS_MAX) return;
    for (const oldest of this.#claims.keys()) {
      this.#claims.delete(oldest);
      break;
    }
  }

  /** The claim came to nothing. */
  release(exchange: Exchange, id: string | null): void {
    if (id !== null) this.#claims.delete(claimOf(exchange, id));
  }

  /** Runs a look when there is a place for it, in order of arrival. */
  async look<T>(run: () => Promise<T>): Promise<T> {
    if (this.#looking >= LOOKS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#looking += 1;
    try {
      return await run();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#looking -= 1;
      else next();
    }
  }
}

/** The operation: recovery and a redrive, or a caller, may look for one at the same time, and find the same. */
function holderOf({ id, operation }: Exchange): string {
  return operation?.id ?? id;
}

function claimOf({ scope, policy }: Exchange, id: string): string {
  return `${scope} ${policy.name} ${id}`;
}

function areTwins(one: Exchange, other: Exchange): boolean {
  if (one.target !== other.target || one.scope !== other.scope || one.method !== other.method) return false;
  const [a, b] = [one.body, other.body];
  if (a.kind === 'bytes' && b.kind === 'bytes') return a.bytes.equals(b.bytes);
  return a.kind === 'none' && b.kind === 'none';
}
