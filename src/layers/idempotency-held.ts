/**
 * Creates without a key (semantics §6, "Holds"): each is an operation of its own, unless it is the re-send of a caller that
 * left unanswered or got an error, which joins the operation of that caller. Who may join whom is decided in
 * `core/idempotency-holds.ts`; here calls run, wait and are answered. On the way of a create that nothing happens to
 * stand two commits and no read of the store.
 */

import type { Exchange } from '../core/exchange.ts';
import { type Arrival, type Held, Holds } from '../core/idempotency-holds.ts';
import type { Operation } from '../core/operation.ts';
import { isDeadLetter } from '../core/operation-exchange.ts';
import type { EndingKind } from '../core/operation-record.ts';
import { acceptedAnswer, isOver } from '../core/operation-view.ts';
import type { Outcome, Refused } from '../core/outcome.ts';
import type { Service } from '../core/service.ts';
import type { OpenOperation } from '../core/store.ts';
import { outcomeUnknown, refusal, replayOf } from './idempotency-answer.ts';
import { takeOver } from './idempotency-earlier.ts';
import type { KeyedParts } from './idempotency-keyed.ts';
import { type Earlier, type Ending, LiveRun } from './idempotency-run.ts';
import { Awaited, waitFor } from './idempotency-wait.ts';

/** A run; its end is followed only once somebody waits for it. */
class HeldLive {
  readonly run: LiveRun;
  #ended: Awaited<Ending> | null = null;

  constructor(run: LiveRun) {
    this.run = run;
  }

  get ended(): Awaited<Ending> {
    this.#ended ??= new Awaited(this.run.ended);
    return this.#ended;
  }

  inDoubt(): boolean {
    return this.run.inDoubt();
  }
}

type Hold = Held<HeldLive>;

/** A caller's place at an operation: another one may take it while this one is still served. */
interface Place {
  readonly held: Hold;
  readonly turn: number;
}

/** Operations that ended and may be asked for again; under 1 KiB each. */
const ENDED_MAX = 10_000;
const COME_BACK_MS = 1000;
const LOOK_ONLY = { lookOnly: true } as const;

/** Serves creates without a key. */
export class HeldCalls {
  readonly #parts: KeyedParts;
  readonly #holds = new Holds<HeldLive>(ENDED_MAX);

  constructor(parts: KeyedParts) {
    this.#parts = parts;
  }

  /** Operations in memory. */
  get size(): number {
    return this.#holds.size;
  }

  /** Runs, joins or waits. A null `identity` (the body streams) is nobody's equal. */
  serve(exchange: Exchange, inner: Service, identity: string | null): Promise<Outcome> {
    if (identity === null) return this.#begin(exchange, inner, this.#parts.newId());
    const { holdMs } = exchange.policy.idempotency;
    const arrival = this.#holds.arrive(identity, this.#parts.clock.now(), holdMs, false);
    if (arrival.kind === 'run') return this.#begin(exchange, inner, identity);
    this.#parts.events.idempotency(exchange, 'hold');
    return this.#meet(exchange, inner, identity, arrival);
  }

  /** What an earlier process left: every caller of it counts as gone. */
  restore(open: readonly OpenOperation[]): void {
    const { clock } = this.#parts;
    for (const each of open) {
      const { id, identity, keyHash, state, sentAtMs, updatedAtMs, operationClass, delivered, handedOver } = each;
      if (keyHash !== null || operationClass !== 'create') continue;
      // Its 202 may not have arrived: whoever sends it again is told the same address.
      if (handedOver && state !== 'succeeded') {
        if (!delivered) this.#holds.restore({ id, identity, phase: 'succeeded', sentAtMs, endedAtMs: clock.now() });
        continue;
      }
      // What was on the wire is lost since now; anything else ended when its row says.
      const endedAtMs = clock.now() - (state === 'sent' ? 0 : Math.max(clock.wall() - updatedAtMs, 0));
      if (state === 'unknown' || state === 'sent') {
        this.#holds.restore({ id, identity, phase: 'unknown', sentAtMs, endedAtMs });
      } else if (state === 'succeeded' && !delivered) {
        this.#holds.restore({ id, identity, phase: 'succeeded', sentAtMs, endedAtMs });
      }
    }
  }

