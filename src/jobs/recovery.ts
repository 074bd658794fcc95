/**
 * Takes up what an earlier process left in the ledger. Before the first call: pauses and breakers, what became of its open
 * operations, and the holds of those that are in doubt. After it: looks for the lost creates, one at
 * first, then ever more, behind every live call; the callers that send them again meanwhile join the run. A look that could not be made,
 * because the upstream is down or the quota spent, is made later. A store that cannot be read stops nothing but this, and
 * is taken up when it can be.
 */

import type { Exchange } from '../core/exchange.ts';
import type { Operation } from '../core/operation.ts';
import { exchangeOfOperation } from '../core/operation-exchange.ts';
import { type Outcome, streamOf } from '../core/outcome.ts';
import type { EndpointPolicy } from '../core/policy.ts';
import type { LookRecord } from '../core/reconcile.ts';
import {
  afterRecovery,
  isDetectable,
  mayStillBeSent,
  recoveryOf,
  type Recovery as Step,
  withoutDeath,
} from '../core/recovery.ts';
import type { Settings } from '../core/settings.ts';
import { type GateState, type OpenOperation, type Store, StoreUnavailable } from '../core/store.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

/** What the job works on. */
export interface RecoveryParts {
  readonly store: Pick<Store, 'gates' | 'open' | 'change' | 'remove' | 'get'>;
  readonly events: Pick<Events, 'recovered' | 'recoveryFailed' | 'deadLetterLeft' | 'bug'>;
  readonly settings: () => Settings;
  readonly newId: () => string;
  readonly restoreGates: (gates: readonly GateState[]) => void;
  /** Holds them for the callers that are gone. */
  readonly restoreOperations: (open: readonly OpenOperation[]) => void;
  /** Runs an operation that has its row, where calls like it find it; null when one of them runs it already. */
  readonly resume: (exchange: Exchange) => Promise<Outcome> | null;
}

type LeftBehind = Extract<Step, { kind: 'bury' | 'doubt' }>;

/** The job. */
export interface Recovery {
  /**
   * Reads and decides; before the first call is accepted, and again, about what is older than that, until it gives true:
   * false is a store that could not be read. Never rejects.
   */
  readonly restore: (clock: Clock) => Promise<boolean>;
  /** Looks for what is in doubt, until nothing is left or the signal is aborted. Never rejects. */
  readonly run: (clock: Clock, signal: AbortSignal) => Promise<void>;
}

/** Changes that are asked for at once. */
const BATCH = 500;
/** Nearly all of a run is waiting for the next look, and looks are bounded on their own. */
const AT_ONCE_MAX = 64;
/** Nobody waits for these. */
const PRIORITY = 7;
/** Between passes over what could not be looked for; the last one repeats. */
const PASS_AGAIN_MS: readonly number[] = [10_000, 60_000, 300_000, 900_000];
/** Beyond that age one try per start is enough. */
const LOOK_AGAIN_FOR_MS = 86_400_000;

/** Creates the job; nothing happens before `restore`. */
export function createRecovery(parts: RecoveryParts): Recovery {
  const lost: string[] = [];
  /** When it was first tried: what began since then is of this process. */
  let sinceMs: number | null = null;
  return {
    restore: async (clock) => {
      const olderThanMs = sinceMs ?? Infinity;
      const isFirst = sinceMs === null;
      sinceMs ??= clock.wall();
      try {
        // The gates of this process are newer by then.
        if (isFirst) parts.restoreGates(await parts.store.gates(clock.wall()));
        const all = await openOperations(parts, clock.wall());
        lost.push(
          ...(await restoreOperations(
            parts,
            clock.wall(),
            all.filter(({ updatedAtMs }) => updatedAtMs < olderThanMs),
          )),
        );
        return true;
      } catch (error) {
        const unavailable = error instanceof StoreUnavailable;
        if (!unavailable) parts.events.bug(error, 'recovery');
        if (isFirst) parts.events.recoveryFailed(error instanceof Error ? error.message : String(error));
        return !unavailable;
      }
    },
    run: async (clock, signal) => {
      let left = lost.splice(0);
      for (let pass = 0; left.length > 0 && !signal.aborted; pass++) {
        left = await new Pass(parts, clock, signal).over(left);
        const waitMs = PASS_AGAIN_MS[Math.min(pass, PASS_AGAIN_MS.length - 1)] ?? Infinity;
        if (left.length > 0) await sleep(clock, waitMs, signal);
      }
    },
  };
}

function openOperations({ store, settings }: RecoveryParts, nowMs: number): Promise<readonly OpenOperation[]> {
  return store.open(nowMs - Math.max(0, ...settings().policies.map(({ idempotency }) => idempotency.holdMs)));
}

/** The ids of those to look for, the youngest first: their callers may still send them again. */
async function restoreOperations(
  parts: RecoveryParts,
  nowMs: number,
  open: readonly OpenOperation[],
): Promise<string[]> {
  const steps = await Promise.all(open.map(async (each) => ({ open: each, step: await stepOf(parts, each, nowMs) })));
  const kept = steps.flatMap(({ open: each, step }) => {
    if (step.kind === 'remove' || step.kind === 'bury') return [];
    return [step.kind === 'doubt' || step.kind === 'queue' ? afterRecovery(each, step.change) : each];
  });
  parts.restoreOperations(kept);
  let unwritten = 0;
  for (let from = 0; from < steps.length; from += BATCH) {
    const written = await Promise.all(
      steps.slice(from, from + BATCH).map((each) => write(parts, each.open, each.step)),
    );
    unwritten += written.filter((done) => !done).length;
  }
  const count = (kind: Step['kind']): number => steps.filter(({ step }) => step.kind === kind).length;
  const lost = kept.filter(({ state, handedOver }) => state === 'unknown' && !handedOver);
  if (open.length > 0) {
    parts.events.recovered({ released: count('remove'), dead: count('bury'), unknown: lost.length, unwritten });
  }
  return lost.sort((a, b) => (b.sentAtMs ?? 0) - (a.sentAtMs ?? 0)).map(({ id }) => id);
}

