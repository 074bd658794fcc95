import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { type Collection, collection, type Entry, type Kind, noEntry } from './collection.ts';

const KIND: Kind = {
  path: '/ticket_types',
  type: 'ticket_type',
  settable: { name: null, description: null, category: 'Customer', icon: '🎟️', is_internal: false },
  refusal: [400, 'parameter_not_found'],
  given: () => ({ workspace_id: 'simulated', archived: false, ticket_type_attributes: { type: 'list', data: [] } }),
  list: { type: 'list', paging: 'none', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
};

/** Every workspace begins with these two. */
const GIVEN: readonly Entry[] = [
  { type: 'ticket_type', id: '1', name: 'Bug', category: 'Customer', archived: false },
  { type: 'ticket_type', id: '2', name: 'Request', category: 'Back-office', archived: false },
].map((type) => ({ ...type, ticket_type_attributes: { type: 'list', data: [] } }));

/** The ticket types of a workspace. */
export function ticketTypes(world: World): Collection {
  const types = collection(world, KIND);
  for (const type of GIVEN) types.entries.set(text(type.id), type);
  return types;
}

/** Ticket types and their attributes. Two with the same name are two. */
export function ticketTypeRoutes(world: World, types: Collection): Route[] {
  return [
    ...types.routes,
    { name: 'POST /ticket_types/{ticket_type_id}/attributes', run: (call) => addAttribute(world, types, call) },
  ];
}

function addAttribute(world: World, types: Collection, call: Call): Answer {
  const typeId = call.params[0] as string;
  const type = types.entries.get(typeId);
  if (type === undefined) return noEntry(call);
  const { name, data_type: dataType, description } = call.body;
  if (typeof name !== 'string' || name === '') {
    return error(call.requestId, 400, 'parameter_not_found', 'name is required');
  }
  const now = world.nowSeconds();
  const before = (type['ticket_type_attributes'] as { data: readonly Json[] }).data;
  const attribute = {
    type: 'ticket_type_attribute',
    id: world.newNumber(),
    workspace_id: 'simulated',
    name,
    description: description ?? '',
    data_type: dataType ?? 'string',
    input_options: { multiline: false },
    order: before.length,
    required_to_create: call.body['required_to_create'] ?? false,
    visible_on_create: call.body['visible_on_create'] ?? true,
    visible_to_contacts: call.body['visible_to_contacts'] ?? true,
    default: false,
    ticket_type_id: Number(typeId),
    archived: false,
    created_at: now,
    updated_at: now,
  };
  types.entries.set(typeId, { ...type, ticket_type_attributes: { type: 'list', data: [...before, attribute] } });
  call.effect('create', `${typeId} ${name}`, attribute.id);
  return json(200, attribute);
}
