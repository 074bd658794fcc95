import { readFileSync } from 'node:fs';
import jsonata from 'jsonata';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { INPUT_CODES } from '../../src/core/error-body.ts';
import facts from '../fixtures/intercom-endpoints.json' with { type: 'json' };

interface When {
  status?: number | string | (number | string)[];
  code?: string | string[];
  message?: string;
  body?: string;
  failure?: string[];
  after_unknown?: boolean;
}
interface Entry {
  when: When;
  verdict: string;
  reason?: string;
  retry_after?: string;
  pauses?: string;
}
interface Row {
  match: string;
  class: string;
  answer: string | Record<string, string | boolean>;
  whole?: string;
  timeout?: Record<string, string>;
  errors?: Entry[];
  idempotent_if?: string;
  guarded_by?: string;
  guarded_for?: string;
}

const map = parse(readFileSync(new URL('../../config/intercom.yaml', import.meta.url), 'utf8')) as {
  operations: Row[];
  generic: Entry[];
};
const rows = new Map(map.operations.map((row) => [row.match, row]));
const CLASS: Record<string, string> = { read: 'read', idempotent_write: 'idempotent', create: 'create' };
const list = <T>(value: T | T[] | undefined): T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

const covers = (wide: (number | string)[], narrow: (number | string)[]) =>
  wide.length === 0 ||
  (narrow.length > 0 &&
    narrow.every((one) => wide.some((each) => each === one || String(each) === `${String(one)[0]}xx`)));

/** Whether everything that `later` matches is matched by `earlier` already. */
function shadows(earlier: When, later: When): boolean {
  if (earlier.after_unknown && !later.after_unknown) return false;
  if (earlier.message !== undefined && earlier.message !== later.message) return false;
  if (earlier.body !== undefined && earlier.body !== later.body) return false;
  if (!covers(list(earlier.code), list(later.code))) return false;
  if (!covers(list(earlier.failure), list(later.failure))) return false;
  if (list(later.failure).length > 0 && list(earlier.failure).length === 0) return false;
  return covers(list(earlier.status), list(later.status));
}

const open = (entry: Entry) =>
  list(entry.when.status).some((status) => status === 408 || String(status).startsWith('5'));

const holds = async (match: string, key: 'guarded_by' | 'idempotent_if', body: unknown) =>
  (await jsonata(rows.get(match)?.[key] ?? 'null').evaluate(body)) === true;

describe('the shipped map covers the API', () => {
  it('names each of the 231 operations of the facts once, and nothing else', () => {
    const named = facts.endpoints.map(({ method, path }) => `${method} ${path}`);
    expect(named).toHaveLength(231);
    expect(map.operations.map((row) => row.match).sort()).toEqual(named.sort());
  });

  it('gives each operation the class of the facts, and an upsert with a condition is a create without it', () => {
    for (const { method, path, class: factClass, caveat } of facts.endpoints) {
      const row = rows.get(`${method} ${path}`);
      const expected = row?.idempotent_if === undefined ? CLASS[factClass] : 'create';
      expect(row?.class, `${method} ${path}`).toBe(expected);
      if (caveat?.includes('absent treat as create')) expect(row?.idempotent_if, path).toMatch(/^\$boolean\(\w+\)$/);
    }
  });

  it('no two templates claim the same path', () => {
    const shapes = map.operations.map((row) => row.match.replace(/\{\w+\}/g, '{}'));
    expect(new Set(shapes).size).toBe(shapes.length);
  });

  it('only known keys stand in rows and entries', () => {
    const rowKeys =
      'match class answer answer_id stamp natural_key reconcile whole timeout errors idempotent_if guarded_by guarded_for'.split(
        ' ',
      );
    for (const row of map.operations) {
      expect(rowKeys).toEqual(expect.arrayContaining(Object.keys(row)));
      expect(['read', 'idempotent', 'create']).toContain(row.class);
    }
    for (const entry of [...map.generic, ...map.operations.flatMap((row) => row.errors ?? [])]) {
      expect('when verdict reason retry_after pauses dead_letter'.split(' ')).toEqual(
        expect.arrayContaining(Object.keys(entry)),
      );
      expect('status code message body failure after_unknown'.split(' ')).toEqual(
        expect.arrayContaining(Object.keys(entry.when)),
      );
      expect(['ok', 'throttled', 'transient', 'permanent', 'unauthorized']).toContain(entry.verdict);
      for (const pattern of [entry.when.message, entry.when.body])
        expect(() => new RegExp(pattern ?? '', 'u')).not.toThrow();
    }
  });

  it('every parameter of an answer template stands in its path', () => {
    for (const row of map.operations) {
      if (typeof row.answer === 'string') {
        expect(['json', 'empty', 'any']).toContain(row.answer);
        continue;
      }
      for (const value of Object.values(row.answer)) {
        for (const [name] of String(value).matchAll(/\{\w+\}/g)) expect(row.match).toContain(name);
      }
    }
  });
});

