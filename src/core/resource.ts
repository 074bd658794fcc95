/**
 * The order of writes to one resource (semantics §2). A write that may have landed and is still under way, in its backoff
 * or left behind by its caller, can land again after a newer one and undo it; so newer ones wait until it has ended. Once
 * somebody waits, writes of that resource go one at a time until the line is empty: let go together, they would race
 * on connections of their own. Writes meet freely while nothing is undecided, because serving them one at a time
 * always would cost every caller a round trip to prevent what they did not ask to be prevented.
 */

import { type Exchange, mayHaveTakenEffect } from './exchange.ts';
import { WaitingLine } from './waiting-line.ts';

/**
 * Names what a write changes: the caller's credential, and the path as sent up to the value of the template's first
 * `{name}`, with those that follow it directly (`/custom_object_instances/{type}/{id}`). Null for reads, for paths without
 * a name, and for upserts that are keyed in the body: there the path names only the collection.
 */
export function resourceOf({
  policy,
  target,
  credentialRef,
}: Pick<Exchange, 'policy' | 'target' | 'credentialRef'>): string | null {
  const { name } = policy;
  if (policy.operationClass === 'read' || policy.idempotentIf !== null) return null;
  let close = name.indexOf('}');
  if (close === -1) return null;
  // Literal parts of a template stand in the path byte for byte, so the value begins where the name does.
  let end = endOfPart(target, name.indexOf('{') - name.indexOf('/'));
  while (name.startsWith('/{', close + 1)) {
    close = name.indexOf('}', close + 1);
    end = endOfPart(target, end + 1);
  }
  return `${credentialRef} ${target.slice(0, end)}`;
}

function endOfPart(target: string, from: number): number {
  let at = from;
  for (; at < target.length; at += 1) {
    const char = target.charCodeAt(at);
    if (char === SLASH || char === QUESTION_MARK) break;
  }
  return at;
}

const SLASH = 0x2f;
const QUESTION_MARK = 0x3f;

/** It may have landed, or nobody is left to learn whether it did: it must not meet a newer one. */
function isUndecided(exchange: Exchange): boolean {
  const { aborted, reason } = exchange.cancel;
  return mayHaveTakenEffect(exchange) || (aborted && reason !== 'shutdown');
}

/** One write that waits; `letGo` lets it go. */
export interface WaitingWrite<T> {
  readonly exchange: Exchange;
  readonly letGo: T;
}

/** The writes of one resource, and who waits for them. */
export class ResourceWrites<T> {
  readonly #running: Exchange[] = [];
  #line: WaitingLine<WaitingWrite<T>> | null = null;

  /** Nobody runs, hence nobody waits: it may be forgotten. */
  get idle(): boolean {
    return this.#running.length === 0;
  }

  /** Made by the first that waits; most resources never have one. */
  get line(): WaitingLine<WaitingWrite<T>> {
    return (this.#line ??= new WaitingLine());
  }

  /** Whether a write that arrives now has to wait. */
  get held(): boolean {
    return (this.#line !== null && this.#line.length > 0) || this.#running.some(isUndecided);
  }

  /** A write runs from now on. */
  enter(exchange: Exchange): void {
    this.#running.push(exchange);
  }

  /** A write has really ended. Returns what lets the next one go, which runs from now on; null for nobody. */
  leave(exchange: Exchange): T | null {
    this.#running.splice(this.#running.indexOf(exchange), 1);
    if (this.#running.length > 0) return null;
    const next = this.#line?.pop() ?? null;
    if (next === null) return null;
    this.#running.push(next.exchange);
    return next.letGo;
  }
}
