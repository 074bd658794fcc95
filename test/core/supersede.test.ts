import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeadCount } from '../../src/core/dead-letters.ts';
import type { OperationState } from '../../src/core/operation.ts';
import { DeadTally, type NaturalFacts, naturalKeyOf } from '../../src/core/supersede.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { NAMES_KEY } from '../support/names-key.ts';

const put = (target = '/contacts/7', scope = 'scope-a') =>
  exchange({ policy: policy({ name: 'PUT /contacts/{id}' }), target, scope });
const upsert = () => exchange({ policy: policy({ name: 'POST /companies' }), target: '/companies' });

const facts = (given: Partial<NaturalFacts>): NaturalFacts => ({
  operationClass: 'idempotent',
  guarded: false,
  mapped: undefined,
  document: {},
  identity: 'identity',
  ...given,
});

const namesOf = (value: object): string => JSON.stringify(Object.keys(value).sort((a, b) => (a < b ? -1 : 1)));
const updateKey = (document: unknown) => naturalKeyOf(NAMES_KEY, put(), facts({ document }));
const upsertKey = (given: Partial<NaturalFacts>) => naturalKeyOf(NAMES_KEY, upsert(), facts(given));
const createKey = (given: Partial<NaturalFacts>) =>
  naturalKeyOf(NAMES_KEY, upsert(), facts({ operationClass: 'create', ...given }));
const count = (endpoint: string, state: OperationState, rows: number): DeadCount => ({
  endpoint,
  state,
  rows,
  bytes: 10,
});

describe('natural keys (§9)', () => {
  it('are of one scope, endpoint and target', () => {
    const given = facts({ document: { name: 'a' } });
    const keys = [put(), put('/contacts/8'), put('/contacts/7', 'scope-b')].map((x) =>
      naturalKeyOf(NAMES_KEY, x, given),
    );
    expect(new Set(keys).size).toBe(3);
  });

  it('tell updates apart by the names of their members and not by the values', () => {
    const document = fc.dictionary(fc.string({ maxLength: 4 }), fc.oneof(fc.string(), fc.integer(), fc.boolean()), {
      maxKeys: 4,
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(document, document, (a, b) => {
        const same =
          naturalKeyOf(NAMES_KEY, put(), facts({ document: a })) ===
          naturalKeyOf(NAMES_KEY, put(), facts({ document: b }));
        expect(same).toBe(namesOf(a) === namesOf(b));
      }),
    );
  });

  it('look into nested members: another custom attribute is another update', () => {
    expect(updateKey({ custom_attributes: { plan: 'x' } })).not.toBe(updateKey({ custom_attributes: { seats: 1 } }));
    expect(updateKey({ custom_attributes: { plan: 'x' } })).toBe(updateKey({ custom_attributes: { plan: 'y' } }));
  });

  it('never merge upserts whose path names only the collection, unless the map says what tells them apart', () => {
    expect(upsertKey({ identity: 'a' })).not.toBe(upsertKey({ identity: 'b' }));
    expect(upsertKey({ mapped: 'acme', identity: 'a' })).toBe(upsertKey({ mapped: 'acme', identity: 'b' }));
    expect(upsertKey({ mapped: 'acme' })).not.toBe(upsertKey({ mapped: 'globex' }));
    for (const mapped of [null, '', []])
      expect(upsertKey({ mapped, identity: 'a' })).not.toBe(upsertKey({ mapped, identity: 'b' }));
  });

  it('a guarded create has that of the map, or is equal to itself alone; another create has none', () => {
    expect(createKey({})).toBeNull();
    expect(createKey({ mapped: 'a@example.com' })).toBeNull();
    expect(createKey({ guarded: true, mapped: 'a', document: { a: 1 } })).toBe(
      createKey({ guarded: true, mapped: 'a' }),
    );
    expect(createKey({ guarded: true, identity: 'a' })).not.toBe(createKey({ guarded: true, identity: 'b' }));
  });
});

describe('the tally of dead letters', () => {
  it('asks the store until it was counted once, and then only where something may be superseded', () => {
    const tally = new DeadTally();
    expect(tally.mayHave('POST /tags')).toBe(true);
    tally.refresh([count('POST /tags', 'dead', 1), count('POST /notes', 'discarded', 5)]);
    expect(tally.mayHave('POST /tags')).toBe(true);
    expect(tally.mayHave('POST /notes')).toBe(false);
    tally.added('POST /notes');
    expect(tally.mayHave('POST /notes')).toBe(true);
  });

  it('never runs low: what is added while the store counts is not in that count', () => {
    const tally = new DeadTally();
    tally.refresh([]);
    tally.added('POST /tags');
    // Counted before its row was written: the death is announced first, by its final record.
    tally.refresh([]);
    expect(tally.mayHave('POST /tags')).toBe(true);
    tally.refresh([]);
    expect(tally.mayHave('POST /tags')).toBe(false);
  });

  it('sums rows and bytes by state', () => {
    const tally = new DeadTally();
    tally.refresh([count('a', 'dead', 1), count('b', 'dead', 2), count('b', 'unknown', 3)]);
    expect(Object.fromEntries(tally.byState())).toEqual({
      dead: { rows: 3, bytes: 20 },
      unknown: { rows: 3, bytes: 10 },
    });
  });
});
