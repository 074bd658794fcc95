import { describe, expect, it } from 'vitest';
import type { DeadFilter, DeadLimits, Success } from '../../src/core/dead-letters.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { Store } from '../../src/core/store.ts';
import { attempt, NOW_MS, row } from './rows.ts';

/** A dead letter; what a test is about, it gives. */
export function dead(given: Partial<Operation> & Pick<Operation, 'id'>): Operation {
  return row({
    state: 'dead',
    deadReason: 'exhausted',
    deadAtMs: NOW_MS,
    causeId: 'cause-a',
    causeLabel: 'POST /contacts 503',
    configHash: 'abc',
    attempts: [attempt(1), attempt(2)],
    ...given,
  });
}

const success = (given: Partial<Success> = {}): Success => ({
  id: 'later',
  scope: 'scope-a',
  endpoint: 'POST /contacts',
  keyHash: null,
  naturalKey: null,
  identity: 'another',
  anyScope: { naturalKey: null, identity: null },
  sentAtMs: NOW_MS + 1,
  nowMs: NOW_MS + 5,
  ...given,
});

const marksOf = (opened: Store, ...rows: string[]): Promise<unknown[]> =>
  Promise.all(rows.map(async (id) => (await opened.get(id))?.maybeSupersededBy));

const LOOSE: DeadLimits = { beforeMs: 0, maxEntries: 1000, maxBytes: 1e9 };

const ids = async (opened: Store, filter: DeadFilter): Promise<string[]> =>
  (await opened.listDead(filter, null, 100)).letters.map(({ id }) => id);

