/**
 * Keeps what failed for good (semantics §9), and takes back what a later success made needless. It stands inside the
 * deadline, so that it sees true endings and not what callers were told early, and outside everything that tries again.
 * What it keeps is durable before the caller is answered. A store that will not have it changes no answer: the loss is
 * logged and counted, for the caller still has its error. A row that the ledger has already is not written here: the fate
 * stands on the exchange, and the one final record of the operation carries it.
 */

import type { KeyObject } from 'node:crypto';
import { causeFacts, causeGroup } from '../core/cause-group.ts';
import { deadReason } from '../core/dead-letter.ts';
import type { Success } from '../core/dead-letters.ts';
import type { Exchange } from '../core/exchange.ts';
import type { Fate, RunNames } from '../core/fate.ts';
import { bodyHashes, identityOf, NO_SCOPE, smallBodyHashes } from '../core/fingerprint.ts';
import { deadOperationOf, endingOf } from '../core/operation-record.ts';
import type { Outcome } from '../core/outcome.ts';
import { goesOn } from '../core/queue.ts';
import { resourceOf } from '../core/resource.ts';
import type { Layer } from '../core/service.ts';
import type { Store } from '../core/store.ts';
import { type DeadTally, isCredentialRefused, naturalKeyOf } from '../core/supersede.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { jsonOf, operationClassOf } from './operation-class.ts';

/** What the layer is made of. */
export interface DeadLetterParts {
  readonly store: Pick<Store, 'keepDead' | 'supersede'>;
  readonly clock: Clock;
  readonly events: Pick<Events, 'deadLettered' | 'deadLetters' | 'bug'>;
  readonly newId: () => string;
  /** As the idempotency layer has it. */
  readonly namesKey: KeyObject;
  readonly passthrough: () => boolean;
  /** Of the configuration in force. */
  readonly configHash: () => string;
  readonly dead: DeadTally;
}

/** Keeps dead letters. Reads pass by, unless the endpoint keeps them too. */
export function deadLetter(parts: DeadLetterParts): Layer {
  return (inner) => (exchange) => {
    const { operationClass, deadLetter: policy, mode } = exchange.policy;
    if (mode === 'observe' || (operationClass === 'read' && policy.writesOnly)) return inner(exchange);
    return inner(exchange).then((outcome) => ended(parts, exchange, outcome));
  };
}

function ended(parts: DeadLetterParts, exchange: Exchange, outcome: Outcome): Outcome | Promise<Outcome> {
  if (outcome.settled !== undefined) {
    return { ...outcome, settled: outcome.settled.then((last) => ended(parts, exchange, last)) };
  }
  if (outcome.verdict.class === 'ok') {
    if (exchange.operation?.isDead === true || parts.dead.mayHave(exchange.policy.name))
      void supersede(parts, exchange);
    return outcome;
  }
  // What the queue tries again is not lost yet.
  if (goesOn(exchange, outcome, endingOf(exchange, outcome), parts.clock.wall())) return outcome;
  const reason = deadReason(exchange, outcome, hasCaller(exchange) ? 'caller' : 'nobody');
  if (reason === null) return outcome;
  const kept = keep(parts, exchange, outcome, reason).then(() => outcome);
  // The call is cut: the deadline must not take what is only being written down for an attempt that still runs.
  return exchange.cancel.aborted && exchange.cancel.reason !== 'shutdown' ? { ...outcome, settled: kept } : kept;
}

/** Somebody hears of the true ending. Whoever was handed a 202, or is about to be, does not. */
function hasCaller({ unattended, cancel, queue }: Exchange): boolean {
  if (unattended || queue?.stage === 'accepted') return false;
  return queue === null ? cancel.reason !== 'client_gone' : !cancel.aborted;
}

