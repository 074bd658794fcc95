import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import type { Collection } from './collection.ts';
import { liveContact, noContact } from './contacts.ts';
import { newPart, noConversation, saveConversation } from './conversation-document.ts';
import { authorOf } from './conversations.ts';
import { type ListShape, searchPage } from './pages.ts';
import type { Aliases } from './search.ts';

const LIST: ListShape = { type: 'ticket.list', entries: 'tickets', perPageDefault: 20, sortField: 'created_at' };

const ALIASES: Aliases = {
  contact_ids: (doc) => (doc['contacts'] as { contacts: readonly Json[] }).contacts.map((one) => one['id']),
  ticket_type_id: (doc) => (doc['ticket_type'] as Json)['id'],
};

/** How long the job of an enqueued ticket is pending. */
const JOB_SECONDS = 2;

/** Tickets, as far as creating, answering and finding them goes. */
export function ticketRoutes(world: World, types: Collection): Route[] {
  const jobs = new Map<string, Job>();
  return [
    { name: 'POST /tickets', run: (call) => create(world, types, call) },
    { name: 'POST /tickets/enqueue', run: (call) => enqueue(world, types, jobs, call) },
    { name: 'GET /jobs/status/{job_id}', run: (call) => jobStatus(world, jobs, call) },
    { name: 'POST /conversations/{conversation_id}/convert', run: (call) => convert(world, types, call) },
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

/** A ticket of the body's type for its contacts, or why not. */
function ticketOf(world: World, types: Collection, call: Call): Document | Answer {
  const named = (Array.isArray(call.body['contacts']) ? call.body['contacts'] : []) as readonly Json[];
  const contacts = named.map((one) => {
    const author = authorOf(world, { intercom_user_id: one['id'], user_id: one['external_id'], email: one['email'] });
    return author === null ? null : liveContact(world, author['id']);
  });
  if (contacts.length === 0 || contacts.includes(null)) return noContact(call);
  return newTicket(
    world,
    types,
    call,
    contacts.map((contact) => contact?.id as string),
  );
}

function newTicket(world: World, types: Collection, call: Call, contactIds: readonly string[]): Document | Answer {
  const type = types.entries.get(text(call.body['ticket_type_id']));
  if (type === undefined) return error(call.requestId, 400, 'invalid_ticket_type', 'Ticket type is not valid');
  const id = world.newNumber();
  const now = world.nowSeconds();
  return {
    type: 'ticket',
    id,
    ticket_id: id,
    category: type['category'],
    ticket_type: type,
    ticket_attributes: call.body['ticket_attributes'] ?? call.body['attributes'] ?? {},
    ticket_state: { type: 'ticket_state', id: '1', category: 'submitted', internal_label: 'Submitted' },
    contacts: { type: 'contact.list', contacts: contactIds.map((contact) => ({ type: 'contact', id: contact })) },
    admin_assignee_id: '0',
    team_assignee_id: '0',
    open: true,
    is_shared: true,
    linked_objects: { type: 'list', data: [], total_count: 0, has_more: false },
    created_at: now,
    updated_at: now,
    ticket_parts: { type: 'ticket_part.list', ticket_parts: [], total_count: 0 },
  };
}

function isTicket(made: Document | Answer): made is Document {
  return 'id' in made;
}

/** The ledger's name for a ticket: contacts, type and attributes. */
function keyOf(ticket: Document): string {
  const ids = (ticket['contacts'] as { contacts: readonly Json[] }).contacts.map((one) => text(one['id']));
  const type = text((ticket['ticket_type'] as Json)['id']);
  return `${ids.join(',')} ${type} ${JSON.stringify(ticket['ticket_attributes'])}`;
}

function create(world: World, types: Collection, call: Call): Answer {
  const ticket = ticketOf(world, types, call);
  if (!isTicket(ticket)) return ticket;
  save(world, ticket);
  call.effect('create', keyOf(ticket), ticket.id);
  return json(200, ticket);
}

interface Job {
  readonly id: string;
  readonly ticket: string;
  readonly startedAtSeconds: number;
}

/** The job is what the caller gets, and the only way to it; the ticket is found like any other. */
function enqueue(world: World, types: Collection, jobs: Map<string, Job>, call: Call): Answer {
  const ticket = ticketOf(world, types, call);
  if (!isTicket(ticket)) return ticket;
  save(world, ticket);
  const job: Job = { id: `job_${world.newNumber()}`, ticket: ticket.id, startedAtSeconds: world.nowSeconds() };
  jobs.set(job.id, job);
  call.effect('create', keyOf(ticket), ticket.id);
  return json(200, shownJob(world, job));
}

function shownJob(world: World, job: Job): Json {
  const done = world.nowSeconds() - job.startedAtSeconds >= JOB_SECONDS;
  return {
    type: 'job',
    id: job.id,
    url: `/jobs/status/${job.id}`,
    status: done ? 'success' : 'pending',
    resource_type: 'ticket',
    resource_id: done ? job.ticket : null,
    resource_url: done ? `/tickets/${job.ticket}` : null,
  };
}

function jobStatus(world: World, jobs: ReadonlyMap<string, Job>, call: Call): Answer {
  const job = jobs.get(call.params[0] as string);
  return job === undefined
    ? error(call.requestId, 404, 'job_not_found', 'Job Not Found')
    : json(200, shownJob(world, job));
}

/** A conversation is converted once. */
function convert(world: World, types: Collection, call: Call): Answer {
  const conversation = world.conversations.get(call.params[0] as string);
  if (conversation === undefined) return noConversation(call);
  if (conversation['ticket'] !== null) {
    return error(call.requestId, 400, 'parameter_invalid', 'Conversation has already been converted to a ticket');
  }
  const contacts = (conversation['contacts'] as { contacts: readonly Json[] }).contacts;
  const ticket = newTicket(
    world,
    types,
    call,
    contacts.map((one) => text(one['id'])),
  );
  if (!isTicket(ticket)) return ticket;
  save(world, ticket);
  saveConversation(world, { ...conversation, ticket, updated_at: world.nowSeconds() });
  call.effect('create', conversation.id, ticket.id);
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