/** What every store keeps of the promises about dead letters. */
export function deadLetterContract(name: string, open: () => Promise<Store> | Store): void {
  const store = async (...rows: Operation[]): Promise<Store> => {
    const opened = await open();
    for (const each of rows) await opened.keepDead(each);
    return opened;
  };
  describe(`${name} keeps the contract of dead letters:`, () => {
    it('gives back what was kept, whole', async () => {
      const kept = dead({ id: 'a', naturalKey: 'n', formerKeyHash: 'f', lane: 'l', resource: 'r', handedOver: true });
      const opened = await store(kept);
      expect(await opened.get('a')).toEqual(kept);
    });

    it('turns a reserved row into the dead letter under its id', async () => {
      const opened = await store();
      await opened.insert(row({ id: 'a', state: 'reserved' }));
      expect(await opened.keepDead(dead({ id: 'a' }))).toBe('a');
      expect((await opened.get('a'))?.state).toBe('dead');
      await expect(opened.keepDead(dead({ id: 'a' }))).rejects.toMatchObject({ code: 'OPERATION_EXISTS' });
    });

    it('§9: counts equal refused writes of one scope in one row', async () => {
      const refused = { deadReason: 'refused', identity: 'same' } as const;
      const opened = await store(dead({ id: 'a', ...refused }));
      const later = { deadAtMs: NOW_MS + 9, updatedAtMs: NOW_MS + 9 };
      expect(await opened.keepDead(dead({ id: 'b', ...refused, ...later }))).toBe('a');
      expect(await opened.get('a')).toMatchObject({ count: 2, createdAtMs: NOW_MS, deadAtMs: NOW_MS + 9 });
      expect(await opened.keepDead(dead({ id: 'c', ...refused, scope: 'scope-b' }))).toBe('c');
      expect(await opened.keepDead(dead({ id: 'd', ...refused, formerKeyHash: 'k' }))).toBe('d');
      expect(await opened.keepDead(dead({ id: 'e', ...refused, identity: 'other' }))).toBe('e');
      expect(await opened.keepDead(dead({ id: 'f', ...refused, deadReason: 'exhausted' }))).toBe('f');
      await opened.change('a', { state: 'discarded', updatedAtMs: 1 });
      expect(await opened.keepDead(dead({ id: 'g', ...refused }))).toBe('g');
    });

    it('lists the newest first, page by page, each once', async () => {
      const opened = await store(...['a', 'b', 'c', 'd', 'e'].map((id) => dead({ id })));
      await opened.insert(row({ id: 'alive' }));
      const seen: string[] = [];
      let cursor: number | null = null;
      do {
        const page = await opened.listDead({}, cursor, 2);
        expect(page.letters.length).toBeLessThanOrEqual(2);
        seen.push(...page.letters.map(({ id }) => id));
        cursor = page.next;
      } while (cursor !== null);
      expect(seen).toEqual(['e', 'd', 'c', 'b', 'a']);
    });

    it('shows in lists the last attempt and no body, credential or header field', async () => {
      const opened = await store(dead({ id: 'a' }), dead({ id: 'b', attempts: [] }));
      const { letters } = await opened.listDead({}, null, 10);
      expect(letters[1]).toMatchObject({ id: 'a', attempts: 2, lastAttempt: attempt(2), causeId: 'cause-a' });
      expect(letters[0]).toMatchObject({ id: 'b', attempts: 0, lastAttempt: null });
      expect(JSON.stringify(letters)).not.toMatch(/planted|Content-Type/);
    });

    it('filters by endpoint, cause, state, context, time, ids, redrive and text', async () => {
      const opened = await store(
        dead({ id: 'a', endpoint: 'POST /notes', causeId: 'x', context: { 'ke".y': "it's", n: '1' } }),
        dead({ id: 'b', deadReason: 'permanent', deadAtMs: NOW_MS + 10, body: Buffer.from('Some NEEDLE in it') }),
        dead({ id: 'c', deadAtMs: NOW_MS + 20, context: null, target: '/contacts?email=needle%40example.com' }),
        dead({ id: 'd', deadAtMs: NOW_MS + 30, body: null, redriveId: 'r1' }),
      );
      await opened.change('d', { state: 'discarded', updatedAtMs: 1 });
      expect(await ids(opened, { endpoint: 'POST /notes' })).toEqual(['a']);
      expect(await ids(opened, { cause: 'x' })).toEqual(['a']);
      expect(await ids(opened, { cause: 'permanent' })).toEqual(['b']);
      expect(await ids(opened, { states: ['discarded'] })).toEqual(['d']);
      expect(await ids(opened, { context: { 'ke".y': "it's", n: '1' } })).toEqual(['a']);
      expect(await ids(opened, { context: { n: '2' } })).toEqual([]);
      expect(await ids(opened, { sinceMs: NOW_MS + 10, untilMs: NOW_MS + 20 })).toEqual(['b']);
      expect(await ids(opened, { ids: ['a', 'c', 'gone'] })).toEqual(['c', 'a']);
      expect(await ids(opened, { redriveId: 'r1' })).toEqual(['d']);
      expect(await ids(opened, { match: 'needle' })).toEqual(['c', 'b']);
      expect(await ids(opened, { match: 'nowhere' })).toEqual([]);
    });

    it('§9: groups by cause, with counts, first and last seen, and samples', async () => {
      const opened = await store(
        dead({ id: 'a' }),
        dead({ id: 'b', createdAtMs: NOW_MS + 1, deadAtMs: NOW_MS + 50 }),
        dead({ id: 'c', deadReason: 'refused', causeId: 'cause-b', causeLabel: 'refused', count: 7 }),
      );
      await opened.change('b', { state: 'discarded', updatedAtMs: 1 });
      const [big, small] = await opened.groupDead({}, 10);
      expect(big).toMatchObject({ causeId: 'cause-b', label: 'refused', rows: 1, calls: 7, samples: ['c'] });
      expect(small).toMatchObject({
        causeId: 'cause-a',
        deadReason: 'exhausted',
        rows: 2,
        states: { dead: 1, discarded: 1 },
        firstAtMs: NOW_MS,
        lastAtMs: NOW_MS + 50,
        samples: ['b', 'a'],
      });
      expect(await opened.groupDead({ states: ['discarded'] }, 10)).toMatchObject([{ rows: 1 }]);
      expect(await opened.groupDead({ ids: ['a', 'c'] }, 1)).toMatchObject([{ causeId: 'cause-b' }]);
      expect(await opened.groupDead({ cause: 'nothing' }, 10)).toEqual([]);
    });

    it('counts rows by endpoint and state through every change', async () => {
      const opened = await store(dead({ id: 'a' }), dead({ id: 'b', endpoint: 'POST /notes' }));
      await opened.insert(row({ id: 'c', state: 'sent' }));
      const death = { deadReason: 'unknown', deadAtMs: NOW_MS, causeId: 'cause-u', causeLabel: 'u' } as const;
      await opened.change('c', { state: 'unknown', updatedAtMs: NOW_MS, ...death });
      await opened.change('a', { state: 'redriving', updatedAtMs: NOW_MS });
      await opened.remove('b');
      const counted = new Map<string, number>();
      for (const { state, rows } of await opened.countDead()) counted.set(state, (counted.get(state) ?? 0) + rows);
      expect(Object.fromEntries(counted)).toEqual({ redriving: 1, unknown: 1 });
    });

    it('§9: a success with the key of a dead letter supersedes it', async () => {
      const opened = await store(dead({ id: 'a', formerKeyHash: 'k' }), dead({ id: 'b', formerKeyHash: 'k' }));
      const done = await opened.supersede(success({ keyHash: 'k' }));
      expect(done).toEqual({ superseded: 'a', maybe: null });
      expect(await opened.get('a')).toMatchObject({ state: 'superseded', supersededBy: 'later' });
      expect((await opened.get('b'))?.state).toBe('dead');
    });

    it('§9: one with the same endpoint and natural key supersedes it, within its scope', async () => {
      const opened = await store(
        dead({ id: 'a', naturalKey: 'n', scope: 'scope-b' }),
        dead({ id: 'b', naturalKey: 'n' }),
      );
      expect(await opened.supersede(success({ naturalKey: 'n', endpoint: 'POST /notes' }))).toEqual(NOTHING);
      expect(await opened.supersede(success({ naturalKey: 'n', sentAtMs: NOW_MS - 1 }))).toEqual(NOTHING);
      expect(await opened.supersede(success({ naturalKey: 'n' }))).toEqual({ superseded: 'b', maybe: null });
      expect(await opened.supersede(success({ naturalKey: 'n' }))).toEqual(NOTHING);
    });

    it('§9: one success supersedes one row, and marks every other that is older than it: none of them may undo it', async () => {
      const rows = ['a', 'b', 'c'].map((id) => dead({ id, naturalKey: 'n' }));
      const later = dead({ id: 'd', naturalKey: 'n', deadAtMs: NOW_MS + 9 });
      const opened = await store(...rows, later, dead({ id: 'e', naturalKey: 'n', endpoint: 'POST /notes' }));
      expect(await opened.supersede(success({ naturalKey: 'n' }))).toEqual({ superseded: 'a', maybe: null });
      const marks = await Promise.all(
        ['b', 'c', 'd', 'e'].map(async (id) => (await opened.get(id))?.maybeSupersededBy),
      );
      expect(marks).toEqual(['later', 'later', null, null]);
    });

    it('§9: an equal success of another create only marks it, one success one row', async () => {
      const opened = await store(dead({ id: 'a', identity: 'same' }), dead({ id: 'b', identity: 'same' }));
      expect(await opened.supersede(success({ identity: 'same' }))).toEqual({ superseded: null, maybe: 'a' });
      expect(await opened.get('a')).toMatchObject({ state: 'dead', maybeSupersededBy: 'later' });
      expect(await opened.supersede(success({ identity: 'same' }))).toEqual({ superseded: null, maybe: 'b' });
      expect(await opened.supersede(success({ identity: 'same' }))).toEqual(NOTHING);
    });

    it('§9: an equal success with another credential marks a row whose credential was refused, and no other', async () => {
      const opened = await store(
        dead({ id: 'a', scope: 'scope-b', identity: 'same' }),
        dead({ id: 'b', scope: 'scope-b', identity: 'any' }),
      );
      const given = { identity: 'same', anyScope: { naturalKey: null, identity: 'any' } };
      expect(await opened.supersede(success(given))).toEqual({ superseded: null, maybe: 'b' });
      expect(await opened.get('b')).toMatchObject({ state: 'dead', maybeSupersededBy: 'later' });
      expect(await opened.supersede(success(given))).toEqual(NOTHING);
    });

    it('§9: by a natural key without scope the own scope is superseded, and the others are marked', async () => {
      const rows = ['scope-b', 'scope-a', 'scope-c'].map((scope) => dead({ id: scope, scope, naturalKey: 'any' }));
      const opened = await store(...rows);
      const given = { naturalKey: 'n', anyScope: { naturalKey: 'any', identity: null } };
      expect(await opened.supersede(success(given))).toEqual({ superseded: 'scope-a', maybe: null });
      const marks = ['scope-b', 'scope-c'].map(async (id) => (await opened.get(id))?.maybeSupersededBy);
      expect(await Promise.all(marks)).toEqual(['later', 'later']);
    });

    it('§9: an equal idempotent write that was asked for later is not marked: another one may stand between', async () => {
      const later = { operationClass: 'idempotent', identity: 'same', deadAtMs: NOW_MS + 9 } as const;
      const opened = await store(dead({ id: 'a', ...later }));
      expect(await opened.supersede(success({ identity: 'same' }))).toEqual(NOTHING);
      expect(await opened.supersede(success({ identity: 'same', sentAtMs: NOW_MS + 9 }))).toMatchObject({ maybe: 'a' });
    });

    it('§9: what a redrive has taken is superseded as long as nothing of it is on the wire', async () => {
      const opened = await store(dead({ id: 'a', naturalKey: 'n' }), dead({ id: 'b', naturalKey: 'n' }));
      const taken = { state: 'redriving', updatedAtMs: NOW_MS } as const;
      await opened.change('a', { ...taken, reason: 'sent' });
      await opened.change('b', taken);
      expect(await opened.supersede(success({ naturalKey: 'n' }))).toEqual({ superseded: 'b', maybe: null });
      expect(await opened.get('a')).toMatchObject({ state: 'redriving', maybeSupersededBy: null });
    });

    it('§9: a success marks the others of its key: after the life of the key, one of them would be sent again', async () => {
      const rows = ['a', 'b', 'c'].map((id) => dead({ id, formerKeyHash: 'k' }));
      const newer = dead({ id: 'd', formerKeyHash: 'k', deadAtMs: NOW_MS + 9 });
      const opened = await store(...rows, newer, dead({ id: 'e', formerKeyHash: 'k', scope: 'scope-b' }));
      await opened.change('d', { state: 'discarded', updatedAtMs: 1 });
      expect(await opened.supersede(success({ keyHash: 'k' }))).toEqual({ superseded: 'a', maybe: null });
      expect(await marksOf(opened, 'b', 'c', 'd', 'e')).toEqual(['c', 'later', null, null]);
    });

    it('§9: what is superseded while a redrive has it gives its key up again: the next call with it is free', async () => {
      const opened = await store(dead({ id: 'a', naturalKey: 'n', formerKeyHash: 'k' }));
      await opened.change('a', { state: 'redriving', updatedAtMs: NOW_MS, keyHash: 'k' });
      expect(await opened.supersede(success({ naturalKey: 'n' }))).toEqual({ superseded: 'a', maybe: null });
      expect(await opened.byKey('scope-a', 'k')).toBeNull();
      expect(await opened.get('a')).toMatchObject({ state: 'superseded', keyHash: null, formerKeyHash: 'k' });
    });

    it('§9: an edited form marks what it was made of, and its success supersedes that, and what that was made of', async () => {
      const opened = await store(dead({ id: 'a' }), dead({ id: 'b', parent: 'a' }), dead({ id: 'c', parent: 'b' }));
      expect(await marksOf(opened, 'a', 'b', 'c')).toEqual(['b', 'c', null]);
      expect(await opened.supersede(success({ id: 'c' }))).toEqual({ superseded: 'b', maybe: null });
      expect(await opened.get('a')).toMatchObject({ state: 'superseded', supersededBy: 'c' });
    });

    it('§9: an edited form that is let go before it came home gives its original back; one in doubt does not', async () => {
      const opened = await store(dead({ id: 'a' }), dead({ id: 'b', parent: 'a' }), dead({ id: 'c', parent: 'b' }));
      await opened.change('b', { state: 'discarded', updatedAtMs: 1 });
      expect(await marksOf(opened, 'a')).toEqual(['c']);
      const purged = await store(dead({ id: 'a' }), dead({ id: 'b', parent: 'a' }), dead({ id: 'c' }));
      await purged.insert(dead({ id: 'd', parent: 'c' }));
      await purged.change('d', { state: 'redriving', updatedAtMs: 1 });
      await purged.change('d', { state: 'unknown', updatedAtMs: 1 });
      expect(await purged.purgeDead({ ids: ['b', 'd'] })).toBe(2);
      expect(await marksOf(purged, 'a', 'c')).toEqual([null, 'd']);
    });

    it('§9: of the dead letters of one key the newest stands for all, as long as it is there', async () => {
      const rows = ['a', 'b', 'c'].map((id) => dead({ id, formerKeyHash: 'k' }));
      const opened = await store(dead({ id: 'other', formerKeyHash: 'k', scope: 'scope-b' }), ...rows);
      expect(await marksOf(opened, 'other', 'a', 'b', 'c')).toEqual([null, 'b', 'c', null]);
      await opened.change('c', { state: 'discarded', updatedAtMs: 1 });
      expect(await marksOf(opened, 'a', 'b')).toEqual(['b', null]);
      // An older one that was sent all the same says nothing of the newer.
      await opened.change('a', { state: 'redriving', updatedAtMs: 1, reason: 'sent' });
      expect(await opened.supersede(success({ id: 'a', keyHash: 'k', sentAtMs: NOW_MS - 1 }))).toEqual(NOTHING);
      await opened.change('a', { state: 'dead', updatedAtMs: 1 });
      expect(await marksOf(opened, 'a', 'b')).toEqual(['b', null]);
    });

    it('§9: purges what matches, but nothing that runs', async () => {
      const opened = await store(
        dead({ id: 'a', body: Buffer.from('person@example.com') }),
        dead({ id: 'b', body: Buffer.from('other') }),
        dead({ id: 'c', body: Buffer.from('person@example.com') }),
      );
      await opened.change('c', { state: 'redriving', updatedAtMs: 1 });
      expect(await opened.purgeDead({ match: 'Person@Example' })).toBe(1);
      expect(await ids(opened, {})).toEqual(['c', 'b']);
    });

    it('§9: evicts by age, then the settled, the permanent and the rest, the oldest first', async () => {
      const opened = await store(
        dead({ id: 'old', deadAtMs: NOW_MS - 1 }),
        dead({ id: 'a' }),
        dead({ id: 'permanent', deadReason: 'permanent' }),
        dead({ id: 'b' }),
        dead({ id: 'settled' }),
      );
      await opened.change('settled', { state: 'discarded', updatedAtMs: 1 });
      expect(await opened.evictable(LOOSE, 10)).toEqual([]);
      expect(await opened.evictable({ ...LOOSE, beforeMs: NOW_MS }, 10)).toEqual([{ id: 'old', why: 'age' }]);
      const rest = await opened.evictable({ ...LOOSE, maxEntries: 1 }, 10);
      expect(rest.map(({ id }) => id)).toEqual(['settled', 'permanent', 'old', 'a']);
      expect(await opened.evict(['settled', 'old', 'gone'])).toBe(2);
      expect(await ids(opened, {})).toEqual(['b', 'permanent', 'a']);
    });
  });
}

const NOTHING = { superseded: null, maybe: null };
