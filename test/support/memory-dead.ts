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
  { id, scope, endpoint, keyHash, naturalKey, identity, sentAtMs }: Success,
): { needless: Operation | undefined; older: readonly Operation[]; equal: Operation | undefined } {
  const dead = rows.filter((row) => row.deadReason !== null && row.scope === scope && row.id !== id);
  const open = dead.filter(({ state }) => state === 'dead' || state === 'unknown');
  const byKey = dead.find((row) => row.state === 'dead' && keyHash !== null && row.formerKeyHash === keyHash);
  const ofNature = open.filter(
    (row) =>
      naturalKey !== null &&
      row.naturalKey === naturalKey &&
      row.endpoint === endpoint &&
      (row.deadAtMs ?? Infinity) <= sentAtMs,
  );
  const equal = open.find((row) => row.identity === identity && row.maybeSupersededBy === null);
  const needless = byKey ?? ofNature[0];
  const older = ofNature.filter((row) => row !== needless && row.maybeSupersededBy === null);
  return { needless, older, equal };
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
