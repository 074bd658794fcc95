import { describe, expect, test } from 'vitest';
import endpoints from '../fixtures/intercom-endpoints.json' with { type: 'json' };
import { CREATES, createNamed, targetOf } from './creates.ts';
import { call, started } from './support.ts';

test('every create of the map is here, once', () => {
  const known = endpoints.endpoints.filter((one) => one.class === 'create').map((one) => `${one.method} ${one.path}`);
  expect(CREATES.map((one) => one.name).toSorted()).toEqual(known.toSorted());
});

describe('a create has one effect and answers in its shape', () => {
  test.each(CREATES)('$name', async (create) => {
    const simulator = await started();
    const parents = await create.parents(simulator);
    const before = simulator.effects().length;
    const line = `POST ${targetOf(create, parents)}`;
    const got = await call(simulator, line, create.body('m1', parents));
    expect(got.status, got.text).toBeLessThan(300);
    if (create.answer.length > 0) expect(Object.keys(got.json)).toEqual(expect.arrayContaining([...create.answer]));
    const effects = simulator.effects().slice(before);
    expect(effects).toMatchObject([{ operation: create.name, kind: 'create' }]);
  });
});

/** Statuses of the same create twice, and how many effects that had. */
async function twice(name: string, body: object): Promise<number[]> {
  const simulator = await started();
  const statuses: number[] = [];
  for (let i = 0; i < 2; i++) statuses.push((await call(simulator, `POST ${name}`, body)).status);
  return [...statuses, simulator.effects().length];
}

describe('what the upstream itself refuses or drops', () => {
  test('a second redirect from the same URL is a resource_conflict', async () => {
    const body = { from_url: 'https://h.example/a', locale: 'en', target_type: 'article', target_id: '1' };
    expect(await twice('/help_center/help_centers/7/redirects', body)).toEqual([200, 409, 1]);
  });

  test('a second data attribute of a model and name is refused', async () => {
    const body = { name: 'plan', model: 'company', data_type: 'string' };
    expect(await twice('/data_attributes', body)).toEqual([200, 400, 1]);
  });

  test('a second registration of a call is a 409', async () => {
    expect(await twice('/fin_voice/register', { call_id: 'c', phone_number: '+1' })).toEqual([200, 409, 1]);
  });

  test('a repeated timestamp is dropped by Fin, and answered as the first', async () => {
    const body = { conversation_id: 'c', message: { body: 'Hi', timestamp: 't' }, user: { id: 'u' } };
    expect(await twice('/fin/start', body)).toEqual([200, 200, 1]);
  });

  test('one content export is pending at a time, five of reports; a cancelled one makes room', async () => {
    expect(await twice('/export/content/data', { created_at_after: 1, created_at_before: 2 })).toEqual([200, 429, 1]);
    const simulator = await started();
    const body = { created_at_after: 1, created_at_before: 2 };
    const job = (await call(simulator, 'POST /export/content/data', body)).json.job_identifier as string;
    await call(simulator, `POST /export/cancel/${job}`);
    expect((await call(simulator, `GET /export/content/data/${job}`)).json.status).toBe('canceled');
    expect((await call(simulator, 'POST /export/content/data', body)).status).toBe(200);
  });

  test('a conversation is converted once, and shows its ticket', async () => {
    const simulator = await started();
    const [id] = await createNamed('POST /conversations/{conversation_id}/convert').parents(simulator);
    const first = await call(simulator, `POST /conversations/${id}/convert`, { ticket_type_id: '1' });
    expect((await call(simulator, `GET /conversations/${id}`)).json.ticket.id).toBe(first.json.id);
    expect((await call(simulator, `POST /conversations/${id}/convert`, { ticket_type_id: '1' })).status).toBe(400);
  });
});

describe('lists', () => {
  test('are paged by number, newest first where that is documented', async () => {
    const simulator = await started();
    for (const name of ['a', 'b', 'c']) await call(simulator, 'POST /help_center/collections', { name });
    const page = (await call(simulator, 'GET /help_center/collections?per_page=2')).json;
    expect(page.data.map((one: { name: string }) => one.name)).toEqual(['c', 'b']);
    expect(page).toMatchObject({ total_count: 3, pages: { page: 1, per_page: 2, total_pages: 2 } });
    const rest = (await call(simulator, 'GET /help_center/collections?per_page=2&page=2')).json;
    expect(rest.data.map((one: { name: string }) => one.name)).toEqual(['a']);
  });

  test('show text as HTML', async () => {
    const simulator = await started();
    const contact = (await call(simulator, 'POST /contacts', { external_id: 'x' })).json.id as string;
    await call(simulator, `POST /contacts/${contact}/notes`, { body: 'Q&A < 5' });
    const notes = (await call(simulator, `GET /contacts/${contact}/notes`)).json;
    expect(notes.data[0].body).toBe('<p>Q&amp;A &lt; 5</p>');
  });

  test('an article is in the list at once, and in the search after the lag', async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, wall: () => 1_800_000_000_000 + nowMs, timer: () => () => {} };
    const simulator = await started({ clock, scenario: { search_lag: '2m' } });
    await call(simulator, 'POST /articles', { title: 'Lost and found', author_id: 814860 });
    expect((await call(simulator, 'GET /articles')).json.data).toHaveLength(1);
    const found = async (): Promise<number> =>
      (await call(simulator, 'GET /articles/search?phrase=lost%20found')).json.data.articles.length as number;
    expect(await found()).toBe(0);
    nowMs += 120_000;
    expect(await found()).toBe(1);
  });
});
