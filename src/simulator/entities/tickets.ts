import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { liveContact, noContact } from './contacts.ts';
import { newPart } from './conversation-document.ts';
import { authorOf } from './conversations.ts';
import { type ListShape, searchPage } from './pages.ts';
import type { Aliases } from './search.ts';

const LIST: ListShape = { type: 'ticket.list', entries: 'tickets', perPageDefault: 20, sortField: 'created_at' };

const TYPES: readonly Json[] = [
  { type: 'ticket_type', id: '1', name: 'Bug', category: 'Customer', archived: false },
  { type: 'ticket_type', id: '2', name: 'Request', category: 'Back-office', archived: false },
];

const ALIASES: Aliases = {
  contact_ids: (doc) => (doc['contacts'] as { contacts: readonly Json[] }).contacts.map((one) => one['id']),
  ticket_type_id: (doc) => (doc['ticket_type'] as Json)['id'],
};

/** Tickets, as far as creating, answering and finding them goes. */
export function ticketRoutes(world: World): Route[] {
  return [
    { name: 'GET /ticket_types', run: () => json(200, { type: 'list', data: TYPES }) },
    { name: 'POST /tickets', run: (call) => create(world, call) },
    { name: 'POST /tickets/search', run: (call) => searchPage(call, world.ticketIndex.documents(), LIST, ALIASES) },
    { name: 'GET /tickets/{ticket_id}', run: (call) => read(world, call) },
    { name: 'PUT /tickets/{ticket_id}', run: (call) => update(world, call) },
    { name: 'POST /tickets/{ticket_id}/reply', run: (call) => reply(world, call) },
  ];
}

function noTicket(call: Call): Answer {
  return error(call.requestId, 404, 'ticket_not_found', 'Ticket Not Found');
}

function save(world: World, ticket: Document): void {
  world.tickets.set(ticket.id, ticket);
  const { ticket_parts: _, ...shown } = ticket;
  world.ticketIndex.set(ticket.id, shown);
}

function create(world: World, call: Call): Answer {
  const type = TYPES.find((one) => one['id'] === text(call.body['ticket_type_id']));
  if (type === undefined) return error(call.requestId, 400, 'invalid_ticket_type', 'Ticket type is not valid');
  const named = (Array.isArray(call.body['contacts']) ? call.body['contacts'] : []) as readonly Json[];
  const contacts = named.map((one) => {
    const author = authorOf(world, { intercom_user_id: one['id'], user_id: one['external_id'], email: one['email'] });
    return author === null ? null : liveContact(world, author['id']);
  });
  if (contacts.length === 0 || contacts.includes(null)) return noContact(call);
  const ids = contacts.map((contact) => contact?.id as string);
  const number = world.newNumber();
  const now = world.nowSeconds();
  const ticket: Document = {
    type: 'ticket',
    id: number,
    ticket_id: number,
    category: type['category'],
    ticket_type: type,
    ticket_attributes: call.body['ticket_attributes'] ?? {},
    ticket_state: { type: 'ticket_state', id: '1', category: 'submitted', internal_label: 'Submitted' },
    contacts: { type: 'contact.list', contacts: ids.map((id) => ({ type: 'contact', id })) },
    open: true,
    created_at: now,
    updated_at: now,
    ticket_parts: { type: 'ticket_part.list', ticket_parts: [], total_count: 0 },
  };
  save(world, ticket);
  call.effect('create', `${ids.join(',')} ${text(type['id'])} ${JSON.stringify(ticket['ticket_attributes'])}`, number);
  return json(200, ticket);
}

function read(world: World, call: Call): Answer {
  const ticket = world.tickets.get(call.params[0] as string);
  return ticket === undefined ? noTicket(call) : json(200, ticket);
}

function update(world: World, call: Call): Answer {
  const ticket = world.tickets.get(call.params[0] as string);
  if (ticket === undefined) return noTicket(call);
  const attributes = {
    ...(ticket['ticket_attributes'] as Json),
    ...(call.body['ticket_attributes'] as Json | undefined),
  };
  const open = call.body['open'] ?? ticket['open'];
  const updated = { ...ticket, ticket_attributes: attributes, open, updated_at: world.nowSeconds() };
  save(world, updated);
  call.effect('update', ticket.id, ticket.id);
  return json(200, updated);
}

function reply(world: World, call: Call): Answer {
  const ticket = world.tickets.get(call.params[0] as string);
  if (ticket === undefined) return noTicket(call);
  const { body, message_type: messageType } = call.body;
  if (typeof body !== 'string' || body === '')
    return error(call.requestId, 400, 'parameter_missing', 'body is required');
  const author = authorOf(world, call.body);
  if (author === null) return noContact(call);
  const part = newPart(world, messageType === 'note' ? 'note' : 'comment', author, body, { type: 'ticket_part' });
  const before = (ticket['ticket_parts'] as { ticket_parts: readonly Json[] }).ticket_parts;
  const parts = [...before, part];
  const list = { type: 'ticket_part.list', ticket_parts: parts, total_count: parts.length };
  save(world, { ...ticket, ticket_parts: list, updated_at: world.nowSeconds() });
  call.effect('create', `${ticket.id} ${text(author['id'])} ${body}`, part.id);
  return json(200, part);
}
