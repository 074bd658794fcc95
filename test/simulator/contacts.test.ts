import { describe, expect, test } from 'vitest';
import { call, started } from './support.ts';

describe('contacts', () => {
  test('a second user with the same e-mail address or external id is a conflict that names the first', async () => {
    const simulator = await started();
    const first = await call(simulator, 'POST /contacts', { email: 'Ann@x.example', external_id: '7' });
    expect(first.status).toBe(200);
    expect(first.json).toMatchObject({ type: 'contact', role: 'user', external_id: '7' });
    for (const body of [{ email: 'ann@x.example' }, { external_id: '7' }, { external_id: '7', role: 'lead' }]) {
      const second = await call(simulator, 'POST /contacts', body);
      expect(second.status).toBe(409);
      expect(second.json.request_id).toBe(second.headers.get('x-request-id'));
      expect(second.json.errors).toEqual([
        { code: 'conflict', message: `A contact matching those details already exists with id=${first.json.id}` },
      ]);
    }
    expect(simulator.effects()).toHaveLength(1);
  });

  test('an archived contact conflicts in its own words and is hidden from search', async () => {
    const simulator = await started();
    const { json } = await call(simulator, 'POST /contacts', { email: 'a@x.example' });
    const archived = await call(simulator, `POST /contacts/${json.id}/archive`);
    expect(archived.json).toMatchObject({ id: json.id, archived: true });
    const again = await call(simulator, 'POST /contacts', { email: 'a@x.example' });
    expect(again.json.errors[0].message).toBe(
      `An archived contact matching those details already exists with id=${json.id}`,
    );
    const query = { field: 'email', operator: '=', value: 'a@x.example' };
    expect((await call(simulator, 'POST /contacts/search', { query })).json.data).toEqual([]);
    await call(simulator, `POST /contacts/${json.id}/unarchive`);
    expect((await call(simulator, 'POST /contacts/search', { query })).json.data).toHaveLength(1);
  });

  test('leads are not unique by e-mail address, and the ledger calls the second a duplicate', async () => {
    const simulator = await started();
    const lead = { role: 'lead', email: 'l@x.example' };
    const [a, b] = [await call(simulator, 'POST /contacts', lead), await call(simulator, 'POST /contacts', lead)];
    expect(a.json.id).not.toBe(b.json.id);
    expect(simulator.stats()).toMatchObject({ duplicates: 1, duplicateKeys: ['POST /contacts email=l@x.example'] });
    expect(simulator.effects().map((effect) => effect.attempt)).toEqual([1, 2]);
  });

  test('are read, updated, found by external id and deleted', async () => {
    const simulator = await started();
    const { id } = (await call(simulator, 'POST /contacts', { external_id: 'a/b', name: 'A' })).json;
    const updated = await call(simulator, `PUT /contacts/${id}`, { name: 'B', custom_attributes: { plan: 'pro' } });
    expect(updated.json).toMatchObject({ id, name: 'B', custom_attributes: { plan: 'pro' } });
    expect((await call(simulator, 'GET /contacts/find_by_external_id/a%2Fb')).json.id).toBe(id);
    expect((await call(simulator, `DELETE /contacts/${id}`)).json).toMatchObject({ id, deleted: true });
    expect((await call(simulator, `GET /contacts/${id}`)).json.errors[0].code).toBe('not_found');
    expect((await call(simulator, `DELETE /contacts/${id}`)).status).toBe(404);
    expect((await call(simulator, 'POST /contacts', { external_id: 'a/b' })).status).toBe(200);
  });

  test('an update may not take the identity of another', async () => {
    const simulator = await started();
    const { id } = (await call(simulator, 'POST /contacts', { email: 'a@x.example' })).json;
    await call(simulator, 'POST /contacts', { email: 'b@x.example' });
    expect((await call(simulator, `PUT /contacts/${id}`, { email: 'b@x.example' })).status).toBe(409);
    expect((await call(simulator, `PUT /contacts/${id}`, { email: 'a@x.example' })).status).toBe(200);
    await call(simulator, `PUT /contacts/${id}`, { email: 'c@x.example' });
    expect((await call(simulator, 'POST /contacts', { email: 'a@x.example' })).status).toBe(200);
  });

  test('a merged lead answers 410 with a link to the user', async () => {
    const simulator = await started();
    const from = (await call(simulator, 'POST /contacts', { role: 'lead', external_id: 'l1' })).json.id;
    const into = (await call(simulator, 'POST /contacts', { email: 'u@x.example' })).json.id;
    expect((await call(simulator, 'POST /contacts/merge', { from: into, into: from })).json.errors[0].code).toBe(
      'invalid_merge',
    );
    expect((await call(simulator, 'POST /contacts/merge', { from, into })).json.id).toBe(into);
    for (const path of [`/contacts/${from}`, '/contacts/find_by_external_id/l1']) {
      const gone = await call(simulator, `GET ${path}`);
      expect(gone.status).toBe(410);
      expect(gone.headers.get('link')).toBe(`</contacts/${into}>; rel="canonical"`);
      expect(gone.json.errors[0].code).toBe('contact_merged');
    }
  });

  test('search sees a change only after the index lag', async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, wall: () => 1_800_000_000_000 + nowMs, timer: () => () => {} };
    const simulator = await started({ clock, scenario: { search_lag: '2m' } });
    await call(simulator, 'POST /contacts', { role: 'lead', email: 'late@x.example' });
    const search = async (): Promise<number> => {
      const query = { field: 'email', operator: '=', value: 'late@x.example' };
      return (await call(simulator, 'POST /contacts/search', { query })).json.total_count as number;
    };
    expect(await search()).toBe(0);
    nowMs += 119_999;
    expect(await search()).toBe(0);
    nowMs += 1;
    expect(await search()).toBe(1);
  });

  test('a body that is not a JSON object is a 400, and nothing to identify by is one too', async () => {
    const simulator = await started();
    expect((await call(simulator, 'POST /contacts', '{"email":')).json.errors[0].code).toBe('parameter_invalid');
    expect((await call(simulator, 'POST /contacts', '[1]')).status).toBe(400);
    expect((await call(simulator, 'POST /contacts', { name: 'x' })).json.errors[0].code).toBe('parameter_missing');
    expect(simulator.effects()).toEqual([]);
  });
});
