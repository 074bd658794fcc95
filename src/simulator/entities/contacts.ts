import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { naturalKey, newContact, settableOf } from './contact-document.ts';
import { type ListShape, listPage, searchPage } from './pages.ts';

const LIST: ListShape = { type: 'list', entries: 'data', perPageDefault: 50, sortField: 'created_at' };

/** Contacts, with the conflict rules that a pipeline of leads meets. */
export function contactRoutes(world: World): Route[] {
  return [
    { name: 'POST /contacts', run: (call) => create(world, call) },
    { name: 'POST /contacts/search', run: (call) => searchPage(call, searchable(world), LIST, {}) },
    { name: 'POST /contacts/merge', run: (call) => merge(world, call) },
    { name: 'GET /contacts', run: (call) => listPage(call, searchable(world), LIST) },
    { name: 'GET /contacts/find_by_external_id/{external_id}', run: (call) => findByExternalId(world, call) },
    { name: 'GET /contacts/{contact_id}', run: (call) => found(call, world.contacts.get(call.params[0] as string)) },
    { name: 'PUT /contacts/{contact_id}', run: (call) => update(world, call) },
    { name: 'DELETE /contacts/{contact_id}', run: (call) => remove(world, call) },
    { name: 'POST /contacts/{contact_id}/archive', run: (call) => setArchived(world, call, true) },
    { name: 'POST /contacts/{contact_id}/unarchive', run: (call) => setArchived(world, call, false) },
  ];
}

/** The live contact of a path's first parameter; null when it is gone. */
export function liveContact(world: World, id: unknown): Document | null {
  const contact = world.contacts.get(text(id));
  return contact === undefined || contact['merged_into'] !== undefined ? null : contact;
}

/** Replaces a contact and lets the search index know. */
export function saveContact(world: World, contact: Document): void {
  reidentify(world, contact.id, contact);
  world.contacts.set(contact.id, contact);
  const hidden = contact['archived'] === true || contact['merged_into'] !== undefined;
  world.contactIndex.set(contact.id, hidden ? null : contact);
}

/** Identities that stay are not touched: taking them out and in again would make a large map rehash at every update. */
function reidentify(world: World, id: string, contact: Document | null): void {
  const before = world.contacts.get(id);
  const held = before === undefined ? [] : identitiesOf(text(before['role']), before);
  const wanted = contact === null ? [] : identitiesOf(text(contact['role']), contact);
  for (const identity of held) {
    if (!wanted.includes(identity) && world.identities.get(identity) === id) world.identities.delete(identity);
  }
  for (const identity of wanted) {
    if (world.identities.get(identity) !== id) world.identities.set(identity, id);
  }
}

/** 404 for a contact. */
export function noContact(call: Call): Answer {
  return error(call.requestId, 404, 'not_found', 'User Not Found');
}

function searchable(world: World): Iterable<Document> {
  return world.contactIndex.documents();
}

function create(world: World, call: Call): Answer {
  const { body } = call;
  if (!body['email'] && !body['external_id'] && !body['role'] && !body['phone']) {
    return error(call.requestId, 400, 'parameter_missing', 'email, external_id, phone or role is required');
  }
  const role = body['role'] === 'lead' ? 'lead' : 'user';
  const holder = conflicting(world, role, body, null);
  if (holder !== null) return conflict(call, holder);
  const contact = newContact(world, role, body);
  saveContact(world, contact);
  call.effect('create', naturalKey(body) ?? call.bodyHash, contact.id);
  return json(200, contact);
}

/** A lead's e-mail address is not unique, and takes none (intercom.md §2). */
function identitiesOf(role: string, body: Json): string[] {
  const identities: string[] = [];
  if (body['external_id']) identities.push(`external_id=${text(body['external_id'])}`);
  if (role === 'user' && body['email']) identities.push(`email=${text(body['email']).toLowerCase()}`);
  return identities;
}

function conflicting(world: World, role: string, body: Json, self: string | null): Document | null {
  for (const identity of identitiesOf(role, body)) {
    const id = world.identities.get(identity);
    const holder = id === undefined || id === self ? null : liveContact(world, id);
    if (holder !== null) return holder;
  }
  return null;
}

function conflict(call: Call, holder: Document): Answer {
  const which = holder['archived'] === true ? 'An archived contact' : 'A contact';
  return error(call.requestId, 409, 'conflict', `${which} matching those details already exists with id=${holder.id}`);
}

function found(call: Call, contact: Document | undefined): Answer {
  if (contact === undefined) return noContact(call);
  const into = contact['merged_into'];
  if (typeof into !== 'string') return json(200, contact);
  const body = { type: 'error.list', errors: [{ code: 'contact_merged', message: `Contact was merged into ${into}` }] };
  return json(410, body, ['Link', `</contacts/${into}>; rel="canonical"`]);
}

function findByExternalId(world: World, call: Call): Answer {
  const id = world.identities.get(`external_id=${call.params[0] as string}`);
  return found(call, id === undefined ? undefined : world.contacts.get(id));
}

function update(world: World, call: Call): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  const changes = settableOf(call.body);
  const role = call.body['role'] === undefined ? contact['role'] : call.body['role'];
  const holder = conflicting(world, text(role), changes, contact.id);
  if (holder !== null) return conflict(call, holder);
  const custom = { ...(contact['custom_attributes'] as Json), ...(call.body['custom_attributes'] as Json | undefined) };
  const updated = { ...contact, ...changes, role, custom_attributes: custom, updated_at: world.nowSeconds() };
  saveContact(world, updated);
  call.effect('update', contact.id, contact.id);
  return json(200, updated);
}

function remove(world: World, call: Call): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  reidentify(world, contact.id, null);
  world.contacts.delete(contact.id);
  world.contactIndex.set(contact.id, null);
  call.effect('delete', contact.id, contact.id);
  return json(200, { type: 'contact', id: contact.id, external_id: contact['external_id'], deleted: true });
}

function setArchived(world: World, call: Call, archived: boolean): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  saveContact(world, { ...contact, archived, updated_at: world.nowSeconds() });
  call.effect('update', contact.id, contact.id);
  return json(200, { type: 'contact', id: contact.id, external_id: contact['external_id'], archived });
}

function merge(world: World, call: Call): Answer {
  const from = liveContact(world, call.body['from']);
  const into = liveContact(world, call.body['into']);
  if (from === null || into === null) return noContact(call);
  if (from['role'] !== 'lead' || into['role'] !== 'user') {
    return error(call.requestId, 400, 'invalid_merge', 'You can only merge a lead into a user');
  }
  saveContact(world, { ...from, merged_into: into.id });
  const merged = { ...into, name: into['name'] ?? from['name'], updated_at: world.nowSeconds() };
  saveContact(world, merged);
  call.effect('update', `${from.id} into ${into.id}`, into.id);
  return json(200, merged);
}
