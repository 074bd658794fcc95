import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OperationState, TRANSITIONS } from '../../src/core/operation.ts';
import { OperationExists, type Store, StoreUnavailable } from '../../src/core/store.ts';
import { attempt, ended, NOW_MS, row } from './rows.ts';

const STATES = Object.keys(TRANSITIONS) as OperationState[];

/** What every store must do, whatever keeps the rows. `open` gives an empty one. */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`${name} keeps the contract of stores:`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    it('gives back an operation as it was inserted, every field', async () => {
      const full = row({
        id: 'a',
        keyHash: 'key',
        fingerprint: 'print',
        parent: 'p',
        deadReason: 'unknown',
        dueAtMs: 5,
        expiresAtMs: 6,
        answer: { status: 201, headers: ['A', 'b'], body: Buffer.from([0, 255, 10]) },
        answerId: '7',
        delivered: true,
        looks: 3,
        attempts: [attempt(1), attempt(2)],
      });
      const bare = row({ id: 'b', body: null, bodyKept: false, credential: null, context: null, sentAtMs: null });
      await Promise.all([store.insert(full), store.insert(bare)]);
      expect(await store.get('a')).toEqual(full);
      expect(await store.get('b')).toEqual(bare);
      expect(await store.get('c')).toBeNull();
    });

    it('tells no body from an empty one, in requests and in answers', async () => {
      const empty = row({
        id: 'a',
        body: Buffer.alloc(0),
        credential: '',
        answer: { status: 204, headers: [], body: Buffer.alloc(0) },
      });
      await store.insert(empty);
      expect(await store.get('a')).toEqual(empty);
      await store.change('a', ended({ answer: { status: 200, headers: [], body: null } }));
      expect((await store.get('a'))?.answer).toEqual({ status: 200, headers: [], body: null });
      await store.change('a', ended({ answer: null }));
      expect((await store.get('a'))?.answer).toBeNull();
    });

    it('keeps a body of a megabyte, and a slice of a larger buffer', async () => {
      const large = Buffer.alloc(1 << 20, 'x');
      const slice = Buffer.from('-----slice-----').subarray(5, 10);
      await Promise.all([store.insert(row({ id: 'a', body: large })), store.insert(row({ id: 'b', body: slice }))]);
      expect((await store.get('a'))?.body?.equals(large)).toBe(true);
      expect((await store.get('b'))?.body?.toString()).toBe('slice');
    });

    it('keeps what an operation was when it was given, whatever becomes of the lists later', async () => {
      const attempts = [attempt(1)];
      const inserted = store.insert(row({ id: 'a', attempts }));
      attempts.push(attempt(2));
      await inserted;
      expect((await store.get('a'))?.attempts).toHaveLength(1);
    });

    it('refuses a second row of one id, and of one key within a scope, and nothing else of that moment', async () => {
      const results = await Promise.allSettled([
        store.insert(row({ id: 'a', keyHash: 'k' })),
        store.insert(row({ id: 'a' })),
        store.insert(row({ id: 'b', keyHash: 'k' })),
        store.insert(row({ id: 'c', keyHash: 'k', scope: 'scope-b' })),
        store.insert(row({ id: 'd' })),
        store.insert(row({ id: 'e' })),
      ]);
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'rejected',
        'fulfilled',
        'fulfilled',
        'fulfilled',
      ]);
      await expect(store.insert(row({ id: 'a' }))).rejects.toBeInstanceOf(OperationExists);
      expect((await store.get('a'))?.keyHash).toBe('k');
      expect(await store.get('b')).toBeNull();
      expect((await store.get('e'))?.body).not.toBeNull();
    });

    it('changes what is given, appends attempts, and leaves the rest', async () => {
      const before = row({ id: 'a', attempts: [attempt(1)], keyHash: 'k' });
      await store.insert(before);
      expect(await store.change('a', { state: 'unknown', updatedAtMs: NOW_MS + 1, looks: 2 })).toBe(true);
      expect(await store.get('a')).toEqual({ ...before, state: 'unknown', updatedAtMs: NOW_MS + 1, looks: 2 });
      const change = ended({ attempts: [attempt(2), attempt(3)], keyHash: null, dueAtMs: 9, deadReason: 'permanent' });
      expect(await store.change('a', change)).toBe(true);
      expect(await store.get('a')).toEqual({
        ...before,
        looks: 2,
        ...change,
        attempts: [attempt(1), attempt(2), attempt(3)],
      });
    });

    it('makes exactly the transitions of the table', async () => {
      for (const from of STATES) {
        for (const to of STATES) {
          const id = `${from} ${to}`;
          await store.insert(row({ id, state: from }));
          expect(await store.change(id, { state: to, updatedAtMs: 1 }), id).toBe(TRANSITIONS[from].includes(to));
          expect((await store.get(id))?.state, id).toBe(TRANSITIONS[from].includes(to) ? to : from);
        }
      }
    });

    it('changes only from the states that are asked for, and nothing that is not there', async () => {
      await store.insert(row({ id: 'a', state: 'sent' }));
      expect(await store.change('a', ended(), ['unknown', 'waiting'])).toBe(false);
      expect((await store.get('a'))?.state).toBe('sent');
      expect(await store.change('a', ended(), ['unknown', 'sent'])).toBe(true);
      expect(await store.change('b', ended())).toBe(false);
      expect(await store.change('a', ended(), [])).toBe(false);
    });

    it('lets one of two win that change the same row at once', async () => {
      await store.insert(row({ id: 'a', state: 'dead' }));
      const change = { state: 'redriving', updatedAtMs: 1 } as const;
      expect(await Promise.all([store.change('a', change, ['dead']), store.change('a', change, ['dead'])])).toEqual([
        true,
        false,
      ]);
    });

    it('§6: finds an operation under its key in its scope, until the key is released', async () => {
      await Promise.all([
        store.insert(row({ id: 'a', keyHash: 'k' })),
        store.insert(row({ id: 'b', keyHash: 'k', scope: 'scope-b' })),
      ]);
      expect((await store.byKey('scope-b', 'k'))?.id).toBe('b');
      expect(await store.byKey('scope-a', 'other')).toBeNull();
      await store.change('a', { state: 'rejected', updatedAtMs: 1, keyHash: null });
      expect(await store.byKey('scope-a', 'k')).toBeNull();
      await store.insert(row({ id: 'c', keyHash: 'k' }));
      expect((await store.byKey('scope-a', 'k'))?.id).toBe('c');
    });

    it('refuses a change that takes the key of another row, and changes nothing', async () => {
      await Promise.all([store.insert(row({ id: 'a', keyHash: 'k' })), store.insert(row({ id: 'b' }))]);
      await expect(store.change('b', ended({ keyHash: 'k' }))).rejects.toBeInstanceOf(OperationExists);
      expect(await store.get('b')).toEqual(row({ id: 'b' }));
      expect(await store.change('a', ended({ keyHash: 'k' }))).toBe(true);
    });

    it('sees earlier writes in later reads, waited for or not', async () => {
      const inserted = store.insert(row({ id: 'a' }));
      const seen = store.get('a');
      const changed = store.change('a', ended());
      store.delivered('a');
      const last = store.get('a');
      expect((await seen)?.state).toBe('sent');
      expect(await last).toMatchObject({ state: 'succeeded', delivered: true });
      await Promise.all([inserted, changed]);
    });

    it('removes a row, its key and its bodies, and takes no offence at one that is gone', async () => {
      await store.insert(row({ id: 'a', keyHash: 'k' }));
      await store.remove('a');
      await store.remove('a');
      expect([await store.get('a'), await store.byKey('scope-a', 'k')]).toEqual([null, null]);
      await store.insert(row({ id: 'a', keyHash: 'k', body: null }));
      expect((await store.get('a'))?.body).toBeNull();
    });

    it('lists what a restart must take care of: open states, and successes that nobody got', async () => {
      const queued = { handedOver: true, lane: 'l', dueAtMs: NOW_MS };
      for (const state of STATES) await store.insert(row({ id: state, state }));
      await store.insert(row({ id: 'got', state: 'succeeded', delivered: true }));
      await store.insert(row({ id: 'old', state: 'succeeded', updatedAtMs: NOW_MS - 1 }));
      await store.insert(row({ id: 'told', state: 'succeeded' }));
      await store.insert(row({ id: 'untold', state: 'waiting', ...queued }));
      await store.insert(row({ id: 'told202', state: 'waiting', delivered: true, ...queued }));
      store.delivered('told');
      store.delivered('nobody');
      expect(await ids(store.open(NOW_MS))).toEqual(['reserved', 'sent', 'unknown', 'succeeded', 'untold']);
      const [first] = await store.open(NOW_MS);
      expect(first).toEqual({
        id: 'reserved',
        endpoint: 'POST /contacts',
        operationClass: 'create',
        scope: 'scope-a',
        keyHash: null,
        identity: 'identity of reserved',
        state: 'reserved',
        effect: 'none',
        createdAtMs: NOW_MS,
        updatedAtMs: NOW_MS,
        sentAtMs: NOW_MS,
        delivered: false,
        handedOver: false,
      });
    });

    it('lists what is due, earliest first, in the states that are asked for, whole, up to the limit', async () => {
      await Promise.all([
        store.insert(row({ id: 'late', state: 'waiting', dueAtMs: 11 })),
        store.insert(row({ id: 'b', state: 'waiting', dueAtMs: 10 })),
        store.insert(row({ id: 'a', state: 'unknown', dueAtMs: 9, attempts: [attempt(1)] })),
        store.insert(row({ id: 'never', state: 'waiting' })),
        store.insert(row({ id: 'dead', state: 'dead', dueAtMs: 1 })),
        store.insert(row({ id: 'c', state: 'waiting', dueAtMs: 10 })),
      ]);
      expect(await ids(store.due(['waiting', 'unknown'], 10, 10))).toEqual(['a', 'b', 'c']);
      expect(await ids(store.due(['waiting', 'unknown'], 10, 2))).toEqual(['a', 'b']);
      expect(await ids(store.due(['waiting'], 100, 10))).toEqual(['b', 'c', 'late']);
      expect(await ids(store.due([], 100, 10))).toEqual([]);
      expect((await store.due(['unknown'], 10, 1))[0]).toEqual(await store.get('a'));
      await store.change('b', { state: 'sent', updatedAtMs: 1, dueAtMs: null });
      expect(await ids(store.due(['waiting', 'sent'], 10, 10))).toEqual(['c']);
    });

    it('§7: knows whether an object is the answer of another operation of the endpoint and scope', async () => {
      await Promise.all([
        store.insert(row({ id: 'a', answerId: '42' })),
        store.insert(row({ id: 'b', answerId: '43', scope: 'scope-b' })),
        store.insert(row({ id: 'c', answerId: '44', endpoint: 'POST /notes' })),
      ]);
      expect(await store.claimed('scope-a', 'POST /contacts', '42', 'z')).toBe(true);
      expect(await store.claimed('scope-a', 'POST /contacts', '42', 'a')).toBe(false);
      expect(await store.claimed('scope-a', 'POST /contacts', '43', 'z')).toBe(false);
      expect(await store.claimed('scope-a', 'POST /contacts', '44', 'z')).toBe(false);
    });

    it('keeps the last state of a gate until it expires', async () => {
      store.keepGate({ kind: 'pause', name: 'n', value: '1', expiresAtMs: 100 });
      store.keepGate({ kind: 'pause', name: 'n', value: '2', expiresAtMs: 200 });
      store.keepGate({ kind: 'breaker', name: 'n', value: '3', expiresAtMs: 150 });
      const breaker = { kind: 'breaker', name: 'n', value: '3', expiresAtMs: 150 } as const;
      const pause = { kind: 'pause', name: 'n', value: '2', expiresAtMs: 200 } as const;
      expect(new Set(await store.gates(149))).toEqual(new Set([pause, breaker]));
      expect(await store.gates(150)).toEqual([pause]);
      await store.expire(150, 1);
      expect(await store.gates(0)).toEqual([pause]);
    });

    it('expires what is past its time, earliest first, up to the limit', async () => {
      await Promise.all([
        store.insert(row({ id: 'b', expiresAtMs: 20 })),
        store.insert(row({ id: 'a', expiresAtMs: 10, keyHash: 'k' })),
        store.insert(row({ id: 'c', expiresAtMs: 31 })),
        store.insert(row({ id: 'never' })),
      ]);
      expect(await store.expire(9, 10)).toBe(0);
      expect(await store.expire(30, 1)).toBe(1);
      expect([await store.get('a'), await store.byKey('scope-a', 'k')]).toEqual([null, null]);
      expect(await store.expire(30, 10)).toBe(1);
      expect([await store.get('b'), (await store.get('c'))?.id, (await store.get('never'))?.id]).toEqual([
        null,
        'c',
        'never',
      ]);
    });

    it('writes out what is pending when it is closed, and then rejects everything as unavailable', async () => {
      expect(store.health()).toEqual({ healthy: true, fault: null });
      const inserted = store.insert(row({ id: 'a' }));
      await store.close();
      await inserted;
      expect(store.health().healthy).toBe(false);
      const rejected = [
        store.insert(row({ id: 'b' })),
        store.change('a', ended()),
        store.remove('a'),
        store.get('a'),
        store.byKey('s', 'k'),
        store.open(0),
        store.due(['sent'], 1, 1),
        store.claimed('s', 'e', 'i', 'x'),
        store.gates(0),
        store.expire(0, 1),
      ];
      for (const call of rejected) await expect(call).rejects.toBeInstanceOf(StoreUnavailable);
      store.delivered('a');
      store.keepGate({ kind: 'pause', name: 'n', value: '1', expiresAtMs: 100 });
    });
  });
}

async function ids(rows: Promise<readonly { readonly id: string }[]>): Promise<string[]> {
  return (await rows).map(({ id }) => id);
}
