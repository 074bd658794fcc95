/**
 * When a success makes a dead letter needless (semantics §9). "The same" is told by keys that both have: the idempotency
 * key, or the natural key, by which the upstream itself tells objects apart. A natural key is only given where it is safe
 * to forget the older request: what an idempotent write leaves out of its body it may leave as it was, so the names of its
 * members are part of the key, and an update of the plan never stands for a lost update of the name.
 *
 * The obvious other choice, the resource's path alone, would call a lost field saved because another one was.
 */

import type { KeyObject } from 'node:crypto';
import type { DeadCount } from './dead-letters.ts';
import type { AttemptRecord, Exchange } from './exchange.ts';
import { nameOf } from './fingerprint.ts';
import type { OperationState } from './operation.ts';

const SHAPE_DEPTH = 3;

/** What of a request goes into its natural key. */
export interface NaturalFacts {
  readonly operationClass: 'create' | 'idempotent';
  /** A create that the upstream refuses a second time. */
  readonly guarded: boolean;
  /** What the map's `natural_key` gives for this body; undefined when it gives none or there is no such entry. */
  readonly mapped: unknown;
  /** The body as JSON; null when it is none. */
  readonly document: unknown;
  /** Of the whole request: the natural key of what nothing else is known of. */
  readonly identity: string;
}

/** The natural key, 64 hex digits; null for a create that nothing tells apart. */
export function naturalKeyOf(
  namesKey: KeyObject,
  { scope, policy, target }: Pick<Exchange, 'scope' | 'policy' | 'target'>,
  facts: NaturalFacts,
): string | null {
  const { operationClass, guarded, mapped, document, identity } = facts;
  if (operationClass === 'create' && !guarded) return null;
  const parts: unknown[] = [scope, policy.name, target];
  const isNamedByPath = policy.name.includes('{');
  if (isUsable(mapped)) parts.push('mapped', mapped);
  else if (operationClass === 'create' || !isNamedByPath) return natural(namesKey, [...parts, 'equal', identity]);
  if (operationClass === 'idempotent') parts.push(document === null ? identity : shapeOf(document, SHAPE_DEPTH));
  return natural(namesKey, parts);
}

/**
 * The credential was refused, for what it is or for what it may do: the caller comes again with another, which is another
 * scope. Whether that is the same workspace nobody here knows, so such a row is found without its scope, and only marked.
 */
export function isCredentialRefused(attempts: readonly Pick<AttemptRecord, 'status'>[]): boolean {
  const status = attempts.at(-1)?.status;
  return status === 401 || status === 403;
}

/** A value that names something. */
function isUsable(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

function natural(namesKey: KeyObject, parts: readonly unknown[]): string {
  return nameOf(namesKey, `natural\n${JSON.stringify(parts)}`);
}

/** Names of members, sorted, without their values. */
function shapeOf(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth === 0) return 0;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return members.map(([name, member]) => [name, shapeOf(member, depth - 1)]);
}

/**
 * How many dead letters there are, as far as is known without asking the store: what successes look at, nearly all of which
 * meet none. An endpoint may be in it for one refresh too many and never too few, so that no row is overlooked.
 */
export class DeadTally {
  #counts: readonly DeadCount[] = [];
  /** Endpoints with rows that a success may make needless; null until the store was asked. */
  #open: Set<string> | null = null;
  /** Endpoints with rows that are announced since the last refresh: its count may be older than they are. */
  #added = new Set<string>();

  /** Takes what the store counted. */
  refresh(counts: readonly DeadCount[]): void {
    this.#counts = counts;
    this.#open = this.#added;
    this.#added = new Set();
    for (const { endpoint, state, rows } of counts) {
      if (rows > 0 && state !== 'discarded' && state !== 'superseded' && state !== 'succeeded')
        this.#open.add(endpoint);
    }
  }

  /** One more, or one that is about to be written. */
  added(endpoint: string): void {
    this.#added.add(endpoint);
  }

  /** Whether the store has to be asked. */
  mayHave(endpoint: string): boolean {
    return this.#open === null || this.#open.has(endpoint) || this.#added.has(endpoint);
  }

  /** Rows and bytes by state, as of the last refresh. */
  byState(): ReadonlyMap<OperationState, { rows: number; bytes: number }> {
    const states = new Map<OperationState, { rows: number; bytes: number }>();
    for (const { state, rows, bytes } of this.#counts) {
      const sum = states.get(state) ?? { rows: 0, bytes: 0 };
      states.set(state, { rows: sum.rows + rows, bytes: sum.bytes + bytes });
    }
    return states;
  }
}
