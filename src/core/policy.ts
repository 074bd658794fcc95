/**
 * What the configuration says about one endpoint, compiled: durations in ms, sizes in bytes, patterns compiled, every
 * default filled in. `src/config` makes these; an exchange carries the one that held when it arrived, so that a reload
 * never changes the rules under a running call.
 */

import type { BreakerPolicy } from './breaker.ts';
import type { DeadReason } from './operation.ts';
import type { FailureKind } from './outcome.ts';
import type { PacingPolicy } from './quota.ts';
import type { OperationClass, Pauses, VerdictClass } from './verdict.ts';

/** Limits of one call, in ms. */
export interface TimeoutPolicy {
  /** From dispatch until the request is about to be written: DNS, TCP, TLS. */
  readonly connectMs: number;
  /** One attempt: from dispatch until the head is here, and for a held answer until its body is whole. */
  readonly attemptMs: number;
  /** The longest silence inside a body, either way. */
  readonly bodyIdleMs: number;
  /** The whole call, retries and waits included. */
  readonly totalMs: number;
}

/** The names of the AWS Architecture Blog, "Exponential Backoff And Jitter". */
export type Jitter = 'full' | 'equal' | 'decorrelated' | 'none';

/** How often and how late a failed attempt is sent again. */
export interface RetryPolicy {
  /** Retries after the first attempt; Infinity for `unlimited`. */
  readonly maxRetries: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly jitter: Jitter;
  /** The longest single wait; a longer wish of the server ends the call at once. */
  readonly maxWaitMs: number;
}

/** How many retries the endpoint's class may add to its traffic. */
export interface RetryBudgetPolicy {
  /** Retries allowed per dispatched client request, 0..1. */
  readonly ratio: number;
  readonly windowMs: number;
  readonly floorPerSecond: number;
}

/** A condition over the parsed JSON body of a request (JSONata). An error means false; null body means false. */
export interface BodyCondition {
  readonly source: string;
  readonly holds: (body: unknown) => Promise<boolean>;
}

/** A JSONata expression. Evaluation is bounded in time. */
export interface Expression {
  readonly source: string;
  /** No result and an error are both undefined. */
  readonly evaluate: (input: unknown, bindings?: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** Null: an error, or out of bounds. For whoever would take "no result" for a proof. */
  readonly result: (
    input: unknown,
    bindings?: Readonly<Record<string, unknown>>,
  ) => Promise<{ readonly value: unknown } | null>;
}

/** How calls of one operation are made one (semantics §6). Times in ms. */
export interface IdempotencyPolicy {
  /** How long a finished keyed operation is replayed. */
  readonly ttlMs: number;
  /** How long a second call waits for the first under the same key. */
  readonly waitMs: number;
  /** How long an operation without a key, whose caller got no answer, waits to be sent again. */
  readonly holdMs: number;
  /** Writes without a key are refused. */
  readonly require: boolean;
  /** Make the key for callers that send none, each evaluated alone over the body; null for no such key. */
  readonly derive: readonly Expression[] | null;
}

/** Which endings are kept as dead letters (semantics §9). */
export interface DeadLetterPolicy {
  /** Empty: none. */
  readonly on: ReadonlySet<DeadReason>;
  /** Reads are never kept. */
  readonly writesOnly: boolean;
}

/** When an error rule applies. Every given part must match; null parts match anything. */
export interface ErrorCondition {
  /** Null: any status. Statuses as given, `5xx` as its hundred. */
  readonly matchesStatus: ((status: number) => boolean) | null;
  /** Intercom's `errors[].code`: any of the answer's codes in this set. */
  readonly codes: ReadonlySet<string> | null;
  readonly message: RegExp | null;
  readonly body: RegExp | null;
  readonly failures: ReadonlySet<FailureKind> | null;
  /** Holds only when an earlier attempt of the operation may have taken effect. */
  readonly afterUnknown: boolean;
}

/** One entry of an error map. */
export interface ErrorRule {
  readonly when: ErrorCondition;
  readonly verdict: VerdictClass;
  /** The reason of its verdicts; from `reason:`, else the first code, else the status or failure that it names. */
  readonly reason: string;
  /** A wait to keep when the server names none; null for the normal backoff. */
  readonly retryAfterMs: number | null;
  /** Null: what its class usually pauses. */
  readonly pauses: Pauses | null;
  /** A call that ends with this, and whose caller gets to know, is no dead letter. */
  readonly deadLetter: 'never' | null;
  /** Where it stands, for `explain`: `config/intercom.yaml:123` or `my.yaml:17`. */
  readonly origin: string;
}

/** A part of a request that a look sends: text, the value of a name, or a JSONata expression over the lost request's body. */
export type RequestPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'expression'; readonly expression: Expression };

