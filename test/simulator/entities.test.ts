import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { call, started } from './support.ts';

async function newContact(simulator: Simulator): Promise<string> {
  return (await call(simulator, 'POST /contacts', { email: 'c@x.example' })).json.id as string;
}

describe('companies', () => {
  test('the same company_id again updates, another creates', async () => {
    const simulator = await started();
    const first = await call(simulator, 'POST /companies', { company_id: 'acme', name: 'Acme' });
    const second = await call(simulator, 'POST /companies', { company_id: 'acme', plan: 'pro' });
    expect(second.json).toMatchObject({ id: first.json.id, name: 'Acme', plan: 'pro' });
    expect((await call(simulator, 'GET /companies?company_id=acme')).json.id).toBe(first.json.id);
    expect(simulator.effects().map((effect) => effect.kind)).toEqual(['create', 'update']);
    expect(simulator.stats().duplicates).toBe(0);
    expect((await call(simulator, 'GET /companies/none')).json.errors[0].code).toBe('company_not_found');
  });

  test('a second scroll is scroll_exists until the first was idle for a minute or has ended', async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, wall: () => 1_800_000_000_000 + nowMs, timer: () => () => {} };
    const simulator = await started({ clock });
    for (let i = 0; i < 101; i++) await call(simulator, 'POST /companies', { company_id: `c${i}` });
    const first = (await call(simulator, 'GET /companies/scroll')).json;
    expect(first.data).toHaveLength(100);
    const second = await call(simulator, 'GET /companies/scroll');
    expect(second.status).toBe(400);
    expect(second.json.errors[0].code).toBe('scroll_exists');
    const next = `GET /companies/scroll?scroll_param=${first.scroll_param}`;
    expect((await call(simulator, next)).json.data).toHaveLength(1);
    nowMs += 60_000;
    expect((await call(simulator, next)).status).toBe(404);
    const again = (await call(simulator, 'GET /companies/scroll')).json;
    const rest = `GET /companies/scroll?scroll_param=${again.scroll_param}`;
    await call(simulator, rest);
    expect((await call(simulator, rest)).json.data).toEqual([]);
    expect((await call(simulator, 'GET /companies/scroll')).status).toBe(200);
  });

  test('are attached to contacts, a set', async () => {
    const simulator = await started();
    const contact = await newContact(simulator);
    const company = (await call(simulator, 'POST /companies', { company_id: 'acme' })).json.id;
    await call(simulator, `POST /contacts/${contact}/companies`, { id: company });
    await call(simulator, `POST /contacts/${contact}/companies`, { id: company });
    expect((await call(simulator, `GET /contacts/${contact}/companies`)).json.data).toHaveLength(1);
    await call(simulator, `DELETE /contacts/${contact}/companies/${company}`);
    expect((await call(simulator, `GET /contacts/${contact}/companies`)).json.data).toEqual([]);
  });
});

describe('conversations', () => {
  test('are created, answered, closed, searched and read with their parts', async () => {
    const simulator = await started();
    const contact = await newContact(simulator);
    const created = await call(simulator, 'POST /conversations', { from: { type: 'user', id: contact }, body: 'Help' });
    const id = created.json.conversation_id;
    const reply = { message_type: 'comment', type: 'admin', admin_id: '814860', body: 'Hello' };
    const answered = await call(simulator, `POST /conversations/${id}/reply`, reply);
    expect(answered.json.conversation_parts.conversation_parts[0]).toMatchObject({
      part_type: 'comment',
      body: '<p>Hello</p>',
    });
    await call(simulator, `POST /conversations/${id}/parts`, {
      message_type: 'close',
      type: 'admin',
      admin_id: '814860',
    });
    const read = (await call(simulator, `GET /conversations/${id}`)).json;
    expect(read).toMatchObject({ state: 'closed', conversation_parts: { total_count: 2 } });
    const query = {
      operator: 'AND',
      value: [
        { field: 'contact_ids', operator: '=', value: contact },
        { field: 'source.body', operator: '~', value: 'help' },
      ],
    };
    const search = (await call(simulator, 'POST /conversations/search', { query })).json;
    expect(search).toMatchObject({ type: 'conversation.list', total_count: 1 });
    expect(search.conversations[0].conversation_parts).toBeUndefined();
  });

  test('an equal reply again is a second reply, and a duplicate in the ledger', async () => {
    const simulator = await started();
    const contact = await newContact(simulator);
    const { conversation_id: id } = (
      await call(simulator, 'POST /conversations', { from: { type: 'user', id: contact }, body: 'x' })
    ).json;
    const reply = { message_type: 'comment', type: 'user', intercom_user_id: contact, body: 'twice' };
    await call(simulator, `POST /conversations/${id}/reply`, reply);
    await call(simulator, `POST /conversations/${id}/reply`, reply);
    expect((await call(simulator, `GET /conversations/${id}`)).json.conversation_parts.total_count).toBe(2);
    expect(simulator.stats().duplicates).toBe(1);
  });
});

