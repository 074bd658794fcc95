import { IntercomClient, IntercomError } from 'intercom-client';
import { expect, test } from 'vitest';
import { started } from './support.ts';

test('the official SDK finds an Intercom: contacts, pages of a search, events, errors with their type', async () => {
  const simulator = await started();
  const client = new IntercomClient({ token: 'test', baseUrl: simulator.url });
  const { id } = await client.contacts.create({ email: 'sdk@x.example', external_id: 'sdk-1' });
  expect((await client.contacts.update({ contact_id: id, name: 'S' })).name).toBe('S');
  const query = { field: 'email', operator: '=' as const, value: 'sdk@x.example' };
  expect((await client.contacts.search({ query })).data.map((contact) => contact.id)).toEqual([id]);
  await client.events.create({ event_name: 'e', created_at: 1_800_000_000, user_id: 'sdk-1' });
  expect(simulator.stats().operations['POST /events']?.effects).toBe(1);
  for (let i = 0; i < 5; i++) await client.conversations.create({ from: { type: 'user', id: id }, body: `c${i}` });
  const page = await client.conversations.search({
    query: { field: 'created_at', operator: '>', value: '0' },
    pagination: { per_page: 2 },
  });
  const seen: (string | undefined)[] = [];
  for await (const conversation of page) seen.push(conversation.id);
  expect(new Set(seen).size).toBe(5);
  expect(simulator.stats().operations['POST /conversations/search']?.requests).toBe(3);
  await expect(client.contacts.find({ contact_id: 'none' })).rejects.toThrow(IntercomError);
  await expect(client.contacts.create({ email: 'sdk@x.example' })).rejects.toMatchObject({ statusCode: 409 });
});
