import type { Simulator } from '../../src/simulator/simulator.ts';
import { ask } from './support.ts';

/**
 * Where a create's object is found again: without a lag, or by a search that has one. `guarded`: nothing shows it in time,
 * but the upstream drops or refuses a repeat. Null: nowhere.
 */
export type Probe = 'direct' | 'search' | 'guarded' | null;

/** One of the 35 creates of the map (intercom.md §9), ready to be called. */
export interface Create {
  /** Method and path template. */
  readonly name: string;
  readonly probe: Probe;
  /** What it needs beforehand; the ids are its path's parameters, in order, and then whatever the body needs. */
  readonly parents: (simulator: Simulator) => Promise<string[]>;
  /** A body whose marker nothing else has. */
  readonly body: (marker: string, parents: readonly string[]) => Record<string, unknown>;
  /** Fields of the answer, as a create that nothing happened to gives them; empty for one without a body. */
  readonly answer: readonly string[];
}

const nothing = (): Promise<string[]> => Promise.resolve([]);
const ADMIN = '814860';

async function made(simulator: Simulator, line: string, body: unknown, field = 'id'): Promise<string> {
  const { json } = await ask(simulator.url, line, body);
  return String(json[field]);
}

let contacts = 0;

/** A contact; the number is in its address. */
function contact(simulator: Simulator): Promise<string> {
  contacts += 1;
  return made(simulator, 'POST /contacts', { external_id: `parent-${contacts}`, role: 'user' });
}

async function conversation(simulator: Simulator): Promise<string[]> {
  const id = await contact(simulator);
  const began = { from: { type: 'user', id }, body: 'Began' };
  return [await made(simulator, 'POST /conversations', began, 'conversation_id')];
}

async function ticket(simulator: Simulator): Promise<string[]> {
  const contactId = await contact(simulator);
  const open = { ticket_type_id: '1', contacts: [{ id: contactId }], ticket_attributes: { n: contactId } };
  return [await made(simulator, 'POST /tickets', open)];
}

const oneContact = async (simulator: Simulator): Promise<string[]> => [await contact(simulator)];

function create(
  name: string,
  probe: Probe,
  answer: string,
  body: Create['body'],
  parents: Create['parents'] = nothing,
): Create {
  return { name, probe, parents, body, answer: answer === '' ? [] : answer.split(' ') };
}