describe('§1: the entries', () => {
  it('no entry is shadowed by one before it', () => {
    for (const errors of [map.generic, ...map.operations.map((row) => row.errors ?? [])]) {
      errors.forEach((later, at) => {
        const before = errors.slice(0, at).find((earlier) => shadows(earlier.when, later.when));
        expect(before, JSON.stringify(later)).toBeUndefined();
      });
    }
  });

  it('the check itself sees a shadow', () => {
    expect(shadows({ status: 409 }, { status: 409, code: 'conflict' })).toBe(true);
    expect(shadows({ status: '4xx' }, { status: [404, 409] })).toBe(true);
    expect(shadows({ status: 409, message: 'a' }, { status: 409 })).toBe(false);
    expect(shadows({ status: 404, after_unknown: true }, { status: 404 })).toBe(false);
  });

  it('no create is retried on an answer that leaves its effect open', () => {
    for (const row of map.operations.filter((each) => each.class === 'create')) {
      const risky = (row.errors ?? []).filter(
        (entry) => ['transient', 'throttled'].includes(entry.verdict) && open(entry),
      );
      expect(risky, row.match).toEqual([]);
    }
  });

  it('`ok` is said only after an unknown outcome, and only of an error', () => {
    const entries = [...map.generic, ...map.operations.flatMap((row) => row.errors ?? [])];
    for (const entry of entries.filter((each) => each.verdict === 'ok')) {
      expect(entry.when.after_unknown, JSON.stringify(entry)).toBe(true);
      for (const status of list(entry.when.status)) expect(Number(status)).toBeGreaterThanOrEqual(400);
    }
  });

  it('every DELETE takes the 404 of its repeat for success', () => {
    for (const row of map.operations.filter((each) => each.match.startsWith('DELETE '))) {
      expect(row.errors?.[0], row.match).toMatchObject({ when: { status: 404, after_unknown: true }, verdict: 'ok' });
    }
  });

  it('the codes that blame the input are those that the classifier knows', () => {
    const row = map.generic.find((entry) => entry.reason === 'input_refused');
    expect(new Set(list(row?.when.code))).toEqual(INPUT_CODES);
  });

  it('a reason is a bounded name', () => {
    for (const entry of [...map.generic, ...map.operations.flatMap((row) => row.errors ?? [])]) {
      if (entry.reason !== undefined) expect(entry.reason).toMatch(/^[a-z][a-z0-9_]{1,40}$/);
    }
  });
});

describe('§7: what a request makes of a create', () => {
  it.each([
    [{ external_id: 'x' }, true],
    [{ email: 'a@b.c' }, true],
    [{ email: 'a@b.c', role: 'user' }, true],
    [{ email: 'a@b.c', role: 'lead' }, false],
    [{ external_id: 'x', role: 'lead' }, true],
    [{ name: 'only a name' }, false],
    [{ email: '' }, false],
    [{}, false],
  ])('a contact %j is guarded: %s', async (body, expected) => {
    expect(await holds('POST /contacts', 'guarded_by', body)).toBe(expected);
  });

  it.each([
    ['POST /companies', { company_id: '6' }, { name: 'x' }],
    ['POST /custom_object_instances/{custom_object_type_identifier}', { external_id: '6' }, { custom_attributes: {} }],
    ['POST /ai/external_pages', { source_id: 1, external_id: '6' }, { source_id: 1 }],
  ])('%s is an upsert with its key only', async (match, keyed, bare) => {
    expect(await holds(match, 'idempotent_if', keyed)).toBe(true);
    expect(await holds(match, 'idempotent_if', bare)).toBe(false);
  });

  it('fin is guarded by its timestamp, for five minutes', async () => {
    for (const match of ['POST /fin/start', 'POST /fin/reply']) {
      expect(rows.get(match)?.guarded_for).toBe('5m');
      expect(await holds(match, 'guarded_by', { conversation_id: 'c', message: { timestamp: 't' } })).toBe(true);
      expect(await holds(match, 'guarded_by', { conversation_id: 'c', message: {} })).toBe(false);
    }
  });
});