describe('events', () => {
  test('are answered 202 without a body, and repeats with the same created_at have no second effect', async () => {
    const simulator = await started();
    const id = await newContact(simulator);
    const event = { event_name: 'signed-up', created_at: 1_800_000_000, email: 'c@x.example' };
    const answers = [await call(simulator, 'POST /events', event), await call(simulator, 'POST /events', event)];
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [202, ''],
      [202, ''],
    ]);
    await call(simulator, 'POST /events', { ...event, created_at: 1_800_000_001 });
    const list = (await call(simulator, `GET /events?type=user&intercom_user_id=${id}`)).json;
    expect(list.events.map((one: { created_at: number }) => one.created_at)).toEqual([1_800_000_001, 1_800_000_000]);
    expect(simulator.stats().operations['POST /events']).toEqual({ requests: 3, effects: 2 });
    expect((await call(simulator, 'POST /events', { ...event, email: 'no@x.example' })).status).toBe(404);
  });

  test('lists page backwards', async () => {
    const simulator = await started();
    const id = await newContact(simulator);
    for (let i = 1; i <= 3; i++) await call(simulator, 'POST /events', { id, event_name: 'e', created_at: i });
    const first = (await call(simulator, `GET /events?type=user&intercom_user_id=${id}&per_page=2`)).json;
    expect(first.events).toHaveLength(2);
    expect((await call(simulator, `GET ${first.pages.next}`)).json.events).toHaveLength(1);
  });
});

describe('notes, tags, admins and tickets', () => {
  test('two equal notes are two notes', async () => {
    const simulator = await started();
    const id = await newContact(simulator);
    const note = { body: 'called', admin_id: 814860 };
    const first = (await call(simulator, `POST /contacts/${id}/notes`, note)).json;
    await call(simulator, `POST /contacts/${id}/notes`, note);
    expect((await call(simulator, `GET /contacts/${id}/notes`)).json).toMatchObject({ total_count: 2 });
    expect((await call(simulator, `GET /notes/${first.id}`)).json.body).toBe('<p>called</p>');
    expect((await call(simulator, `POST /contacts/${id}/notes`, { body: 'x', admin_id: 1 })).json.errors[0].code).toBe(
      'admin_not_found',
    );
    const company = (await call(simulator, 'POST /companies', { company_id: 'a' })).json.id;
    expect((await call(simulator, `POST /companies/${company}/notes`, { body: 'hi' })).json.company.id).toBe(company);
  });

  test('a tag is made once by name and is on a contact or a conversation once', async () => {
    const simulator = await started();
    const id = await newContact(simulator);
    const tag = (await call(simulator, 'POST /tags', { name: 'vip' })).json.id;
    expect((await call(simulator, 'POST /tags', { name: 'vip' })).json.id).toBe(tag);
    const { conversation_id: conversation } = (
      await call(simulator, 'POST /conversations', { from: { type: 'user', id }, body: 'x' })
    ).json;
    for (const path of [`/contacts/${id}/tags`, `/conversations/${conversation}/tags`]) {
      await call(simulator, `POST ${path}`, { id: tag });
      await call(simulator, `POST ${path}`, { id: tag });
    }
    expect((await call(simulator, `GET /contacts/${id}/tags`)).json.data).toHaveLength(1);
    expect((await call(simulator, `GET /conversations/${conversation}`)).json.tags.tags).toHaveLength(1);
    await call(simulator, `DELETE /contacts/${id}/tags/${tag}`);
    expect((await call(simulator, `DELETE /contacts/${id}/tags/${tag}`)).json.errors[0].code).toBe('tag_not_found');
    expect((await call(simulator, `POST /contacts/${id}/tags`, { id: 'none' })).status).toBe(404);
  });

  test('me and the admins answer', async () => {
    const simulator = await started();
    expect((await call(simulator, 'GET /me')).json).toMatchObject({ type: 'admin', app: { type: 'app' } });
    expect((await call(simulator, 'GET /admins')).json.admins).toHaveLength(2);
    expect((await call(simulator, 'GET /admins/1')).status).toBe(404);
  });

  test('tickets are created, answered and found', async () => {
    const simulator = await started();
    const id = await newContact(simulator);
    const ticket = { ticket_type_id: '1', contacts: [{ id }], ticket_attributes: { _default_title_: 'Broken' } };
    const created = (await call(simulator, 'POST /tickets', ticket)).json;
    await call(simulator, `POST /tickets/${created.id}/reply`, { type: 'admin', admin_id: '814860', body: 'On it' });
    await call(simulator, `PUT /tickets/${created.id}`, { open: false });
    const read = (await call(simulator, `GET /tickets/${created.id}`)).json;
    expect(read).toMatchObject({ open: false, ticket_parts: { total_count: 1 } });
    const query = { field: 'contact_ids', operator: '=', value: id };
    expect((await call(simulator, 'POST /tickets/search', { query })).json).toMatchObject({
      type: 'ticket.list',
      total_count: 1,
    });
    expect((await call(simulator, 'POST /tickets', { ...ticket, ticket_type_id: '9' })).json.errors[0].code).toBe(
      'invalid_ticket_type',
    );
  });

  test('what is not served is a 404, also a wrong method, and no token is a 401', async () => {
    const simulator = await started();
    expect((await call(simulator, 'GET /nothing')).json.errors[0].code).toBe('not_found');
    expect((await call(simulator, 'PATCH /contacts')).status).toBe(404);
    const anonymous = await fetch(`${simulator.url}/me`);
    expect(anonymous.status).toBe(401);
    expect(await anonymous.json()).toMatchObject({
      errors: [{ code: 'unauthorized', message: 'Access Token Invalid' }],
    });
    const head = await fetch(`${simulator.url}/me`, { method: 'HEAD', headers: { authorization: 'Bearer x' } });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });
});
