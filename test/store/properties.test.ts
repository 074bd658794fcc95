/** Any sequence of calls, restarts among them, gives the same results on SQLite as on the store that tests use. */

import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type OperationChange, type OperationState, TRANSITIONS } from '../../src/core/operation.ts';
import type { Store } from '../../src/core/store.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testDirectory, testStore } from './files.ts';
import { attempt, row } from './rows.ts';

const STATES = Object.keys(TRANSITIONS) as OperationState[];

const id = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const keyHash = fc.option(fc.constantFrom('k', 'l'));
const scope = fc.constantFrom('scope-a', 'scope-b');
const endpoint = fc.constantFrom('POST /contacts', 'POST /notes');
const state = fc.constantFrom(...STATES);
const states = fc.uniqueArray(state, { maxLength: STATES.length });
const time = fc.integer({ min: 0, max: 50 });
const maybeTime = fc.option(time);
const bytes = fc.option(fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)));
const text = fc.string({ unit: 'binary-ascii', maxLength: 10 });
const attempts = fc.array(fc.nat({ max: 9 }).map(attempt), { maxLength: 2 });
const answer = fc.option(fc.record({ status: fc.constantFrom(200, 409), headers: fc.array(text), body: bytes }));
const answerId = fc.option(fc.constantFrom('1', '2'));

const operation = fc
  .record({
    id,
    keyHash,
    scope,
    endpoint,
    state,
    answer,
    answerId,
    attempts,
    body: bytes,
    credential: fc.option(text),
    headers: fc.array(text),
    context: fc.option(fc.dictionary(fc.string({ maxLength: 5 }), text, { maxKeys: 2, noNullPrototype: true })),
    delivered: fc.boolean(),
    dueAtMs: maybeTime,
    expiresAtMs: maybeTime,
    updatedAtMs: time,
  })
  .map(row);

const change: fc.Arbitrary<OperationChange> = fc.record(
  {
    state,
    updatedAtMs: time,
    keyHash,
    effect: fc.constantFrom('none', 'applied', 'unknown'),
    reason: text,
    deadReason: fc.option(fc.constantFrom('unknown', 'permanent')),
    sentAtMs: maybeTime,
    dueAtMs: maybeTime,
    expiresAtMs: maybeTime,
    answer,
    answerId,
    delivered: fc.boolean(),
    looks: fc.nat({ max: 9 }),
    attempts,
  },
  { requiredKeys: ['state', 'updatedAtMs'] },
);

type Call = (store: Store) => unknown;

const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 6,
    arbitrary: operation.map(
      (given): Call =>
        (store) =>
          store.insert(given),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(id, change, fc.option(states)).map(
      ([which, given, from]): Call =>
        (store) =>
          store.change(which, given, from ?? undefined),
    ),
  },
  {
    weight: 1,
    arbitrary: id.map(
      (which): Call =>
        (store) =>
          store.delivered(which),
    ),
  },
  {
    weight: 1,
    arbitrary: id.map(
      (which): Call =>
        (store) =>
          store.remove(which),
    ),
  },
  {
    weight: 3,
    arbitrary: id.map(
      (which): Call =>
        (store) =>
          store.get(which),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(scope, keyHash).map(
      ([whose, key]): Call =>
        (store) =>
          store.byKey(whose, key ?? ''),
    ),
  },
  {
    weight: 2,
    arbitrary: time.map(
      (since): Call =>
        (store) =>
          store.open(since),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(states, time, fc.nat({ max: 4 })).map(
      ([which, now, limit]): Call =>
        (store) =>
          store.due(which, now, limit),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(scope, endpoint, answerId, id).map(
      ([whose, where, which, but]): Call =>
        (store) =>
          store.claimed(whose, where, which ?? '', but),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('pause', 'breaker'), name: text, value: text, expiresAtMs: time }).map(
      (gate): Call =>
        (store) =>
          store.keepGate(gate),
    ),
  },
  {
    weight: 1,
    arbitrary: time.map(
      (now): Call =>
        async (store) =>
          new Set((await store.gates(now)).map((g) => JSON.stringify(g))),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(time, fc.nat({ max: 3 })).map(
      ([now, limit]): Call =>
        (store) =>
          store.expire(now, limit),
    ),
  },
);

/** Moments: calls of one moment are made without waiting for each other. */
const moments = fc.array(fc.array(call, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12, size: 'max' });

async function results(store: Store, calls: readonly Call[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(calls.map((make) => make(store)));
  return settled.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).name));
}

it('gives the results of a store in memory for any sequence of calls', { timeout: 300_000 }, async () => {
  const directory = testDirectory();
  let made = 0;
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(moments, fc.nat({ max: 30 }), async (sequence, restartAt) => {
      const where = `${directory}/${made++}`;
      const memory = new MemoryStore();
      let sqlite = await testStore(where);
      for (const [at, calls] of sequence.entries()) {
        if (at === restartAt) {
          await sqlite.close();
          sqlite = await testStore(where);
        }
        const expected = await results(memory, calls);
        expect(await results(sqlite, calls)).toEqual(expected);
        for (const result of expected)
          seen.add(typeof result === 'string' ? result : (JSON.stringify(result) ?? 'nothing'));
      }
      for (const which of ['a', 'b', 'c', 'd', 'e']) expect(await sqlite.get(which)).toEqual(await memory.get(which));
      await sqlite.close();
    }),
    { numRuns: 60 },
  );
  expect([...seen]).toEqual(expect.arrayContaining(['OperationExists', 'true', 'false', 'null', 'nothing', '1', '2']));
});