  /** Runs an operation of an earlier process, and whoever sends it again meanwhile joins. Null: somebody does already. */
  resume(exchange: Exchange, inner: Service, earlier: Earlier, id: string): Promise<Outcome> | null {
    const held = this.#holds.find(id);
    const { queue, operation } = exchange;
    const isFree = queue?.stage === 'accepted' ? held?.run === null : held?.phase === 'unknown';
    if (held !== null && !isFree) return null;
    const identity = operation?.names?.identity ?? held?.identity ?? id;
    // Nobody holds it any more: its caller may have sent it again, and what that made is not ours to find.
    const doubt = earlier.doubt !== null && held === null && queue?.stage === 'look' ? LOOK_ONLY : {};
    const names = { id, keyHash: null, fingerprint: null, identity };
    const given = earlier.doubt === null ? earlier : { ...earlier, doubt: { ...earlier.doubt, ...doubt } };
    const run = new LiveRun(this.#parts, exchange, inner, names, given);
    if (held !== null) this.#follow(held, run);
    return run.answer;
  }

  async #meet(
    exchange: Exchange,
    inner: Service,
    identity: string,
    arrival: Exclude<Arrival<HeldLive>, { kind: 'run' }>,
  ): Promise<Outcome> {
    const outcome =
      arrival.kind === 'join'
        ? await this.#join(exchange, inner, { held: arrival.held, turn: arrival.held.turn })
        : await this.#waitAsSecond(exchange, inner, identity, arrival.run);
    // Not every such call gets as far as the deadline, where the others give back their place in the waiting room.
    if (outcome.settled === undefined) this.#parts.waiting.ended(exchange);
    return outcome;
  }

  #begin(exchange: Exchange, inner: Service, identity: string): Promise<Outcome> {
    const { events, newId } = this.#parts;
    const id = newId();
    const run = new LiveRun(this.#parts, exchange, inner, { id, keyHash: null, fingerprint: null, identity }, null);
    events.idempotency(exchange, 'new');
    const held = this.#holds.begin(id, identity, new HeldLive(run));
    this.#atEnd(held, run);
    return this.#lead(exchange, { held, turn: held.turn }, run);
  }

  /** Runs an operation of unknown outcome once more, for a caller that sent it again. */
  async #runAgain(exchange: Exchange, inner: Service, place: Place): Promise<Outcome> {
    const { held } = place;
    const { clock, store } = this.#parts;
    const row = await store.get(held.id).catch(() => null);
    // Meanwhile another one may have begun.
    if (held.phase !== 'unknown') return this.#join(exchange, inner, place);
    if (row !== null) takeOver(exchange, row);
    const nowMs = clock.wall();
    const sentAtMs = row?.sentAtMs ?? held.sentAtMs ?? nowMs;
    const [looks, lostAtMs] = [row?.looks ?? 0, row?.updatedAtMs ?? sentAtMs];
    const doubt = { looks, lostAtMs, lookOnly: false, applied: row?.effect === 'applied' };
    const names = { id: held.id, keyHash: null, fingerprint: null, identity: held.identity };
    const isDead = row !== null && isDeadLetter(row);
    const earlier = { createdAtMs: row?.createdAtMs ?? nowMs, sentAtMs, recorded: row !== null, doubt, isDead };
    const run = new LiveRun(this.#parts, exchange, inner, names, earlier);
    this.#follow(held, run);
    return this.#lead(exchange, place, run);
  }

