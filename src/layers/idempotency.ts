/**
 * One operation per intention (semantics §6). Calls with a key, given or derived, are run once per key; creates without
 * one are held, so that a re-send after a lost answer finds what became of the first. Reads, and idempotent writes
 * without a key, pass with one look: sending them twice does no harm, and the ledger costs a disk. The layer stands
 * outside the deadline, because a record has to be written also when the time of its caller is over.
 */

import type { KeyObject } from 'node:crypto';
import type { Exchange } from '../core/exchange.ts';
import {
  type BodyHashes,
  bodyHashes,
  derivedKeyHashOf,
  fingerprintOf,
  identityOf,
  keyHashOf,
  smallBodyHashes,
} from '../core/fingerprint.ts';
import type { Outcome } from '../core/outcome.ts';
import type { Expression, Limits } from '../core/policy.ts';
import type { Layer, Service } from '../core/service.ts';
import type { OpenOperation } from '../core/store.ts';
import { refusal } from './idempotency-answer.ts';
import { HeldCalls } from './idempotency-held.ts';
import { KeyedCalls, type KeyedParts } from './idempotency-keyed.ts';
import { FinalRecords } from './idempotency-records.ts';
import { LiveRun } from './idempotency-run.ts';
import { jsonOf, operationClassOf } from './operation-class.ts';

const COME_BACK_MS = 1000;

/** What the layer is made of. */
export interface IdempotencyParts extends Omit<KeyedParts, 'finals'> {
  /** What is written to find operations again is hashed under this; it lives as long as the ledger. */
  readonly namesKey: KeyObject;
}

/** The layer, and what recovery and status ask of it. */
export interface Idempotency {
  readonly layer: Layer;
  /** Before the first call: what an earlier process left open. */
  readonly restore: (open: readonly OpenOperation[]) => void;
  /**
   * Runs an operation of an earlier process through `enter`, as `exchangeOfOperation` made it; calls with its key or of
   * its identity join meanwhile. Null when a caller that sent it again runs it already.
   */
  readonly resume: (exchange: Exchange, enter: Service) => Promise<Outcome> | null;
  /** Creates without a key that run, or may be sent again. */
  readonly held: () => number;
}

/** Makes the layer. */
export function createIdempotency(given: IdempotencyParts): Idempotency {
  const parts: KeyedParts = { ...given, finals: new FinalRecords(given.store, given.clock) };
  const { namesKey } = given;
  const keyed = new KeyedCalls(parts);
  const held = new HeldCalls(parts);
  const open = new Map<string, OpenOperation>();
  return {
    layer: (inner) => (exchange) => {
      const { policy, idempotencyKey, preference } = exchange;
      const { operationClass, mode, idempotency } = policy;
      if (operationClass === 'read' || mode === 'observe') return inner(exchange);
      if (idempotencyKey !== null && wantsRoom(exchange, parts.limits())) return Promise.resolve(noRoom());
      if (idempotencyKey !== null || idempotency.derive !== null) {
        return serveNamed(namesKey, keyed, held, exchange, inner);
      }
      if (idempotency.require) return Promise.resolve(keyRequired());
      if (preference !== null) return serveHandedOver(namesKey, held, exchange, inner);
      if (operationClass === 'idempotent') return inner(exchange);
      return serveHeld(namesKey, held, exchange, inner);
    },
    restore: (operations) => {
      for (const each of operations) if (each.keyHash !== null && each.state !== 'succeeded') open.set(each.id, each);
      held.restore(operations);
    },
    resume: (exchange, enter) => resume(parts, keyed, held, open, exchange, enter),
    held: () => held.size,
  };
}

/** A call with a key of its own, or one that the configuration derives. */
async function serveNamed(
  namesKey: KeyObject,
  keyed: KeyedCalls,
  held: HeldCalls,
  exchange: Exchange,
  inner: Service,
): Promise<Outcome> {
  const { policy, idempotencyKey, scope } = exchange;
  const hashes = smallBodyHashes(exchange.body, true) ?? (await bodyHashes(exchange.body, true));
  const operationClass = await operationClassOf(exchange);
  const fingerprint = fingerprintOf(namesKey, exchange, hashes);
  const hash =
    idempotencyKey === null
      ? derivedKeyHashOf(namesKey, exchange, await partsOf(exchange, policy.idempotency.derive ?? []), fingerprint)
      : keyHashOf(namesKey, scope, idempotencyKey);
  if (hash !== null)
    return keyed.serve(exchange, inner, { hash, fingerprint, identity: identityOf(namesKey, exchange, hashes) });
  if (policy.idempotency.require) return keyRequired();
  if (operationClass === 'create') return held.serve(exchange, inner, heldIdentity(namesKey, exchange, hashes));
  return exchange.preference === null ? inner(exchange) : held.serve(exchange, inner, null);
}

