import { describe, expect, test } from 'vitest';
import { compileQuery, QueryError } from '../../src/simulator/entities/search.ts';
import { call, started } from './support.ts';

const doc = {
  id: '1',
  email: 'Ann@X.example',
  created_at: 100,
  custom_attributes: { plan: 'pro' },
  owner: null,
  ids: ['a', 'b'],
};
const fits = (query: unknown): boolean => compileQuery(query, {})(doc);

describe('search', () => {
  test.each([
    ['email', '=', 'ann@x.example', true],
    ['email', '!=', 'ann@x.example', false],
    ['email', 'IN', ['q', 'ann@x.example'], true],
    ['email', 'NIN', ['q'], true],
    ['email', '~', 'x.EX', true],
    ['email', '!~', 'x.ex', false],
    ['email', '^', 'ann', true],
    ['email', '$', '.example', true],
    ['created_at', '>', 99, true],
    ['created_at', '<', '100', false],
    ['custom_attributes.plan', '=', 'pro', true],
    ['custom_attributes.none.deep', '=', 'pro', false],
    ['owner', '=', null, true],
    ['owner', '!=', null, false],
    ['ids', '=', 'b', true],
    ['ids', 'NIN', ['b'], false],
  ])('%s %s %j is %s', (field, operator, value, expected) => {
    expect(fits({ field, operator, value })).toBe(expected);
  });

  test('groups nest twice and hold fifteen filters; more is refused, as are unknown operators', () => {
    const leaf = { field: 'email', operator: '^', value: 'ann' };
    expect(fits({ operator: 'AND', value: [leaf, { operator: 'OR', value: [leaf] }] })).toBe(true);
    const deep = { operator: 'AND', value: [{ operator: 'OR', value: [{ operator: 'AND', value: [leaf] }] }] };
    expect(() => fits(deep)).toThrow(QueryError);
    expect(() => fits({ operator: 'AND', value: Array.from({ length: 16 }, () => leaf) })).toThrow(QueryError);
    expect(() => fits({ field: 'created_at', operator: '>=', value: 1 })).toThrow("'>=' is not a valid operator");
  });

  test('cursors visit every entity once, also when one is created meanwhile', async () => {
    const simulator = await started();
    for (let i = 0; i < 7; i++) await call(simulator, 'POST /contacts', { external_id: `c${i}` });
    const query = { field: 'created_at', operator: '>', value: 0 };
    const seen: string[] = [];
    let startingAfter: string | undefined;
    for (let page = 1; page <= 3; page++) {
      const { json } = await call(simulator, 'POST /contacts/search', {
        query,
        sort: { field: 'created_at', order: 'ascending' },
        pagination: { per_page: 3, ...(startingAfter === undefined ? {} : { starting_after: startingAfter }) },
      });
      seen.push(...json.data.map((contact: { external_id: string }) => contact.external_id));
      expect(json.pages).toMatchObject({ type: 'pages', page, per_page: 3 });
      startingAfter = json.pages.next?.starting_after;
      if (page === 1) await call(simulator, 'POST /contacts', { external_id: 'c7' });
    }
    expect(startingAfter).toBeUndefined();
    expect(seen).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7']);
  });

  test('a cursor or a page size that cannot be is a 400', async () => {
    const simulator = await started();
    const query = { field: 'id', operator: '=', value: 'x' };
    const bad = await call(simulator, 'POST /contacts/search', { query, pagination: { starting_after: 'nonsense' } });
    expect(bad.json.errors).toEqual([{ code: 'client_error', message: 'Invalid starting_after param' }]);
    expect((await call(simulator, 'POST /contacts/search', { query, pagination: { per_page: 151 } })).status).toBe(400);
    expect((await call(simulator, 'GET /contacts?per_page=0')).status).toBe(400);
    expect((await call(simulator, 'POST /contacts/search', {})).json.errors[0].code).toBe('parameter_invalid');
  });
});
