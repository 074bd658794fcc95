/**
 * The verdict: what one attempt meant. It is made once, in the `attempt` layer, by `core/classify.ts`; retry, breaker,
 * pacing, dead letters, logs and metrics only read it (semantics §1). A verdict says nothing about what to do next:
 * that is each layer's own business.
 */

/** How an attempt ended, by class (semantics §1). */
export type VerdictClass = 'ok' | 'throttled' | 'transient' | 'permanent' | 'unauthorized';

/** Whether the attempt changed anything upstream (semantics §2). */
export type Effect = 'none' | 'applied' | 'unknown';

/** Whom a throttled answer, or a 503 with Retry-After, holds back: nobody, its endpoint, or every call of its token. */
export type Pauses = 'nothing' | 'endpoint' | 'token';

/** What an operation does when it is sent twice (semantics §2); a property of the endpoint and the request. */
export type OperationClass = 'read' | 'idempotent' | 'create';

/** The classification of one attempt. */
export interface Verdict {
  readonly class: VerdictClass;
  /** Short and stable, bounded by the configuration: `rate_limit_exceeded`, `status_503`, `reset`. A metric label. */
  readonly reason: string;
  readonly effect: Effect;
  /** Sending the same request again cannot cause a second effect. */
  readonly repeatable: boolean;
  /** What the server asked for, in ms from the receipt of the answer, never negative; null when it asked for nothing. */
  readonly retryAfterMs: number | null;
  readonly countsAgainstBreaker: boolean;
  readonly pauses: Pauses;
  /** The entry of the map that decided says `dead_letter: never`. */
  readonly deadLetter?: 'never';
}

/** The verdict of a whole answer that no rule objects to; shared, because nearly every attempt ends with it. */
export const OK: Verdict = Object.freeze({
  class: 'ok',
  reason: 'ok',
  effect: 'applied',
  repeatable: false,
  retryAfterMs: null,
  countsAgainstBreaker: false,
  pauses: 'nothing',
});

/** The verdict of a whole answer to a read: nothing was changed, and it may be asked again. */
export const OK_READ: Verdict = Object.freeze({ ...OK, effect: 'none', repeatable: true });

/** The verdict of an exchange that one of our own layers refused: nothing was sent. `reason` names the rule. */
export function refusedVerdict(reason: string, retryAfterMs: number | null): Verdict {
  return {
    class: 'transient',
    reason,
    effect: 'none',
    repeatable: true,
    retryAfterMs,
    countsAgainstBreaker: false,
    pauses: 'nothing',
  };
}