/** What the queue is to run needs an operation, also where sending it twice does no harm. */
async function serveHandedOver(
  namesKey: KeyObject,
  held: HeldCalls,
  exchange: Exchange,
  inner: Service,
): Promise<Outcome> {
  const isCreate = (await operationClassOf(exchange)) === 'create';
  const identity = isCreate ? heldIdentity(namesKey, exchange, await bodyHashes(exchange.body, false)) : null;
  return held.serve(exchange, inner, identity);
}

async function partsOf({ body }: Exchange, derive: readonly Expression[]): Promise<unknown[]> {
  const document = jsonOf(body);
  if (document === null) return [];
  const found: unknown[] = [];
  for (const expression of derive) found.push(await expression.evaluate(document));
  return found;
}

/** A create by its endpoint; without a promise before it is sent, unless its class or a large body needs one. */
function serveHeld(namesKey: KeyObject, held: HeldCalls, exchange: Exchange, inner: Service): Promise<Outcome> {
  const hashes = smallBodyHashes(exchange.body, false);
  if (hashes === null || exchange.policy.idempotentIf !== null) return serveHeldLater(namesKey, held, exchange, inner);
  exchange.operationClass = exchange.policy.operationClass;
  return held.serve(exchange, inner, heldIdentity(namesKey, exchange, hashes));
}

async function serveHeldLater(
  namesKey: KeyObject,
  held: HeldCalls,
  exchange: Exchange,
  inner: Service,
): Promise<Outcome> {
  if ((await operationClassOf(exchange)) !== 'create') return inner(exchange);
  return held.serve(exchange, inner, heldIdentity(namesKey, exchange, await bodyHashes(exchange.body, false)));
}

function heldIdentity(namesKey: KeyObject, exchange: Exchange, hashes: BodyHashes): string | null {
  return exchange.body.kind === 'stream' ? null : identityOf(namesKey, exchange, hashes);
}

function resume(
  parts: KeyedParts,
  keyed: KeyedCalls,
  held: HeldCalls,
  open: Map<string, OpenOperation>,
  exchange: Exchange,
  enter: Service,
): Promise<Outcome> | null {
  const { operation } = exchange;
  if (operation === null) throw new Error('an exchange without an operation cannot be resumed');
  const { id, sentAtMs, recorded, doubt, isDead } = operation;
  const known = open.get(id) ?? queuedOf(exchange);
  const createdAtMs = known?.createdAtMs ?? exchange.queue?.createdAtMs ?? parts.clock.wall();
  const earlier = { createdAtMs, sentAtMs, recorded, doubt, isDead };
  if (known === undefined || known.keyHash === null) return held.resume(exchange, enter, earlier, id);
  const { keyHash, identity } = known;
  const names = { id, keyHash, fingerprint: operation.names?.fingerprint ?? null, identity };
  return keyed.resume(exchange, keyHash, () => new LiveRun(parts, exchange, enter, names, earlier));
}

/** What the queue takes up has its names with it. */
function queuedOf({
  queue,
  operation,
}: Exchange): Pick<OpenOperation, 'keyHash' | 'identity' | 'createdAtMs'> | undefined {
  const names = operation?.names;
  return queue === null || names === undefined ? undefined : { ...names, createdAtMs: queue.createdAtMs };
}

/** It streams only because no room was left for it: by its length alone it would be taken for another request, or run as one. */
function wantsRoom({ body }: Exchange, { repeatableBodyBytes }: Limits): boolean {
  return body.kind === 'stream' && body.lengthBytes !== null && body.lengthBytes <= repeatableBodyBytes;
}

function noRoom(): Outcome {
  return refusal(
    'holdfast_overloaded',
    'no_room',
    'There is no room (limits.buffered) for the body of this call, which its Idempotency-Key is compared with; nothing was sent. Send it again.',
    COME_BACK_MS,
  );
}

function keyRequired(): Outcome {
  return refusal(
    'holdfast_bad_request',
    'idempotency_key_required',
    'Writes to this endpoint need an Idempotency-Key (idempotency.require); nothing was sent. Send it with a key of its own.',
    null,
  );
}
