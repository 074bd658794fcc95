import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { liveContact, noContact, saveContact } from './contacts.ts';
import { noConversation, saveConversation } from './conversation-document.ts';

/** Tags: created or updated by name, and put on contacts and conversations (a set: twice is once). */
export function tagRoutes(world: World): Route[] {
  const contact = (call: Call): Document | null => liveContact(world, call.params[0]);
  const conversation = (call: Call): Document | null => world.conversations.get(call.params[0] as string) ?? null;
  const onContact: Tagged = {
    find: contact,
    missing: noContact,
    save: (doc) => saveContact(world, doc),
    field: 'data',
  };
  const onConversation: Tagged = {
    find: conversation,
    missing: noConversation,
    save: (doc) => saveConversation(world, doc),
    field: 'tags',
  };
  return [
    { name: 'POST /tags', run: (call) => upsert(world, call) },
    { name: 'GET /tags', run: () => json(200, { type: 'list', data: [...world.tags.values()] }) },
    { name: 'GET /tags/{tag_id}', run: (call) => read(world, call) },
    { name: 'DELETE /tags/{tag_id}', run: (call) => remove(world, call) },
    { name: 'POST /contacts/{contact_id}/tags', run: (call) => attach(world, call, onContact) },
    { name: 'GET /contacts/{contact_id}/tags', run: (call) => listOf(call, contact(call)) },
    { name: 'DELETE /contacts/{contact_id}/tags/{tag_id}', run: (call) => detach(call, onContact) },
    { name: 'POST /conversations/{conversation_id}/tags', run: (call) => attach(world, call, onConversation) },
    { name: 'DELETE /conversations/{conversation_id}/tags/{tag_id}', run: (call) => detach(call, onConversation) },
  ];
}

interface Tagged {
  readonly find: (call: Call) => Document | null;
  readonly missing: (call: Call) => Answer;
  readonly save: (doc: Document) => void;
  /** The field of `tags` that carries the entries. */
  readonly field: 'data' | 'tags';
}

function noTag(call: Call): Answer {
  return error(call.requestId, 404, 'tag_not_found', 'Tag Not Found');
}

function upsert(world: World, call: Call): Answer {
  const { name, id } = call.body;
  if (typeof name !== 'string' || name === '')
    return error(call.requestId, 400, 'parameter_missing', 'name is required');
  const known =
    id === undefined ? [...world.tags.values()].find((tag) => tag['name'] === name) : world.tags.get(text(id));
  if (id !== undefined && known === undefined) return noTag(call);
  const tag: Document = { type: 'tag', id: known?.id ?? world.newNumber(), name, applied_at: null, applied_by: null };
  world.tags.set(tag.id, tag);
  call.effect(known === undefined ? 'create' : 'update', `name=${name}`, tag.id);
  return json(200, tag);
}

function read(world: World, call: Call): Answer {
  const tag = world.tags.get(call.params[0] as string);
  return tag === undefined ? noTag(call) : json(200, tag);
}

function remove(world: World, call: Call): Answer {
  const id = call.params[0] as string;
  if (!world.tags.delete(id)) return noTag(call);
  call.effect('delete', id, id);
  return { status: 200, headers: [], body: Buffer.alloc(0) };
}

function entriesOf(doc: Document, field: Tagged['field']): readonly Json[] {
  return (doc['tags'] as Record<string, readonly Json[]>)[field] ?? [];
}

function withTags(doc: Document, field: Tagged['field'], entries: readonly Json[]): Document {
  const count = field === 'data' ? { total_count: entries.length } : {};
  return { ...doc, tags: { ...(doc['tags'] as Json), ...count, [field]: entries } };
}

function attach(world: World, call: Call, where: Tagged): Answer {
  const doc = where.find(call);
  if (doc === null) return where.missing(call);
  const tag = world.tags.get(text(call.body['id']));
  if (tag === undefined) return noTag(call);
  const others = entriesOf(doc, where.field).filter((one) => one['id'] !== tag.id);
  where.save(
    withTags(doc, where.field, [...others, { type: 'tag', id: tag.id, name: tag['name'], url: `/tags/${tag.id}` }]),
  );
  call.effect('update', `${doc.id} + ${tag.id}`, doc.id);
  return json(200, tag);
}

function detach(call: Call, where: Tagged): Answer {
  const doc = where.find(call);
  if (doc === null) return where.missing(call);
  const tag = entriesOf(doc, where.field).find((one) => one['id'] === call.params[1]);
  if (tag === undefined) return noTag(call);
  where.save(
    withTags(
      doc,
      where.field,
      entriesOf(doc, where.field).filter((one) => one !== tag),
    ),
  );
  call.effect('update', `${doc.id} - ${text(tag['id'])}`, doc.id);
  return json(200, tag);
}

function listOf(call: Call, contact: Document | null): Answer {
  return contact === null ? noContact(call) : json(200, { type: 'list', data: entriesOf(contact, 'data') });
}
