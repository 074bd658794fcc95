/**
 * Reconcile: a create whose outcome is unknown is looked for before anything is sent again (semantics §7). It stands outside
 * retry, which executes what is safe, and inside the deadline, which answers its caller when the time is up: the search
 * goes on behind it until it is settled, because holds and replays serve what it finds. When and how often is decided in
 * `core/reconcile.ts`; what to ask and what a match is, in the endpoint map.
 *
 * The obvious other choice, to look inside retry as one more kind of attempt, would count looks as attempts and end the
 * search with the retries.
 */

import { type Conflict, type Exchange, effectOfAttempts, noteWait, type OperationRun } from '../core/exchange.ts';
import { type Answered, type Outcome, streamOf } from '../core/outcome.ts';
import type { ProbeRecipe } from '../core/policy.ts';
import {
  beginSearch,
  CONFLICT_LOOKS_MS,
  createdAtMs,
  earliestMs,
  hidesTheRest,
  idOf,
  judgeSight,
  type LookResult,
  mayResend,
  nextStep,
  type Search,
} from '../core/reconcile.ts';
import type { Layer, Service } from '../core/service.ts';
import type { ClockDifference } from '../core/status.ts';
import type { Store } from '../core/store.ts';
import { sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { jsonOf } from './operation-class.ts';
import { Desk } from './reconcile-desk.ts';
import {
  ask,
  firstQuestion,
  type LookParts,
  type LookTimes,
  matchesIn,
  type Question,
  questionFor,
  shapeOf,
} from './reconcile-look.ts';
import {
  doneBefore,
  landedAnswer,
  lastEffectIsNone,
  leftOpen,
  notOurs,
  unknown,
  withoutEffect,
  withoutStream,
} from './reconcile-outcomes.ts';

/** What the layer is made of. */
export interface ReconcileParts extends LookParts {
  readonly events: Pick<Events, 'reconciled'>;
  readonly store: Pick<Store, 'claimed'>;
  /** Null while nothing is known of the upstream's clock. */
  readonly clockSkew: () => ClockDifference | null;
}

/** Looks for creates whose outcome is unknown. A call without an operation passes by. */
export function reconcile(parts: ReconcileParts): Layer {
  const desk = new Desk(parts.store);
  return (inner) => (exchange) => {
    const { operation, policy, operationClass } = exchange;
    const isCreate = (operationClass ?? policy.operationClass) === 'create';
    if (operation === null || !isCreate) return inner(exchange);
    return new LostCreate(parts, desk, inner, exchange, operation).run();
  };
}

/** How a search ended. */
type Finding =
  | { readonly kind: 'landed'; readonly answer: Answered }
  | { readonly kind: 'absent' | 'undecided'; readonly recipe: ProbeRecipe | null };

/** What a look has shown. `older`: what stands in the way was there before, or is another call's. */
type Sighting = { readonly result: LookResult | 'older'; readonly answer: Answered | null };

const none = (result: Sighting['result']): Sighting => ({ result, answer: null });
const FAILED = none('failed');

/** One create, from its sending to the end of all doubt. */
class LostCreate {
  readonly #parts: ReconcileParts;
  readonly #desk: Desk;
  readonly #inner: Service;
  readonly #exchange: Exchange;
  readonly #operation: OperationRun;

  constructor(parts: ReconcileParts, desk: Desk, inner: Service, exchange: Exchange, operation: OperationRun) {
    this.#parts = parts;
    this.#desk = desk;
    this.#inner = inner;
    this.#exchange = exchange;
    this.#operation = operation;
  }

  async run(): Promise<Outcome> {
    let outcome: Outcome | null = null;
    this.#desk.enter(this.#exchange);
    try {
      outcome = await this.#settle();
      return outcome;
    } finally {
      this.#desk.leave(this.#exchange, outcome);
    }
  }

  async #settle(): Promise<Outcome> {
    const exchange = this.#exchange;
    let resent = this.#operation.doubt?.lookOnly ?? false;
    let isAbsent = false;
    let outcome = this.#operation.doubt === null ? await this.#inner(exchange) : null;
    for (;;) {
      if (outcome !== null) {
        if (exchange.operationClass === 'idempotent') return outcome;
        if (exchange.conflict !== null && outcome.kind === 'answered' && outcome.status >= 400) {
          return this.#confirm(outcome, exchange.conflict);
        }
        if (outcome.verdict.class === 'ok') return outcome;
        if (isAbsent && lastEffectIsNone(exchange)) return withoutEffect(exchange, outcome);
        if (outcome.verdict.effect === 'none') return outcome;
        outcome = withoutStream(outcome);
      }
      const found = await this.#search(outcome === null);
      if (found.kind === 'landed') return found.answer;
      // Of what was applied for certain, a look that finds nothing is not the truth.
      const applied = effectOfAttempts(exchange) === 'applied';
      isAbsent = found.kind === 'absent' && found.recipe?.kind === 'direct' && !applied;
      if (isAbsent && outcome?.verdict.class === 'permanent' && lastEffectIsNone(exchange)) {
        return withoutEffect(exchange, outcome);
      }
      const isSafe = !resent && (await this.#isSafe(found, outcome === null, applied));
      if (isSafe && isAbsent && outcome !== null && !this.#canSend() && exchange.policy.stamp === null) {
        // Nobody is there to send it for: its caller's next try is the first one, unless the stamp would be another.
        return withoutEffect(exchange, outcome);
      }
      if (!isSafe || !this.#canSend()) return outcome ?? unknown(found);
      resent = true;
      exchange.withheld = null;
      outcome = await this.#inner(exchange);
    }
  }

  /** Looks by the plan of the first probe that speaks of this request. */
  async #search(inDoubt: boolean): Promise<Finding> {
    const { clock } = this.#parts;
    const question = await firstQuestion(this.#exchange, this.#times());
    if (question === null) return { kind: 'undecided', recipe: null };
    const { recipe } = question;
    const lostAtMs = this.#operation.doubt?.lostAtMs ?? this.#sentAtMs();
    const elapsedMs = inDoubt ? Math.max(clock.wall() - lostAtMs, 1) : 0;
    const planned = beginSearch(recipe.looksAtMs, elapsedMs);
    const lookOnce = inDoubt && ((this.#operation.doubt?.lookOnly ?? false) || (await this.#isGuarded()));
    const search = lookOnce ? { ...planned, dueMs: planned.dueMs.slice(0, 1), extraLeft: 0 } : planned;
    const { kind, sighting } = await this.#follow(search, elapsedMs, question);
    const looks = this.#exchange.looks.length;
    this.#parts.events.reconciled(this.#exchange, kind === 'older' ? 'undecided' : kind, looks);
    if (kind === 'landed' && sighting?.answer) return { kind, answer: sighting.answer };
    return { kind: kind === 'absent' ? 'absent' : 'undecided', recipe };
  }

  /** A repeat ran into something: it is the success of an earlier attempt when that made it, else an error. */
  async #confirm(outcome: Answered, { recipe, names }: Conflict): Promise<Outcome> {
    const question = await questionFor(recipe, this.#exchange, this.#times(), names);
    if (question === null) return notOurs(outcome);
    const search = { ...beginSearch(CONFLICT_LOOKS_MS, 0), extraLeft: 0 };
    const { kind, sighting } = await this.#follow(search, 0, question);
    const landed = kind === 'landed' && sighting?.answer;
    const result = landed ? 'landed' : kind === 'older' ? 'absent' : 'undecided';
    this.#parts.events.reconciled(this.#exchange, result, this.#exchange.looks.length);
    if (landed) {
      streamOf(outcome)?.discard();
      return landed;
    }
    if (kind === 'older') return withoutEffect(this.#exchange, notOurs(outcome));
    // Not shown yet, and the row says that the error alone is the proof.
    if (outcome.verdict.class === 'ok' && kind === 'absent') return doneBefore(withoutStream(outcome));
    return leftOpen(withoutStream(outcome));
  }

  /** Waits and looks until there is nothing more to see. `elapsedMs` is what has passed since the loss. */
  async #follow(
    begun: Search,
    elapsedMs: number,
    question: Question,
  ): Promise<{ kind: 'landed' | 'absent' | 'undecided' | 'older'; sighting: Sighting | null }> {
    const { clock, stopping } = this.#parts;
    const exchange = this.#exchange;
    const lostAtMs = clock.now() - elapsedMs;
    let search = begun;
    let sighting: Sighting | null = null;
    this.#desk.seek(exchange, true);
    try {
      for (;;) {
        if (sighting?.result === 'older') return { kind: 'older', sighting };
        const step = nextStep(search, sighting?.result ?? null, clock.now() - lostAtMs);
        if (step.kind !== 'look') return { kind: step.kind, sighting };
        ({ search } = step);
        const from = clock.now();
        await sleep(clock, Math.max(lostAtMs + step.atMs - from, 0), stopping);
        noteWait(exchange, clock.now() - from, 'reconcile');
        if (stopping.aborted) return { kind: 'undecided', sighting };
        sighting = await this.#desk.look(() => this.#look(question));
      }
    } finally {
      this.#desk.seek(exchange, false);
    }
  }

  async #look(question: Question): Promise<Sighting> {
    const { clock } = this.#parts;
    const [startedAtMs, from] = [clock.wall(), clock.now()];
    const answer = await ask(this.#parts, this.#inner, this.#exchange, question);
    const sighting = answer.ok ? await this.#judge(question, answer.document) : FAILED;
    this.#exchange.looks.push({
      n: this.#exchange.looks.length + 1,
      startedAtMs,
      durationMs: clock.now() - from,
      request: `${question.recipe.request.method} ${question.target}`,
      status: answer.status,
      result: sighting.result === 'older' ? 'absent' : sighting.result,
    });
    return sighting;
  }

  /** Which of the matches is the answer. Between the last question to the ledger and the claim nobody else can come. */
  async #judge(question: Question, document: unknown): Promise<Sighting> {
    const { recipe } = question;
    const matches = await matchesIn(question, document);
    if (matches === null) return FAILED;
    // Of what has no age nobody knows whether it was there before.
    if (!recipe.anyAge && matches.some((match) => createdAtMs(match) === null)) return none('several');
    const [since, free]: [number, unknown[]] = [this.#earliestMs(), []];
    for (const match of matches) {
      if (!recipe.anyAge && (createdAtMs(match) ?? 0) < since) continue;
      const id = idOf(match);
      try {
        if (id === null || !(await this.#desk.isTaken(this.#exchange, id))) free.push(match);
      } catch {
        return FAILED;
      }
    }
    const left = free.filter((match) => !this.#desk.isClaimed(this.#exchange, idOf(match)));
    const cut = hidesTheRest(document, since);
    const result = judgeSight({ free: left.length, cut, ...this.#desk.twinsOf(this.#exchange) });
    if (result === 'absent' && recipe.kind === 'on_error' && matches.length > 0) return none('older');
    if (result !== 'landed') return none(result);
    const id = idOf(left[0]);
    this.#desk.claim(this.#exchange, id);
    const answer = await this.#answer(question, left[0], document);
    if (answer === null) this.#desk.release(this.#exchange, id);
    return answer === null ? FAILED : { result, answer };
  }

  /** In the create's own shape; null when it could not be brought into that. */
  async #answer(question: Question, match: unknown, document: unknown): Promise<Answered | null> {
    const { status } = question.recipe;
    if (this.#exchange.policy.answer.kind === 'empty') return landedAnswer(status, null);
    const shaped = await shapeOf(this.#parts, this.#inner, this.#exchange, question, match, document);
    return shaped === undefined ? null : landedAnswer(status, shaped);
  }

  #canSend(): boolean {
    const { body, cancel } = this.#exchange;
    return !cancel.aborted && !this.#parts.stopping.aborted && !(body.kind === 'stream' && body.opened);
  }

  /** Whether sending it once more cannot double it, as far as looks and guards tell. */
  async #isSafe(found: Finding, inDoubt: boolean, applied: boolean): Promise<boolean> {
    if (inDoubt && (await this.#isGuarded())) return true;
    if (found.kind !== 'absent' || found.recipe === null || applied) return false;
    const looks = (this.#operation.doubt?.looks ?? 0) + this.#exchange.looks.length;
    return mayResend(found.recipe, looks, this.#sentAtMs(), this.#parts.clock.wall());
  }

  /** The upstream itself would refuse a second one now. */
  async #isGuarded(): Promise<boolean> {
    const { guardedBy, guardedForMs } = this.#exchange.policy;
    if (guardedBy === null) return false;
    const passedMs = this.#parts.clock.wall() - this.#sentAtMs();
    if (guardedForMs !== null && passedMs > guardedForMs - this.#exchange.policy.timeout.attemptMs) return false;
    return guardedBy.holds(jsonOf(this.#exchange.body));
  }

  #sentAtMs(): number {
    return this.#operation.sentAtMs ?? this.#exchange.attempts[0]?.startedAtMs ?? this.#parts.clock.wall();
  }

  #earliestMs(): number {
    return earliestMs(this.#sentAtMs(), this.#parts.clockSkew());
  }

  #times(): LookTimes {
    return { sentAt: Math.floor(this.#sentAtMs() / 1000), since: Math.floor(this.#earliestMs() / 1000) };
  }
}
