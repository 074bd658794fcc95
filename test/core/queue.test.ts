import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import { exchangeOfOperation } from '../../src/core/operation-exchange.ts';
import { endingOf } from '../../src/core/operation-record.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import type { ProbeRecipe } from '../../src/core/policy.ts';
import { goesOn, nextRun, PATIENCE_MS, placeOf, waitsInLedger } from '../../src/core/queue.ts';
import type { LookRecord } from '../../src/core/reconcile.ts';
import { recoveryOf } from '../../src/core/recovery.ts';
import { NOW_MS, row } from '../store/rows.ts';
import { failed, record, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange, policy, verdict } from '../support/exchanges.ts';

const accepted = (given: Partial<Exchange> = {}): Exchange =>
  exchange({ queue: { createdAtMs: NOW_MS, stage: 'accepted' }, ...given });
const next = (x: Exchange, outcome: Outcome, nowMs = NOW_MS, random = 0.5) =>
  nextRun(x, outcome, endingOf(x, outcome), { nowMs, random });
const busy = (retryAfterMs: number | null = null): Outcome =>
  answered(503, { verdict: transient({ effect: 'none', retryAfterMs }) });
const lost = failed('reset', { verdict: transient({ effect: 'unknown', repeatable: false }) });
const idempotent = policy({ operationClass: 'idempotent', name: 'PUT /contacts/{id}' });
const probe = (resendIfAbsent: ProbeRecipe['resendIfAbsent'], kind: 'direct' | 'search' = 'direct'): ProbeRecipe =>
  ({ kind, resendIfAbsent }) as ProbeRecipe;
const look = (result: LookRecord['result']): LookRecord => ({
  n: 1,
  startedAtMs: NOW_MS,
  durationMs: 1,
  request: 'GET /x',
  status: 200,
  result,
});

const after = (n: number) =>
  next(accepted({ attempts: Array.from({ length: n }, () => record({ effect: 'none' })) }), busy(), NOW_MS, 0.999)!;

describe('§8: a call of the queue', () => {
  it('that succeeded, or was refused for good, does not run again', () => {
    expect(next(accepted(), answered(200))).toBeNull();
    const no = answered(422, { verdict: verdict({ class: 'permanent', reason: 'data_invalid', effect: 'none' }) });
    expect(next(accepted(), no)).toBeNull();
  });

  it('waits for the server’s wish, never less, and spreads on top of it', () => {
    expect(next(accepted(), busy(120_000), NOW_MS, 0)?.dueAtMs).toBe(NOW_MS + 120_000);
    expect(next(accepted(), busy(120_000), NOW_MS, 0.9)?.dueAtMs).toBe(NOW_MS + 124_500);
  });

  it('backs off by all its attempts, at most a quarter of an hour', () => {
    expect(after(1).dueAtMs - NOW_MS).toBeLessThanOrEqual(5000);
    expect(after(4).dueAtMs - NOW_MS).toBeGreaterThan(30_000);
    expect(after(500).dueAtMs - NOW_MS).toBeLessThanOrEqual(900_000);
  });

  it('is given up after a day, and its last run is at the end of that day at the latest', () => {
    expect(next(accepted(), busy(), NOW_MS + PATIENCE_MS)).toBeNull();
    expect(next(accepted(), busy(2 * PATIENCE_MS))?.dueAtMs).toBe(NOW_MS + PATIENCE_MS);
  });

  it('has one fate: what was called over at the end of its day does not run again, and what goes on can', () => {
    const fate = { id: 'a', reason: 'exhausted' } as Exchange['fate'];
    expect(next(accepted({ fate }), busy())).toBeNull();
    for (let leftMs = 0; leftMs < 60_000; leftMs += 500) {
      const nowMs = NOW_MS + PATIENCE_MS - leftMs;
      // Whoever keeps dead letters asks first, and the record is made a little later.
      if (goesOn(accepted(), busy(), 'released', nowMs)) expect(next(accepted(), busy(), nowMs + 5000)).not.toBeNull();
    }
  });

  it('that one of our layers refused unsent is tried again within seconds', () => {
    const open = refused('breaker', {
      code: 'holdfast_breaker_open',
      verdict: transient({ effect: 'none', retryAfterMs: 300_000 }),
    });
    expect(next(accepted(), open)).toEqual({ state: 'waiting', dueAtMs: NOW_MS + 5000 });
  });

  it('runs again at once after a stop of the process', () => {
    const x = accepted();
    x.cancel.abort('shutdown');
    expect(next(x, busy(60_000))).toEqual({ state: 'waiting', dueAtMs: NOW_MS });
  });

  it('§1: a 429 that limits what runs at once is permanent for a live caller, and a wait for the queue', () => {
    const exports = answered(429, {
      verdict: verdict({ class: 'permanent', reason: 'pending_exports', effect: 'none' }),
    });
    expect(next(accepted(), exports)?.state).toBe('waiting');
    expect(next(exchange(), exports)).toBeNull();
  });
});

