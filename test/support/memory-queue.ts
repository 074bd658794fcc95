import type { Operation } from '../../src/core/operation.ts';
import type { DuePart, QueueDepth } from '../../src/core/queue-store.ts';

function isQueued({ lane, dueAtMs, state }: Operation): boolean {
  return lane !== null && dueAtMs !== null && (state === 'waiting' || state === 'unknown');
}

/** Keeps later rows of its resource waiting. */
export function standsBefore({ handedOver, state, dueAtMs }: Operation): boolean {
  return handedOver && (state === 'waiting' || state === 'sent' || (state === 'unknown' && dueAtMs !== null));
}

/** `queueDue` over rows in the order of their insertion; all lanes are one part. */
export function duePartOf(rows: readonly Operation[], nowMs: number, perLane: number): DuePart {
  const queued = rows.filter(isQueued);
  const due = queued
    .filter((row, _i) => {
      const earlier = rows.slice(0, rows.indexOf(row));
      const blocked = earlier.some((each) => each.resource === row.resource && standsBefore(each));
      return (row.dueAtMs ?? 0) <= nowMs && !(row.handedOver && row.resource !== null && blocked);
    })
    .sort((a, b) =>
      a.lane === b.lane ? (a.dueAtMs ?? 0) - (b.dueAtMs ?? 0) : (a.lane ?? '') < (b.lane ?? '') ? -1 : 1,
    );
  const taken = new Map<string, number>();
  const part = due.filter(({ lane }) => {
    const n = (taken.get(lane ?? '') ?? 0) + 1;
    taken.set(lane ?? '', n);
    return n <= perLane;
  });
  const ahead = queued.map(({ dueAtMs }) => dueAtMs ?? 0).filter((ms) => ms > nowMs);
  return {
    rows: part.map(({ id, lane, resource, dueAtMs }) => ({ id, lane: lane ?? '', resource, dueAtMs: dueAtMs ?? 0 })),
    nextDueAtMs: ahead.length === 0 ? null : Math.min(...ahead),
    afterLane: null,
  };
}

/** `queueDepth` over rows. */
export function depthOf(rows: readonly Operation[]): QueueDepth {
  const queued = rows
    .filter((row) => (isQueued(row) || row.state === 'sent') && row.handedOver)
    .map(({ createdAtMs }) => createdAtMs);
  return { rows: queued.length, oldestAtMs: queued.length === 0 ? null : Math.min(...queued) };
}
