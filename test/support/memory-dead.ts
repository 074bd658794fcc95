import type { DeadFilter, DeadHead, Success } from '../../src/core/dead-letters.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { DeadGroupPart } from '../../src/store/protocol.ts';

/** What the filter means, in memory. */
export function isMeant(row: Operation, filter: DeadFilter): boolean {
  const { endpoint, cause, states, context, sinceMs, untilMs, ids, redriveId, match } = filter;
  if (endpoint !== undefined && row.endpoint !== endpoint) return false;
  if (cause !== undefined && row.causeId !== cause && row.deadReason !== cause) return false;
  if (states !== undefined && !states.includes(row.state)) return false;
  if (redriveId !== undefined && row.redriveId !== redriveId) return false;
  if (sinceMs !== undefined && (row.deadAtMs === null || row.deadAtMs < sinceMs)) return false;
  if (untilMs !== undefined && (row.deadAtMs === null || row.deadAtMs >= untilMs)) return false;
  if (ids !== undefined && !ids.includes(row.id)) return false;
  if (Object.entries(context ?? {}).some(([key, value]) => row.context?.[key] !== value)) return false;
  if (match === undefined) return true;
  const texts = [row.target, JSON.stringify(row.context ?? ''), row.body?.toString(), row.answer?.body?.toString()];
  return texts.some((text) => text?.toLowerCase().includes(match.toLowerCase()));
}

/** Nothing runs it. */
export function isDeletable({ deadReason, state }: Operation): boolean {
  return deadReason !== null && !['redriving', 'sent', 'reserved', 'waiting'].includes(state);
}

/** What goes first. */
export function rankOf({ state, deadReason }: Operation): number {
  if (state !== 'dead' && state !== 'unknown') return 0;
  return deadReason === 'permanent' ? 1 : 2;
}

/** The row that a success makes needless, and an equal one that it marks. */
export function supersededIn(
  rows: readonly Operation[],
  { id, scope, endpoint, keyHash, naturalKey, identity, anyScope, sentAtMs }: Success,
): {
  needless: Operation | undefined;
  ofKey: readonly Operation[];
  older: readonly Operation[];
  equal: Operation | undefined;
} {
  const dead = rows.filter((row) => row.deadReason !== null && row.id !== id);
  const open = dead.filter(isOpenDead);
  const isOlder = (row: Operation): boolean => (row.deadAtMs ?? Infinity) <= sentAtMs;
  const edited = rows.find((row) => row.id === id)?.parent ?? null;
  const original = open.find((row) => row.id === edited);
  const byKey = dead.find(
    (row) =>
      row.state === 'dead' && row.scope === scope && keyHash !== null && row.formerKeyHash === keyHash && isOlder(row),
  );
  const keys = [naturalKey, anyScope.naturalKey].filter((key) => key !== null);
  const ofNature = open.filter(
    (row) => keys.some((key) => key === row.naturalKey) && row.endpoint === endpoint && isOlder(row),
  );
  const equal = open.find(
    (row) =>
      ((row.identity === identity && row.scope === scope) || row.identity === anyScope.identity) &&
      (row.operationClass !== 'idempotent' || isOlder(row)) &&
      row.maybeSupersededBy === null,
  );
  const needless = original ?? byKey ?? ofNature.find((row) => row.scope === scope);
  const isUnmarked = (row: Operation): boolean => row !== needless && row.maybeSupersededBy === null;
  const ofKey = open.filter(
    (row) =>
      keyHash !== null && row.formerKeyHash === keyHash && row.scope === scope && isOlder(row) && isUnmarked(row),
  );
  return { needless, ofKey, older: ofNature.filter(isUnmarked), equal };
}

/** What the row was made of that an edited form has made needless, and that in turn. */
export function originalsOf(rows: readonly Operation[], { id }: Success, needless: Operation): Operation[] {
  if (rows.find((row) => row.id === id)?.parent !== needless.id) return [];
  const original = rows.find((row) => row.id === needless.parent && isOpenDead(row));
  return original === undefined ? [] : [original];
}

/** Nothing of it is on the wire. */
function isOpenDead({ deadReason, state, reason }: Operation): boolean {
  return (
    deadReason !== null && (state === 'dead' || state === 'unknown' || (state === 'redriving' && reason !== 'sent'))
  );
}

/** What a dead letter stands in the place of. */
export function replacedBy(rows: readonly Operation[], { id, parent, formerKeyHash, scope }: Operation): Operation[] {
  const before = rows.slice(
    0,
    rows.findIndex((row) => row.id === id),
  );
  return before.filter(
    (row) =>
      isOpenDead(row) &&
      (row.id === parent || (formerKeyHash !== null && row.formerKeyHash === formerKeyHash && row.scope === scope)),
  );
}

/** As lists show it. */
export function headOfDead(row: Operation): DeadHead {
  const {
    headers: _h,
    body: _b,
    credential: _c,
    answer: _a,
    fingerprint: _f,
    keyHash: _k,
    formerKeyHash: _o,
    ...rest
  } = row;
  const { kind: _, attempts, ...plain } = rest;
  return { ...plain, attempts: attempts.length, lastAttempt: attempts.at(-1) ?? null };
}

/** A group of one row. */
export function partOfDead(row: Operation): DeadGroupPart {
  const { causeId, causeLabel, endpoint, deadReason, state, count, createdAtMs, deadAtMs, updatedAtMs } = row;
  return {
    id: 0,
    causeId: causeId ?? '',
    label: causeLabel ?? endpoint,
    endpoint,
    deadReason: deadReason ?? 'unknown',
    state,
    rows: 1,
    calls: count,
    bytes: 0,
    firstAtMs: createdAtMs,
    lastAtMs: deadAtMs ?? updatedAtMs,
  };
}

/** Ids of the newest of a cause. */
export function samplesOf(rows: readonly Operation[], causeId: string): string[] {
  return rows
    .filter((row) => row.deadReason !== null && row.causeId === causeId)
    .slice(-3)
    .reverse()
    .map(({ id }) => id);
}