  #follow(held: Hold, run: LiveRun): void {
    this.#holds.rerun(held, new HeldLive(run));
    this.#atEnd(held, run);
  }

  #atEnd(held: Hold, run: LiveRun): void {
    void run.ended.then(({ kind }) => this.#holds.end(held, phaseOf(kind), this.#parts.clock.now(), run.sentAtMs));
  }

  /** A caller that has closed its side may be gone: a timeout of a client looks like that. A re-send takes its place. */
  #attend(exchange: Exchange, { held, turn }: Place): void {
    exchange.onInputEnded = () => void this.#holds.leave(held, turn, 'left');
    if (exchange.inputEnded) this.#holds.leave(held, turn, 'left');
  }

  /** The answer of a run to the caller that runs it. */
  async #lead(exchange: Exchange, place: Place, run: LiveRun): Promise<Outcome> {
    this.#attend(exchange, place);
    let outcome: Outcome;
    try {
      outcome = await run.answer;
    } catch (error) {
      this.#holds.leave(place.held, place.turn, 'gone');
      throw error;
    }
    const doubted = (exchange.operation?.doubt ?? null) !== null;
    const last =
      doubted && outcome.kind !== 'answered' && outcome.verdict.effect === 'none' ? outcomeUnknown() : outcome;
    return this.#told(exchange, place, last);
  }

  /** A success counts when it has arrived; with anything else the caller may send again. */
  #told(exchange: Exchange, { held, turn }: Place, outcome: Outcome): Outcome {
    if (outcome.kind === 'answered' && outcome.verdict.class === 'ok') {
      exchange.onDelivered = (complete) => {
        if (this.#holds.leave(held, turn, complete ? 'served' : 'left') && complete)
          this.#parts.store.delivered(held.id);
      };
    } else {
      this.#holds.leave(held, turn, wasLeft(exchange) ? 'left' : 'gone');
    }
    return outcome;
  }

  /** The re-send of a caller of this operation: it waits for the end, as that caller would have, and is told it. */
  async #join(exchange: Exchange, inner: Service, place: Place): Promise<Outcome> {
    const { held } = place;
    exchange.operation = { id: held.id, recorded: true, sentAtMs: null, doubt: null };
    this.#attend(exchange, place);
    if (held.phase === 'unknown') return this.#runAgain(exchange, inner, place);
    if (held.phase === 'succeeded' || held.run === null) {
      return this.#told(exchange, place, await this.#kept(held.id));
    }
    const { preference, deadlineAtMs } = exchange;
    const promise = preference === null ? null : await this.#promiseOf(held.id);
    // It has ended meanwhile.
    if (held.run === null) return this.#join(exchange, inner, place);
    const wishedMs = promise === null ? Infinity : this.#parts.clock.now() + (preference?.waitMs ?? 0);
    const end = await waitFor(this.#parts, exchange, held.run.ended, Math.min(wishedMs, deadlineAtMs));
    if (!('value' in end)) return this.#told(exchange, place, end.refused ?? promise ?? outcomeUnknown());
    const { kind, outcome, answer, cutShort } = end.value;
    if (answer !== null) return this.#told(exchange, place, replayOf(answer));
    if (kind === 'waiting') return this.#told(exchange, place, await this.#kept(held.id));
    if (cutShort || outcome === null) {
      // Its own caller's limits ended it, and this one may have more time.
      if (kind === 'unknown') return this.#join(exchange, inner, place);
      exchange.operation = null;
      return this.serve(exchange, inner, held.identity);
    }
    const { settled: _, ...shared } = outcome;
    return this.#told(exchange, place, shared);
  }

  /** What its caller was told, or has missed. */
  async #kept(id: string): Promise<Outcome> {
    const row = await this.#parts.store.get(id).catch(() => null);
    return this.#promiseIn(row) ?? replayOf(row?.answer ?? null);
  }

  /** The 202 of one that was handed over and has not ended; null for any other. */
  async #promiseOf(id: string): Promise<Outcome | null> {
    return this.#promiseIn(await this.#parts.store.get(id).catch(() => null));
  }

  #promiseIn(row: Operation | null): Outcome | null {
    return row !== null && row.handedOver && !isOver(row) ? acceptedAnswer(row, null, this.#parts.clock.wall()) : null;
  }

  /** A second intention: it waits until the first is out of doubt, and then runs as its own operation. */
  async #waitAsSecond(exchange: Exchange, inner: Service, identity: string, first: HeldLive): Promise<Outcome> {
    const { clock, events } = this.#parts;
    const { waitMs, holdMs } = exchange.policy.idempotency;
    const lastMs = Math.min(clock.now() + waitMs, exchange.deadlineAtMs);
    for (let next = first; ; ) {
      // One that closed its side has perhaps given up and sent again, and that one waits here too: only one may run.
      const end = await waitFor(this.#parts, exchange, next.ended, lastMs, true);
      if (!('value' in end)) {
        if (end.refused === null) events.idempotency(exchange, 'in_flight');
        return end.refused ?? stillInDoubt();
      }
      const arrival = this.#holds.arrive(identity, clock.now(), holdMs, true);
      if (arrival.kind === 'run') return this.#begin(exchange, inner, identity);
      if (arrival.kind === 'join') return this.#join(exchange, inner, { held: arrival.held, turn: arrival.held.turn });
      next = arrival.run;
    }
  }
}

/** Handed over: its caller has an answer, and whoever asks once more gets that again. */
function phaseOf(kind: Ending['kind']): EndingKind {
  return kind === 'waiting' ? 'succeeded' : kind;
}

/** Nobody was there to hear the answer. */
function wasLeft({ cancel, inputEnded }: Exchange): boolean {
  return inputEnded || (cancel.signal.aborted && cancel.signal.reason === 'client_gone');
}

function stillInDoubt(): Refused {
  return refusal(
    'holdfast_in_flight',
    'equal_in_doubt',
    'An equal create was sent before, and whether it was applied is still being found out. Nothing was sent for this one; send it again later, or give each intention an Idempotency-Key of its own.',
    COME_BACK_MS,
  );
}
