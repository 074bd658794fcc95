import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { liveContact, noContact } from './contacts.ts';
import { newConversation, newPart, noConversation, saveConversation, withPart } from './conversation-document.ts';
import { type ListShape, listPage, searchPage } from './pages.ts';
import { adminOf } from './people.ts';
import type { Aliases } from './search.ts';

const LIST: ListShape = {
  type: 'conversation.list',
  entries: 'conversations',
  perPageDefault: 20,
  sortField: 'updated_at',
};

const ALIASES: Aliases = {
  contact_ids: (doc) => (doc['contacts'] as { contacts: readonly Json[] }).contacts.map((one) => one['id']),
  tag_ids: (doc) => (doc['tags'] as { tags: readonly Json[] }).tags.map((one) => one['id']),
};

/** Conversations, their replies and parts. Equal replies are two replies: the customer sees both. */
export function conversationRoutes(world: World): Route[] {
  return [
    { name: 'POST /conversations', run: (call) => create(world, call) },
    {
      name: 'POST /conversations/search',
      run: (call) => searchPage(call, world.conversationIndex.documents(), LIST, ALIASES),
    },
    { name: 'GET /conversations', run: (call) => listPage(call, world.conversationIndex.documents(), LIST) },
    { name: 'GET /conversations/{conversation_id}', run: (call) => read(world, call) },
    { name: 'PUT /conversations/{conversation_id}', run: (call) => update(world, call) },
    { name: 'DELETE /conversations/{conversation_id}', run: (call) => remove(world, call) },
    { name: 'POST /conversations/{conversation_id}/reply', run: (call) => reply(world, call) },
    { name: 'POST /conversations/{conversation_id}/parts', run: (call) => manage(world, call) },
  ];
}

/** The author of a message as parts show it; null when nobody fits. */
export function authorOf(world: World, body: Json): Json | null {
  if (body['type'] === 'admin') {
    const admin = adminOf(body['admin_id']);
    return admin === undefined ? null : { type: 'admin', id: admin['id'], name: admin['name'], email: admin['email'] };
  }
  const byExternalId = world.identities.get(`external_id=${text(body['user_id'])}`);
  const byEmail = world.identities.get(`email=${text(body['email']).toLowerCase()}`);
  const contact = liveContact(world, body['intercom_user_id'] ?? byExternalId ?? byEmail);
  return contact === null
    ? null
    : { type: text(contact['role']), id: contact.id, name: contact['name'], email: contact['email'] };
}

function create(world: World, call: Call): Answer {
  const from = (call.body['from'] ?? {}) as Json;
  const { body } = call.body;
  if (typeof body !== 'string' || body === '')
    return error(call.requestId, 400, 'parameter_missing', 'body is required');
  const contact = liveContact(world, from['id']);
  if (contact === null) return noContact(call);
  const author = { type: text(contact['role']), id: contact.id, name: contact['name'], email: contact['email'] };
  const conversation = newConversation(world, author, contact.id, body);
  saveConversation(world, conversation);
  call.effect('create', `${contact.id} ${body}`, conversation.id);
  const message = { type: 'user_message', id: (conversation['source'] as Json)['id'], body, message_type: 'inapp' };
  return json(200, { ...message, created_at: conversation['created_at'], conversation_id: conversation.id });
}

function found(world: World, call: Call): Document | null {
  return world.conversations.get(call.params[0] as string) ?? null;
}

function read(world: World, call: Call): Answer {
  const conversation = found(world, call);
  return conversation === null ? noConversation(call) : json(200, conversation);
}

function update(world: World, call: Call): Answer {
  const conversation = found(world, call);
  if (conversation === null) return noConversation(call);
  const { read: seen, title, custom_attributes: given } = call.body;
  const updated: Document = {
    ...conversation,
    ...(seen === undefined ? {} : { read: seen }),
    ...(title === undefined ? {} : { title }),
    custom_attributes: { ...(conversation['custom_attributes'] as Json), ...(given as Json | undefined) },
    updated_at: world.nowSeconds(),
  };
  saveConversation(world, updated);
  call.effect('update', conversation.id, conversation.id);
  return json(200, updated);
}

function remove(world: World, call: Call): Answer {
  const conversation = found(world, call);
  if (conversation === null) return noConversation(call);
  world.conversations.delete(conversation.id);
  world.conversationIndex.set(conversation.id, null);
  call.effect('delete', conversation.id, conversation.id);
  return json(200, { id: conversation.id, object: 'conversation', deleted: true });
}

function reply(world: World, call: Call): Answer {
  const conversation = found(world, call);
  if (conversation === null) return noConversation(call);
  const { body, message_type: messageType } = call.body;
  if (typeof body !== 'string' || body === '')
    return error(call.requestId, 400, 'parameter_missing', 'body is required');
  const author = authorOf(world, call.body);
  if (author === null) return noContact(call);
  const part = newPart(world, messageType === 'note' ? 'note' : 'comment', author, body);
  const updated = withPart(world, conversation, part);
  saveConversation(world, updated);
  call.effect('create', `${conversation.id} ${text(author['id'])} ${body}`, part.id);
  return json(200, updated);
}

/** close, open, snoozed, assignment: a part, and a change of state. */
function manage(world: World, call: Call): Answer {
  const conversation = found(world, call);
  if (conversation === null) return noConversation(call);
  const { message_type: action, body, admin_id: adminId, assignee_id: assignee, snoozed_until: until } = call.body;
  const changes = stateAfter(action, assignee, until);
  if (changes === null) return error(call.requestId, 400, 'parameter_invalid', 'message_type is not valid');
  const author = authorOf(world, { type: 'admin', admin_id: adminId });
  if (author === null) return error(call.requestId, 404, 'admin_not_found', 'Admin Not Found');
  const part = newPart(world, text(action), author, body);
  const updated = withPart(world, conversation, part, changes);
  saveConversation(world, updated);
  call.effect('create', `${conversation.id} ${text(adminId)} ${text(action)} ${call.bodyHash}`, part.id);
  return json(200, updated);
}

function stateAfter(action: unknown, assignee: unknown, until: unknown): Json | null {
  if (action === 'close') return { state: 'closed', open: false };
  if (action === 'open') return { state: 'open', open: true, snoozed_until: null };
  if (action === 'snoozed') return { state: 'snoozed', open: true, snoozed_until: until ?? null };
  if (action === 'assignment') return { admin_assignee_id: Number(assignee) || null };
  return null;
}
