import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { liveContact, noContact } from './contacts.ts';
import { asHtml } from './conversation-document.ts';
import { type ListShape, listPage } from './pages.ts';
import { adminOf } from './people.ts';

const LIST: ListShape = { type: 'list', entries: 'data', perPageDefault: 15, sortField: 'created_at' };

/** Notes on contacts and companies. Two equal notes are two notes: nothing upstream refuses the second. */
export function noteRoutes(world: World): Route[] {
  const onContact = (call: Call): boolean => liveContact(world, call.params[0]) !== null;
  const onCompany = (call: Call): boolean => world.companies.has(call.params[0] as string);
  return [
    { name: 'POST /contacts/{contact_id}/notes', run: (call) => create(world, call, 'contact', onContact(call)) },
    { name: 'GET /contacts/{contact_id}/notes', run: (call) => list(world, call, onContact(call)) },
    { name: 'POST /companies/{company_id}/notes', run: (call) => create(world, call, 'company', onCompany(call)) },
    { name: 'GET /companies/{company_id}/notes', run: (call) => list(world, call, onCompany(call)) },
    { name: 'GET /notes/{note_id}', run: (call) => read(world, call) },
  ];
}

function create(world: World, call: Call, parentType: string, parentExists: boolean): Answer {
  if (!parentExists) return noContact(call);
  const { body, admin_id: adminId } = call.body;
  if (typeof body !== 'string' || body === '')
    return error(call.requestId, 400, 'parameter_missing', 'body is required');
  if (adminId !== undefined && adminOf(adminId) === undefined) {
    return error(call.requestId, 404, 'admin_not_found', 'Admin Not Found');
  }
  const parent = call.params[0] as string;
  const note: Document = {
    type: 'note',
    id: world.newNumber(),
    created_at: world.nowSeconds(),
    [parentType]: { type: parentType, id: parent },
    author: adminOf(adminId) ?? null,
    body: asHtml(body),
  };
  world.notes.set(note.id, note);
  const own = world.notesOf.get(parent);
  if (own === undefined) world.notesOf.set(parent, [note]);
  else own.push(note);
  call.effect('create', `${parent} ${text(adminId ?? '')} ${body}`, note.id);
  return json(200, note);
}

function list(world: World, call: Call, parentExists: boolean): Answer {
  if (!parentExists) return noContact(call);
  return listPage(call, world.notesOf.get(call.params[0] as string) ?? [], LIST);
}

function read(world: World, call: Call): Answer {
  const note = world.notes.get(call.params[0] as string);
  return note === undefined ? error(call.requestId, 404, 'not_found', 'Resource Not Found') : json(200, note);
}