/** All of them, in the order of the map. */
export const CREATES: readonly Create[] = [
  create(
    'POST /office_hours_schedules/{office_hours_schedule_id}/office_hours_exceptions',
    'direct',
    'id exception_date exception_type office_hours_schedule_id',
    (marker) => ({ exception_date: '2026-12-25', exception_type: 'closed', name: marker }),
    async (simulator) => [await made(simulator, 'POST /office_hours_schedules', { name: 'Parent' })],
  ),
  create('POST /office_hours_schedules', 'direct', 'id name time_zone_name', (marker) => ({
    name: marker,
    time_zone_name: 'Europe/Vienna',
    time_intervals: [{ start_minute: 540, end_minute: 1020 }],
  })),
  create('POST /ai/content_import_sources', 'direct', 'id url sync_behavior', (marker) => ({
    sync_behavior: 'api',
    url: `https://help.example.com/${marker}`,
  })),
  create('POST /articles', 'search', 'id title author_id state', (marker) => ({
    title: `How to ${marker}`,
    author_id: Number(ADMIN),
    body: '<p>So</p>',
    state: 'draft',
  })),
  create('POST /audiences', 'direct', 'id name predicates', (marker) => ({ name: marker, predicates: [] })),
  create('POST /export/reporting_data/enqueue', null, 'job_identifier status', (marker) => ({
    dataset_id: 'conversation',
    attribute_ids: [marker],
    start_time: 1,
    end_time: 2,
  })),
  create('POST /fin/start', 'guarded', 'conversation_id status', (marker) => ({
    conversation_id: marker,
    message: { author: 'user', body: 'Hi', timestamp: '2026-01-24T09:01:00.000Z' },
    user: { id: 'u' },
  })),
  create('POST /fin/reply', 'guarded', 'conversation_id status', (marker) => ({
    conversation_id: marker,
    message: { author: 'user', body: 'And?', timestamp: '2026-01-24T09:02:00.000Z' },
    user: { id: 'u' },
  })),
  create(
    'POST /help_center/help_centers/{help_center_id}/redirects',
    'direct',
    'id from_url locale help_center_id target_id',
    (marker) => ({
      from_url: `https://help.example.com/${marker}`,
      locale: 'en',
      target_type: 'article',
      target_id: '11',
    }),
    () => Promise.resolve(['7']),
  ),
  create('POST /help_center/collections', 'direct', 'id name parent_id', (marker) => ({ name: marker })),
  create('POST /internal_articles', 'direct', 'id title owner_id author_id', (marker) => ({
    title: marker,
    owner_id: Number(ADMIN),
    author_id: Number(ADMIN),
    body: 'Known inside',
  })),
  create(
    'POST /companies/{company_id}/notes',
    'direct',
    'id body author',
    (marker) => ({ body: `Q&A ${marker}`, admin_id: ADMIN }),
    async (simulator) => [await made(simulator, 'POST /companies', { company_id: 'parent' })],
  ),
  create(
    'POST /contacts/{contact_id}/notes',
    'direct',
    'id body author',
    (marker) => ({ body: `Called, ${marker} < 5`, admin_id: ADMIN }),
    oneContact,
  ),
  create('POST /contacts', 'search', 'id role email', (marker) => ({
    role: 'lead',
    email: `${marker}@example.com`,
    name: marker,
  })),
  create('POST /content_snippets', 'direct', 'id title locale', (marker) => ({
    title: marker,
    locale: 'en',
    json_blocks: [{ type: 'paragraph', text: 'So' }],
  })),
  create(
    'POST /conversations',
    'search',
    'type id body created_at conversation_id',
    (marker, [id]) => ({ from: { type: 'user', id }, body: `Help & more: ${marker}` }),
    oneContact,
  ),
  create(
    'POST /conversations/{conversation_id}/reply',
    'direct',
    'type id conversation_parts',
    (marker) => ({ message_type: 'comment', type: 'admin', admin_id: ADMIN, body: `Dear & ${marker}` }),
    conversation,
  ),
  create(
    'POST /conversations/{conversation_id}/parts',
    'direct',
    'type id state conversation_parts',
    (marker) => ({ message_type: 'close', type: 'admin', admin_id: ADMIN, body: `Bye ${marker}` }),
    conversation,
  ),
  create(
    'POST /conversations/{conversation_id}/convert',
    'direct',
    'type id ticket_type',
    (marker) => ({ ticket_type_id: '1', attributes: { marker } }),
    conversation,
  ),
  create('POST /conversations/attributes', 'direct', 'id name data_type', (marker) => ({
    name: marker,
    data_type: 'string',
  })),
  create(
    'POST /conversations/attributes/{id}/options',
    'direct',
    'id name options',
    (marker) => ({ label: marker }),
    async (simulator) => [
      await made(simulator, 'POST /conversations/attributes', { name: 'Parent', data_type: 'list' }),
    ],
  ),
  create('POST /data_attributes', 'direct', 'id name model data_type', (marker) => ({
    name: marker,
    model: 'contact',
    data_type: 'string',
  })),
  create('POST /data_connectors', 'direct', 'id name state http_method', (marker) => ({
    name: marker,
    http_method: 'get',
  })),
  create(
    'POST /events',
    'direct',
    '',
    (marker, [id]) => ({ id, event_name: `did-${marker}`, metadata: { plan: 'pro' } }),
    async (simulator) => oneContact(simulator),
  ),
  create('POST /events/summaries', null, '', (marker) => ({
    user_id: marker,
    event_summaries: { event_name: marker, count: 1 },
  })),
  create('POST /export/content/data', null, 'job_identifier status', (marker) => ({
    created_at_after: 1,
    created_at_before: 2,
    marker,
  })),
  create(
    'POST /messages',
    'search',
    'type id body message_type conversation_id',
    (marker, [id]) => ({
      message_type: 'inapp',
      body: `Hello & welcome ${marker}`,
      from: { type: 'admin', id: ADMIN },
      to: { type: 'user', id },
      create_conversation_without_contact_reply: true,
    }),
    oneContact,
  ),
  create('POST /news/news_items', 'direct', 'id title sender_id state', (marker) => ({
    title: marker,
    sender_id: Number(ADMIN),
    body: '<p>New</p>',
  })),
  create('POST /phone_call_redirects', null, 'type phone', (marker) => ({ phone: `+43${marker}` })),
  create(
    'POST /ticket_types/{ticket_type_id}/attributes',
    'direct',
    'id name ticket_type_id',
    (marker) => ({ name: marker, description: 'x', data_type: 'string' }),
    () => Promise.resolve(['1']),
  ),
  create('POST /ticket_types', 'direct', 'id name category', (marker) => ({ name: marker, category: 'Customer' })),
  create(
    'POST /tickets/{ticket_id}/reply',
    'direct',
    'id body part_type author',
    (marker) => ({ message_type: 'comment', type: 'admin', admin_id: ADMIN, body: `Done & dusted ${marker}` }),
    ticket,
  ),
  create(
    'POST /tickets',
    'search',
    'type id ticket_type ticket_attributes',
    (marker, [id]) => ({
      ticket_type_id: '1',
      contacts: [{ id }],
      ticket_attributes: { _default_title_: marker, _default_description_: 'Broken & lost' },
    }),
    oneContact,
  ),
  create(
    'POST /tickets/enqueue',
    'search',
    'type id status',
    (marker, [id]) => ({
      ticket_type_id: '2',
      contacts: [{ id }],
      ticket_attributes: { _default_title_: marker, _default_description_: 'Later' },
    }),
    oneContact,
  ),
  create('POST /fin_voice/register', 'guarded', 'id external_call_id user_phone_number', (marker) => ({
    phone_number: '+431234',
    call_id: marker,
    source: 'aws_connect',
  })),
];

/** The target of a create whose parents have these ids. */
export function targetOf({ name }: Create, parents: readonly string[]): string {
  let at = 0;
  return (name.split(' ')[1] as string).replaceAll(/\{\w+\}/g, () => parents[at++] as string);
}

/** One of them. */
export function createNamed(name: string): Create {
  const found = CREATES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no create ${name}`);
  return found;
}