/** What nobody wants to keep is looked at once more: it may be kept already, for another reason. */
async function stepOf({ store, settings }: RecoveryParts, open: OpenOperation, nowMs: number): Promise<Step> {
  const step = recoveryOf(open, nowMs);
  const policy = settings().policies.find(({ name }) => name === open.endpoint);
  if (policy === undefined) return step;
  const without = withoutDeath(step, policy.deadLetter, false);
  if (without === step) return step;
  const isDead = ((await store.get(open.id))?.deadReason ?? null) !== null;
  return withoutDeath(step, policy.deadLetter, isDead);
}

/** False when the store would not; the row is decided on again at the next start. */
async function write(parts: RecoveryParts, open: OpenOperation, step: Step): Promise<boolean> {
  const { store, events } = parts;
  try {
    if (step.kind === 'remove') await store.remove(open.id);
    else if (step.kind === 'bury' || step.kind === 'doubt' || step.kind === 'queue') {
      await store.change(open.id, step.change);
      if (step.kind !== 'queue') tellOfLeft(parts, open, step);
    }
    return true;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) events.bug(error, 'recovery');
    return false;
  }
}

/** A dead letter of now. One that is looked for first is told of when that has found nothing. */
function tellOfLeft({ settings, events }: RecoveryParts, { id, endpoint }: OpenOperation, step: LeftBehind): void {
  const { deadReason, causeId, causeLabel } = step.change;
  if (!deadReason || !causeId || !causeLabel) return;
  const policy = settings().policies.find(({ name }) => name === endpoint);
  if (step.kind === 'doubt' && policy !== undefined && isLookedFor(policy)) return;
  events.deadLetterLeft(endpoint, deadReason, { id: causeId, label: causeLabel }, id);
}

function isLookedFor(policy: EndpointPolicy): boolean {
  return policy.mode === 'enforce' && isDetectable(policy);
}

/** One pass over operations that are in doubt. */
class Pass {
  readonly #parts: RecoveryParts;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #running = new Map<Exchange, Promise<void>>();
  /** Those that nothing was found out about. */
  readonly #left: string[] = [];

  constructor(parts: RecoveryParts, clock: Clock, signal: AbortSignal) {
    this.#parts = parts;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The ids that are to be tried again later. */
  async over(ids: readonly string[]): Promise<string[]> {
    const stop = (): void => {
      for (const exchange of this.#running.keys()) exchange.cancel.abort('shutdown');
    };
    this.#signal.addEventListener('abort', stop, { once: true });
    let atOnce = 1;
    for (const id of ids) {
      if (this.#signal.aborted) break;
      await this.#start(id);
      if (this.#running.size < atOnce) continue;
      await Promise.race(this.#running.values());
      atOnce = Math.min(atOnce + 1, AT_ONCE_MAX);
    }
    await Promise.all(this.#running.values());
    this.#signal.removeEventListener('abort', stop);
    return this.#left;
  }

  async #start(id: string): Promise<void> {
    const operation = await this.#read(id);
    // Settled meanwhile, by a caller that sent it again.
    if (operation === null || (operation.state !== 'unknown' && operation.state !== 'sent')) return;
    const exchange = this.#exchangeOf(operation);
    if (exchange === null || this.#signal.aborted) return;
    const run = this.#run(operation, exchange).finally(() => this.#running.delete(exchange));
    this.#running.set(exchange, run);
  }

  async #read(id: string): Promise<Operation | null> {
    try {
      return await this.#parts.store.get(id);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) this.#parts.events.bug(error, 'recovery');
      else this.#left.push(id);
      return null;
    }
  }

  /** Null when nothing is to be done about it by this configuration. */
  #exchangeOf(operation: Operation): Exchange | null {
    const { method, target } = operation;
    const query = target.indexOf('?');
    const match = this.#parts.settings().match(method, query === -1 ? target : target.slice(0, query));
    const { policy } = match;
    if (!isLookedFor(policy)) return null;
    const nowMs = this.#clock.now();
    return exchangeOfOperation(operation, match, {
      id: this.#parts.newId(),
      nowMs,
      deadlineAtMs: nowMs + policy.timeout.totalMs,
      priority: PRIORITY,
      lookOnly: !mayStillBeSent(operation, policy.idempotency, this.#clock.wall()),
    });
  }

  async #run(operation: Operation, exchange: Exchange): Promise<void> {
    try {
      const early = await this.#parts.resume(exchange);
      if (early === null) {
        this.#left.push(operation.id);
        return;
      }
      const outcome = (await early.settled) ?? early;
      streamOf(outcome)?.discard();
      const young = this.#clock.wall() - (operation.sentAtMs ?? 0) < LOOK_AGAIN_FOR_MS;
      if (young && !isKnown(outcome, exchange.looks)) this.#left.push(operation.id);
    } catch (error) {
      this.#parts.events.bug(error, 'recovery');
    }
  }
}

/** What there is to know now is known: the upstream answered for good, or a look worked. */
function isKnown(outcome: Outcome, looks: readonly LookRecord[]): boolean {
  const { verdict } = outcome;
  if (outcome.kind === 'answered' && verdict.class !== 'transient' && verdict.class !== 'throttled') return true;
  const last = looks.at(-1);
  return last !== undefined && last.result !== 'failed';
}