async function keep(
  parts: DeadLetterParts,
  exchange: Exchange,
  outcome: Outcome,
  reason: Fate['reason'],
): Promise<void> {
  const { clock, store, events, dead } = parts;
  const { policy, operation } = exchange;
  const cause = causeGroup(causeFacts(policy.name, exchange.attempts, outcome));
  try {
    const names = await namesOf(parts, exchange);
    const anyScope =
      reason === 'permanent' && isCredentialRefused(exchange.attempts) ? await anyScopeOf(parts, exchange) : null;
    const fate: Fate = {
      id: operation?.id ?? parts.newId(),
      reason,
      cause,
      naturalKey: anyScope?.naturalKey ?? (await naturalKey(parts, exchange, names.identity)),
      identity: anyScope?.identity ?? null,
      resource: resourceOf(exchange),
      configHash: parts.configHash(),
      stored: operation?.recorded !== true,
    };
    if (fate.stored) {
      const nowMs = clock.wall();
      const receivedAtMs = nowMs - Math.round(clock.now() - exchange.receivedAtMs);
      const facts = { names, nowMs, receivedAtMs, passthrough: parts.passthrough() };
      const id = await store.keepDead(deadOperationOf(exchange, outcome, fate, facts));
      exchange.fate = { ...fate, id };
    } else {
      exchange.fate = fate;
    }
    dead.added(policy.name);
    // One that a redrive did not bring home, or a later look did not find, is no new one.
    if (operation?.isDead !== true) events.deadLettered(exchange, reason, cause, exchange.fate.id);
  } catch (error) {
    events.deadLetters.lost(exchange, reason, error);
  }
}

/** Nobody waits for it, and nothing depends on it: a row that stays is seen, and a redrive asks again. */
async function supersede(parts: DeadLetterParts, exchange: Exchange): Promise<void> {
  try {
    const names = await namesOf(parts, exchange);
    const nowMs = parts.clock.wall();
    const { operation, policy, scope } = exchange;
    const id = operation?.id ?? exchange.id;
    const done = await parts.store.supersede({
      id,
      scope,
      endpoint: policy.name,
      keyHash: names.keyHash,
      naturalKey: await naturalKey(parts, exchange, names.identity),
      identity: names.identity,
      anyScope: await anyScopeOf(parts, exchange),
      sentAtMs: await wantedSinceMs(exchange, parts.clock),
      nowMs,
    });
    if (done.superseded !== null || done.maybe !== null) parts.events.deadLetters.superseded(exchange, id, done);
  } catch (error) {
    parts.events.deadLetters.notAsked(error);
  }
}

/**
 * What died later than this is newer. The age of an idempotent write is that of its wish: one that waited for its turn, in
 * the queue or in a redrive, says nothing about what was asked for meanwhile. Whatever made a guarded create, it is there.
 */
async function wantedSinceMs(exchange: Exchange, clock: Clock): Promise<number> {
  const { operation, attempts, receivedAtMs } = exchange;
  const nowMs = clock.wall();
  const firstSentAtMs = operation?.sentAtMs ?? attempts[0]?.startedAtMs ?? nowMs;
  if ((await operationClassOf(exchange)) === 'create') return firstSentAtMs;
  return Math.min(firstSentAtMs, operation?.askedAtMs ?? nowMs - Math.round(clock.now() - receivedAtMs));
}

async function namesOf({ namesKey }: DeadLetterParts, exchange: Exchange): Promise<RunNames> {
  const given = exchange.operation?.names;
  if (given !== undefined) return given;
  const hashes = smallBodyHashes(exchange.body, false) ?? (await bodyHashes(exchange.body, false));
  return { keyHash: null, fingerprint: null, identity: identityOf(namesKey, exchange, hashes) };
}

/**
 * The names that an equal call with another credential has, too; none when the body is not known. No natural key of a
 * create: two workspaces may number their objects alike, and within one the upstream itself refuses the second.
 */
async function anyScopeOf(parts: DeadLetterParts, exchange: Exchange): Promise<Success['anyScope']> {
  const { body, method, target } = exchange;
  if (body.kind === 'stream') return { naturalKey: null, identity: null };
  const hashes = smallBodyHashes(body, false) ?? (await bodyHashes(body, false));
  const identity = identityOf(parts.namesKey, { scope: NO_SCOPE, method, target }, hashes);
  const isCreate = (await operationClassOf(exchange)) === 'create';
  return { naturalKey: isCreate ? null : await naturalKey(parts, exchange, identity, NO_SCOPE), identity };
}

async function naturalKey(
  { namesKey }: DeadLetterParts,
  exchange: Exchange,
  identity: string,
  scope = exchange.scope,
): Promise<string | null> {
  const { policy, target } = exchange;
  const operationClass = await operationClassOf(exchange);
  if (operationClass === 'read' || (operationClass === 'create' && policy.guardedBy === null)) return null;
  const document = jsonOf(exchange.body);
  const guarded = policy.guardedBy !== null && (await policy.guardedBy.holds(document));
  const mapped = policy.naturalKey === null ? undefined : await policy.naturalKey.evaluate(document);
  return naturalKeyOf(namesKey, { scope, policy, target }, { operationClass, guarded, mapped, document, identity });
}