describe('§7, §8: what is in doubt', () => {
  it('an idempotent write is sent again', () => {
    expect(next(accepted({ policy: idempotent }), lost)?.state).toBe('waiting');
  });

  it('a create is looked for when anything can be found out, and kept for a person otherwise', () => {
    expect(next(accepted(), lost)).toBeNull();
    const direct = policy({ reconcile: [probe(true)] });
    expect(next(accepted({ policy: direct, looks: [look('failed')] }), lost)?.state).toBe('unknown');
    expect(next(accepted({ policy: direct, looks: [look('several')] }), lost)).toBeNull();
    const never = policy({ reconcile: [probe(false)] });
    expect(next(accepted({ policy: never, looks: [look('absent')] }), lost)).toBeNull();
  });

  it('a create behind a lagging index is looked for a quarter of an hour after it was sent, its caller or not', () => {
    const search = policy({ reconcile: [probe(900_000, 'search')] });
    const operation = { id: 'o', recorded: true, sentAtMs: NOW_MS, doubt: null };
    for (const x of [accepted({ policy: search, operation }), exchange({ policy: search, operation })]) {
      expect(next(x, lost, NOW_MS + 30_000)).toEqual({ state: 'unknown', dueAtMs: NOW_MS + 900_000 });
    }
    const again = next(
      exchange({ policy: search, operation, queue: { createdAtMs: NOW_MS, stage: 'look' } }),
      lost,
      NOW_MS + 900_000,
    );
    expect(again?.dueAtMs).toBeGreaterThan(NOW_MS + 900_000);
  });

  it('waits between its attempts in the ledger, for as long as its retry would have waited', () => {
    expect(waitsInLedger(accepted(), 20_000)).toBe(true);
    const ended = accepted({ queue: { createdAtMs: NOW_MS, stage: 'accepted', retryMs: 20_250 } });
    expect(next(ended, busy(20_000))).toEqual({ state: 'waiting', dueAtMs: NOW_MS + 20_250 });
    // Not worth it, not its own, or a create that would be looked for first.
    expect(waitsInLedger(accepted(), 1000)).toBe(false);
    expect(waitsInLedger(exchange(), 20_000)).toBe(false);
    expect(waitsInLedger(exchange({ queue: { createdAtMs: NOW_MS, stage: 'offered' } }), 20_000)).toBe(false);
    const attempts = [record({ effect: 'unknown' })];
    expect(waitsInLedger(accepted({ attempts }), 20_000)).toBe(false);
    expect(waitsInLedger(accepted({ attempts, policy: idempotent }), 20_000)).toBe(true);
  });

  it('is no dead letter before its last run', () => {
    expect(goesOn(accepted(), busy(), 'released', NOW_MS)).toBe(true);
    expect(goesOn(exchange({ queue: { createdAtMs: NOW_MS, stage: 'offered' } }), busy(), 'released', NOW_MS)).toBe(
      true,
    );
    expect(goesOn(exchange(), busy(), 'released', NOW_MS)).toBe(false);
  });

  it('what a look has proven to have done nothing is in no doubt in its next run', () => {
    const attempts = [record({ effect: 'unknown' })];
    const stored = row({ id: 'o', state: 'waiting', effect: 'none', handedOver: true, attempts });
    const run = { id: 'x', nowMs: 0, deadlineAtMs: 1000, priority: 7, lookOnly: false };
    const x = exchangeOfOperation(stored, { policy: policy(), params: {} }, run);
    expect(x.operation?.doubt).toBeNull();
    expect(x.attempts.map(({ effect }) => effect)).toEqual(['none']);
  });
});

const open = (given: Parameters<typeof row>[0]) => recoveryOf(row({ handedOver: true, ...given }), NOW_MS);

describe('§8: after a crash', () => {
  it('a handed-over call goes on in the queue: sent again where that does no harm, a create is looked for first', () => {
    const due = { dueAtMs: NOW_MS };
    expect(open({ id: 'o', state: 'sent' })).toMatchObject({ kind: 'queue', change: { state: 'unknown', ...due } });
    expect(open({ id: 'o', state: 'sent', operationClass: 'idempotent' })).toMatchObject({
      kind: 'queue',
      change: { state: 'waiting', ...due },
    });
    expect(open({ id: 'o', state: 'unknown' })).toEqual({ kind: 'hold' });
  });
});

it('lanes are apart by endpoint, workflow and credential', () => {
  const lanes = [
    accepted(),
    accepted({ policy: idempotent }),
    accepted({ context: { workflow: 'enrich' } }),
    accepted({ credentialRef: 'other' }),
  ].map((x) => placeOf(x).lane);
  expect(new Set(lanes).size).toBe(lanes.length);
  expect(placeOf(accepted({ policy: idempotent, method: 'PUT', target: '/contacts/7?x' })).resource).toBe(
    'abcd1234 /contacts/7',
  );
});

const states = new Set<string>();
afterAll(() => expect([...states].sort()).toEqual(['null', 'unknown', 'waiting']));

test.prop(
  {
    elapsedMs: fc.integer({ min: 0, max: 2 * PATIENCE_MS }),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    wishMs: fc.option(fc.integer({ min: 0, max: 2 * PATIENCE_MS })),
    attempts: fc.integer({ min: 0, max: 2000 }),
    outcome: fc.constantFrom('busy', 'lost', 'refused', 'ok'),
    create: fc.boolean(),
  },
  { numRuns: 500 },
)('§8: a next run is never in the past, never after the day, and never follows a success', (given) => {
  const rules = given.create ? policy({ reconcile: [probe(true)] }) : idempotent;
  const x = accepted({
    policy: rules,
    attempts: Array.from({ length: given.attempts }, () => record({ effect: 'none' })),
  });
  const outcomes: Record<string, Outcome> = {
    busy: busy(given.wishMs),
    lost,
    refused: refused('pacing'),
    ok: answered(200),
  };
  const nowMs = NOW_MS + given.elapsedMs;
  const run = next(x, outcomes[given.outcome]!, nowMs, given.random);
  states.add(String(run?.state ?? null));
  if (given.outcome === 'ok' || given.elapsedMs >= PATIENCE_MS) expect(run).toBeNull();
  if (run === null) return;
  expect(run.dueAtMs).toBeGreaterThanOrEqual(nowMs);
  expect(run.dueAtMs).toBeLessThanOrEqual(NOW_MS + PATIENCE_MS);
});
