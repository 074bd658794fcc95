import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FAULTS, OPERATIONS, SCHEDULES } from './matrix.cases.ts';
import { expected } from './matrix.oracle.ts';
import { run, startAll, stopAll } from './matrix.rig.ts';

// Rows mostly wait: for backoffs, wishes and looks.
vi.setConfig({ maxConcurrency: 8 });
beforeAll(startAll, 120_000);
afterAll(stopAll);

// A refused connection leaves none behind, and one that a 503 left open would not be refused.
const ROWS = FAULTS.flatMap((fault) =>
  SCHEDULES.filter(({ struck }) => fault.onAccept === undefined || struck[0] === 1).map(
    (schedule) => [fault.name, schedule.name, fault, schedule] as const,
  ),
);

type Row = (typeof ROWS)[number];

/** How early a timer of the fast clock may be: a real millisecond. */
const TIMER_MS = 20;

async function obeys([, , fault, schedule]: Row): Promise<void> {
  const cells = await Promise.all(
    OPERATIONS.map(async (operation) => [operation, await run(fault, operation, schedule)] as const),
  );
  for (const [operation, { gapsMs, ...actual }] of cells) {
    const written = actual.history.map(({ sent }) => sent !== 'no');
    const { gapsMs: shortestMs, ...wanted } = expected(fault, operation, schedule, written);
    expect({ operation: operation.name, ...actual }).toEqual({ operation: operation.name, ...wanted });
    if (operation.class === 'create') expect(actual.effects).toBeLessThanOrEqual(1);
    gapsMs.forEach((gapMs, i) => expect(gapMs).toBeGreaterThanOrEqual((shortestMs[i] ?? 0) - TIMER_MS));
  }
}

describe('§§1-3, 6, 7: answer, attempts and effects are as the rules say, for every operation', () => {
  test.concurrent.each(ROWS.filter(([name]) => name !== 'outage'))('%s, %s', (...row) => obeys(row));
  // While the listener is closed, another process of this machine may be given its port.
  test.concurrent.each(ROWS.filter(([name]) => name === 'outage'))('%s, %s', { retry: 3 }, (...row) => obeys(row));
});
