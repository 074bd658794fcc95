import { type Answer, empty, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { liveContact } from './contacts.ts';

const PER_PAGE_DEFAULT = 50;

/** Events: 202 without a body, and the silent dedupe on contact, name and `created_at` that Intercom documents. */
export function eventRoutes(world: World): Route[] {
  const byContact = new Map<string, Map<string, Json>>();
  return [
    { name: 'POST /events', run: (call) => create(world, byContact, call) },
    { name: 'GET /events', run: (call) => list(world, byContact, call) },
    { name: 'POST /events/summaries', run: (call) => summarize(world, call) },
  ];
}

type EventsByContact = Map<string, Map<string, Json>>;

function contactOf(world: World, names: { id: unknown; userId: unknown; email: unknown }): string | null {
  if (names.id) return liveContact(world, names.id)?.id ?? null;
  const identity = names.userId ? `external_id=${text(names.userId)}` : `email=${text(names.email).toLowerCase()}`;
  return liveContact(world, world.identities.get(identity))?.id ?? null;
}

function create(world: World, events: EventsByContact, call: Call): Answer {
  const { event_name: name, created_at: given, id, user_id: userId, email, metadata } = call.body;
  if (typeof name !== 'string' || name === '') {
    return error(call.requestId, 400, 'parameter_missing', 'event_name is required');
  }
  const contact = contactOf(world, { id, userId, email });
  if (contact === null) return error(call.requestId, 404, 'not_found', 'User Not Found');
  const createdAt = given ?? world.nowSeconds();
  const key = `${contact} ${name} ${text(createdAt)}`;
  const own = events.get(contact) ?? new Map<string, Json>();
  events.set(contact, own);
  if (own.has(key)) return empty(202);
  const event = {
    type: 'event',
    id: world.newId(),
    event_name: name,
    created_at: createdAt,
    intercom_user_id: contact,
    user_id: userId ?? null,
    email: email ?? null,
    metadata: metadata ?? {},
  };
  own.set(key, event);
  call.effect('create', key, event.id);
  return empty(202);
}

/** Adds to counts that nothing shows. */
function summarize(world: World, call: Call): Answer {
  const { user_id: userId, event_summaries: summaries } = call.body;
  if (!userId || typeof summaries !== 'object' || summaries === null) {
    return error(call.requestId, 400, 'parameter_missing', 'user_id and event_summaries are required');
  }
  call.effect('create', call.bodyHash, world.newId());
  return empty(200);
}

function list(world: World, events: EventsByContact, call: Call): Answer {
  const { query } = call;
  const names = { id: query.get('intercom_user_id'), userId: query.get('user_id'), email: query.get('email') };
  if (query.get('type') !== 'user' || !(names.id ?? names.userId ?? names.email)) {
    return error(
      call.requestId,
      400,
      'parameter_invalid',
      'type=user and one of intercom_user_id, user_id, email are required',
    );
  }
  const contact = contactOf(world, names);
  if (contact === null) return error(call.requestId, 404, 'not_found', 'User Not Found');
  const newestFirst = [...(events.get(contact)?.values() ?? [])].reverse();
  const before = query.get('before');
  const start = before === null ? 0 : newestFirst.findIndex((event) => event['id'] === before) + 1;
  const perPage = Number(query.get('per_page') ?? PER_PAGE_DEFAULT);
  const page = newestFirst.slice(start, start + perPage);
  const more = start + perPage < newestFirst.length;
  const next = more ? `/events?type=user&intercom_user_id=${contact}&before=${text(page.at(-1)?.['id'])}` : null;
  return json(200, { type: 'event.list', events: page, pages: { next }, intercom_user_id: contact });
}
