import type { DuePart, DueRow, QueueDepth } from '../core/queue-store.ts';
import { ORDERED, QUEUED } from './queue-schema.ts';
import type { Statements } from './statements.ts';

/** Lanes that are looked at in one request. */
const LANES_MAX = 256;

/** From lane to lane by the index: as many steps as there are lanes, however many rows they have. */
const LANES = `
  WITH RECURSIVE lanes(lane) AS (
    SELECT min(lane) FROM operations WHERE ${QUEUED} AND lane > ?1
    UNION ALL
    SELECT (SELECT min(lane) FROM operations WHERE ${QUEUED} AND operations.lane > lanes.lane) FROM lanes
    WHERE lanes.lane IS NOT NULL LIMIT ${LANES_MAX + 1}
  )
  SELECT lane,
    (SELECT min(due_at_ms) FROM operations WHERE ${QUEUED} AND operations.lane = lanes.lane) AS first_ms,
    (SELECT min(due_at_ms) FROM operations
      WHERE ${QUEUED} AND operations.lane = lanes.lane AND due_at_ms > ?2) AS next_ms
  FROM lanes WHERE lane IS NOT NULL`;

/** One that is in doubt and kept for a person stands before nobody. */
const STANDS_BEFORE = `${ORDERED} AND (state <> 'unknown' OR due_at_ms IS NOT NULL)`;

const DUE = `
  SELECT id, lane, resource, due_at_ms FROM operations AS row
  WHERE ${QUEUED} AND lane = ?1 AND due_at_ms <= ?2
    AND (handed_over = 0 OR NOT EXISTS (
      SELECT 1 FROM operations WHERE ${STANDS_BEFORE} AND operations.resource = row.resource AND operations.n < row.n))
  ORDER BY due_at_ms, n LIMIT ?3`;

/** What runs is in it too, until it has ended. The index has all that is asked: without it every row would be read. */
const DEPTH = `
  SELECT count(*) AS rows, min(created_at_ms) AS oldest FROM (
    SELECT created_at_ms FROM operations INDEXED BY operations_queue WHERE ${QUEUED} AND handed_over = 1
    UNION ALL
    SELECT created_at_ms FROM operations
    WHERE state IN ('reserved', 'sent', 'unknown') AND state = 'sent' AND handed_over = 1)`;

/** The statements of the queue. */
export class QueueLedger {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  due(nowMs: number, afterLane: string | null, perLane: number): DuePart {
    const lanes = this.#statements.run(LANES).all(afterLane ?? '', nowMs);
    const rows: DueRow[] = [];
    let nextDueAtMs: number | null = null;
    for (const { lane, first_ms: firstMs, next_ms: nextMs } of lanes.slice(0, LANES_MAX)) {
      if (typeof nextMs === 'number' && (nextDueAtMs === null || nextMs < nextDueAtMs)) nextDueAtMs = nextMs;
      if ((firstMs as number) > nowMs) continue;
      for (const row of this.#statements.run(DUE).all(lane as string, nowMs, perLane)) {
        rows.push({
          id: row['id'] as string,
          lane: row['lane'] as string,
          resource: row['resource'] as string | null,
          dueAtMs: row['due_at_ms'] as number,
        });
      }
    }
    const last = lanes.length > LANES_MAX ? lanes[LANES_MAX - 1] : undefined;
    return { rows, nextDueAtMs, afterLane: (last?.['lane'] as string | undefined) ?? null };
  }

  before(resource: string): boolean {
    const found = this.#statements
      .run(`SELECT 1 FROM operations WHERE ${STANDS_BEFORE} AND resource = ? LIMIT 1`)
      .get(resource);
    return found !== undefined;
  }

  depth(): QueueDepth {
    const found = this.#statements.run(DEPTH).get();
    return { rows: Number(found?.['rows'] ?? 0), oldestAtMs: (found?.['oldest'] as number | null | undefined) ?? null };
  }
}
