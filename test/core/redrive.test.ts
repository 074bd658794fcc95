import { fc, test } from '@fast-check/vitest';
import { describe, expect, test as it } from 'vitest';
import {
  countRows,
  EMPTY_PLAN,
  isCustomerVisible,
  keptFilter,
  planRow,
  type RowFacts,
  ratePerSecond,
  redriveHash,
} from '../../src/core/redrive.ts';
import {
  beginPace,
  nextPace,
  type Pace,
  type PaceEvent,
  RELAPSE_LEAST,
  RELAPSE_WINDOW,
  roomOf,
} from '../../src/core/redrive-pace.ts';

const DAY_MS = 86_400_000;
const RULES = { force: false, maxAgeMs: DAY_MS, nowMs: 10 * DAY_MS };

const row = (given: Partial<RowFacts> = {}): RowFacts => ({
  state: 'dead',
  effect: 'none',
  endpoint: 'POST /contacts',
  operationClass: 'create',
  bodyKept: true,
  createdAtMs: RULES.nowMs,
  sentAtMs: null,
  supersededBy: null,
  maybeSupersededBy: null,
  ...given,
});

describe('§9: what a redrive does with a row', () => {
  it('passes by what a later success has made needless, unless it is forced', () => {
    for (const each of [row({ maybeSupersededBy: 'b' }), row({ state: 'superseded', supersededBy: 'b' })]) {
      expect(planRow(each, RULES)).toEqual({ kind: 'superseded', why: 'by b' });
      expect(planRow(each, { ...RULES, force: true }).kind).toBe('run');
    }
  });

  it('lets creates that customers see expire, and only those', () => {
    const old = { createdAtMs: RULES.nowMs - DAY_MS - 1 };
    for (const endpoint of [
      'POST /messages',
      'POST /conversations',
      'POST /conversations/{conversation_id}/reply',
      'POST /tickets/{ticket_id}/reply',
      'POST /fin/reply',
    ]) {
      expect(planRow(row({ endpoint, ...old }), RULES).kind, endpoint).toBe('expired');
      expect(planRow(row({ endpoint }), RULES).kind, endpoint).toBe('run');
      expect(planRow(row({ endpoint, ...old }), { ...RULES, force: true }).kind, endpoint).toBe('run');
    }
    for (const endpoint of ['POST /contacts', 'POST /conversations/{conversation_id}/parts', 'POST /tickets']) {
      expect(planRow(row({ endpoint, ...old }), RULES).kind, endpoint).toBe('run');
    }
    expect(isCustomerVisible({ endpoint: 'POST /messages', operationClass: 'idempotent' })).toBe(false);
  });

  it('never sends what it has no body of, and only looks for it when it may have landed', () => {
    expect(planRow(row({ bodyKept: false }), { ...RULES, force: true }).kind).toBe('skipped');
    expect(planRow(row({ bodyKept: false, state: 'unknown', effect: 'unknown' }), RULES).kind).toBe('run');
  });

  it('counts what a plan means', () => {
    const rows = [row(), row({ state: 'unknown', effect: 'unknown' }), row({ operationClass: 'idempotent' })];
    const plan = countRows(
      EMPTY_PLAN,
      [...rows, row({ maybeSupersededBy: 'b' }), row({ state: 'succeeded' })],
      RULES,
      () => false,
    );
    expect(plan).toEqual({
      rows: 5,
      run: 3,
      creates: 2,
      unknown: 1,
      undetectable: 1,
      superseded: 1,
      expired: 0,
      skipped: 1,
    });
  });

  it('goes at a share of the quota, and of Intercom’s smallest while none is known', () => {
    expect(ratePerSecond(0.1, 1000)).toBe(10);
    expect(ratePerSecond(0.1, null)).toBeCloseTo(1.67);
  });

  it('two orders are one by the rows they mean, and no text that people were found by is kept', () => {
    expect(redriveHash({ ids: ['b', 'a'] })).toBe(redriveHash({ ids: ['a', 'b', 'a'] }));
    expect(redriveHash({ context: { a: '1', b: '2' } })).toBe(redriveHash({ context: { b: '2', a: '1' } }));
    expect(redriveHash({ endpoint: 'x' })).not.toBe(redriveHash({ cause: 'x' }));
    expect(keptFilter({ match: 'ada@example.com', ids: ['a'], cause: 'unknown' })).toEqual({
      match: '…',
      ids: ['…'],
      cause: 'unknown',
    });
  });
});

const event: fc.Arbitrary<PaceEvent> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ kind: fc.constant('row' as const), failed: fc.constantFrom(false, false, true, null) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'resume' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'pause', by: 'person', why: 'x' } as const) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'cancel' } as const, { kind: 'emptied' } as const) },
);

describe('§9: the pace of a redrive', () => {
  const visited = new Set<string>();

  test.prop([fc.nat({ max: 8 }), fc.array(event, { maxLength: 120, size: 'max' })], { numRuns: 500 })(
    'stops at a relapse, starts nothing while it stands, and what is over stays over',
    (canary, events) => {
      let pace: Pace = beginPace(canary);
      for (const each of events) {
        const before: Pace = pace;
        pace = nextPace(before, each, canary);
        visited.add(pace.kind);
        if (before.kind === 'done' || before.kind === 'cancelled') expect(pace).toBe(before);
        expect(roomOf(pace, 16) === 0).toBe(!['canary', 'full'].includes(pace.kind));
        if (pace.kind === 'full') {
          const failures = pace.recent.filter(Boolean).length;
          expect(pace.recent.length).toBeLessThanOrEqual(RELAPSE_WINDOW);
          if (pace.recent.length >= RELAPSE_LEAST) expect(failures * 2).toBeLessThan(pace.recent.length);
        }
        if (pace.kind === 'canary') expect(pace.failures * 2).toBeLessThan(Math.max(canary, 1));
        if (before.kind === 'paused' && each.kind === 'resume') expect(pace).toEqual(beginPace(canary));
      }
    },
  );

  it('was seen in every state', () => {
    expect([...visited].sort()).toEqual(['canary', 'cancelled', 'done', 'full', 'paused']);
  });

  it('stops within its window when everything fails after a good start', () => {
    let pace = beginPace(0);
    for (let n = 0; n < 1000; n += 1) pace = nextPace(pace, { kind: 'row', failed: false }, 0);
    let rows = 0;
    while (pace.kind === 'full') {
      pace = nextPace(pace, { kind: 'row', failed: true }, 0);
      rows += 1;
    }
    expect(rows).toBe(RELAPSE_WINDOW / 2);
    expect(pace).toMatchObject({ kind: 'paused', by: 'relapse' });
  });

  it('learns nothing from rows that were not tried', () => {
    const pace = beginPace(3);
    expect(nextPace(pace, { kind: 'row', failed: null }, 3)).toBe(pace);
  });
});