/** The read that shows whether a lost create landed. */
export interface LookRequest {
  readonly method: string;
  /** Path and query, in order; what is filled in is percent-encoded. */
  readonly target: readonly RequestPart[];
  /** Gives the body out of that of the lost request; null for none. */
  readonly body: Expression | null;
}

interface RecipeBase {
  readonly request: LookRequest;
  /** Picks the matches out of the look's answer; null: the answer is the match. */
  readonly landed: Expression | null;
  /** Turns the match into what the create would have answered; null: it is that already. */
  readonly as: Expression | null;
  /** What the create answers with. */
  readonly status: number;
  /** Out of the answer the target of another page that is read instead, such as the last one; null for one page. */
  readonly more: Expression | null;
  /** True for the requests that the entry speaks of; null for all. */
  readonly holdsFor: Expression | null;
  /** Reads the whole of a match of which the answer shows a part; its expressions are over the match. */
  readonly full: LookRequest | null;
  /** The match proves itself by a key of the request: it counts however old it is. */
  readonly anyAge: boolean;
  /** Where it stands, for `explain`. */
  readonly origin: string;
}

/** On a later attempt only: an error that names the object that stands in the way, which may be our own. */
export interface ConflictRecipe extends RecipeBase {
  readonly kind: 'on_error';
  /** Named groups of its patterns are names in `request`. */
  readonly when: ErrorCondition;
}

/** How to look for a create whose outcome is unknown. */
export interface ProbeRecipe extends RecipeBase {
  readonly kind: 'direct' | 'search';
  /** When to look, ms after the loss, ascending. */
  readonly looksAtMs: readonly number[];
  /** Absent: sent again once (true), never (false), or by the queue so many ms after it was first sent. */
  readonly resendIfAbsent: boolean | number;
}

/** One entry of a row's `reconcile` list (semantics §7). */
export type ReconcileEntry = ConflictRecipe | ProbeRecipe;

/** What a success of the endpoint carries. A template fills `{name}` from the path. */
export type AnswerPromise =
  | { readonly kind: 'any' }
  | { readonly kind: 'json' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'template'; readonly template: Readonly<Record<string, string | number | boolean>> };

/** Everything that layers need to know about one endpoint. */
export interface EndpointPolicy {
  /** `POST /contacts/{id}/notes`, or `other`: a metric label. */
  readonly name: string;
  /** An operation that a map names. */
  readonly known: boolean;
  /** The rows that it was made of, strongest first, for `explain`: `my.yaml:17, config/intercom.yaml:220`. */
  readonly origin: string;
  readonly operationClass: OperationClass;
  /** The request is idempotent although its class is create, when this holds. */
  readonly idempotentIf: BodyCondition | null;
  /** The upstream itself refuses a second one, when this holds. */
  readonly guardedBy: BodyCondition | null;
  /** How long after the first send the guard holds; null for always. */
  readonly guardedForMs: number | null;
  /**
   * What the upstream tells objects apart by, out of the request's body; null when the map does not say. Undefined, null,
   * "" and an empty list mean that this request has none.
   */
  readonly naturalKey: Expression | null;
  /** How to see whether a lost create landed: own entries, then the shipped ones. Empty: nobody can. */
  readonly reconcile: readonly ReconcileEntry[];
  /** Where the id of the created object stands in a success: `['id']`. A list on the way means its last item. */
  readonly answerId: readonly string[];
  /** The field that is set to the time when the caller left it out; null for none. */
  readonly stamp: 'created_at' | null;
  readonly profile: string;
  /** `observe`: classify, count and log what would be done, change nothing. */
  readonly mode: 'enforce' | 'observe';
  readonly timeout: TimeoutPolicy;
  readonly retry: RetryPolicy;
  readonly retryBudget: RetryBudgetPolicy;
  readonly breaker: BreakerPolicy;
  readonly pacing: PacingPolicy;
  readonly idempotency: IdempotencyPolicy;
  readonly deadLetter: DeadLetterPolicy;
  /** Own entries, then the shipped ones of the row, then the shipped generic map: first match wins. */
  readonly errors: readonly ErrorRule[];
  readonly answer: AnswerPromise;
  /** How a promised JSON answer is proven whole: its first and last non-space byte, or a full parse. */
  readonly whole: 'ends' | 'parse';
}

/** Sizes and counts that hold for the whole process. */
export interface Limits {
  readonly inFlight: number;
  /** Calls that wait for a slot, at a breaker, for the retry budget or at a bulkhead; they do not count in `inFlight`. */
  readonly waiting: number;
  /** Calls of one endpoint at once; null for no such limit. */
  readonly perEndpoint: number | null;
  readonly requestBodyBytes: number;
  readonly bufferedBytes: number;
  readonly repeatableBodyBytes: number;
  readonly errorBodyBytes: number;
  readonly storedAnswerBytes: number;
}
