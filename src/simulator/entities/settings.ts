import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { type Collection, collection, type Kind } from './collection.ts';
import { ME } from './people.ts';

const ATTRIBUTES: Kind = {
  path: '/conversations/attributes',
  type: 'conversation_attribute',
  settable: { name: null, description: '', data_type: 'string', required: false, visible_to_team_ids: [] },
  required: ['name', 'data_type'],
  refusal: [422, 'parameter_invalid'],
  given: () => ({ archived: false, admin_id: ME['id'] }),
  numericId: true,
  list: { type: 'list', paging: 'none', perPageDefault: 50, perPageMax: 50, order: 'newest' },
};

const DATA_ATTRIBUTES: Kind = {
  path: '/data_attributes',
  type: 'data_attribute',
  settable: { name: null, model: 'contact', data_type: 'string', description: null, options: [] },
  required: ['name', 'model', 'data_type'],
  refusal: [400, 'parameter_not_found'],
  key: ['model', 'name'],
  given: () => ({
    custom: true,
    archived: false,
    api_writable: true,
    ui_writable: true,
    messenger_writable: false,
    admin_id: ME['id'],
  }),
  numericId: true,
  list: { type: 'list', paging: 'none', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
  unique: (call) => {
    const { name, model } = call.body;
    const kept = model === 'company' ? 'company' : 'people';
    return error(call.requestId, 400, 'parameter_invalid', `You already have '${text(name)}' in your ${kept} data.`);
  },
};

const CONNECTORS: Kind = {
  path: '/data_connectors',
  type: 'data_connector',
  created: 201,
  settable: {
    name: null,
    description: null,
    http_method: 'get',
    url: null,
    direct_fin_usage: false,
    audiences: [],
    data_inputs: [],
  },
  given: (_, id) => ({
    state: 'draft',
    execution_type: 'server_side',
    created_by_admin_id: ME['id'],
    updated_by_admin_id: ME['id'],
    execution_results_url: `/data_connectors/${id}/execution_results`,
  }),
  isoTimes: true,
  list: { type: 'list', paging: 'pages', perPageDefault: 20, perPageMax: 50, order: 'newest' },
};

/** What shapes a workspace's data: attributes of conversations, contacts and companies, data connectors. */
export function settingsRoutes(world: World): Route[] {
  const attributes = collection(world, ATTRIBUTES);
  const dataAttributes = collection(world, DATA_ATTRIBUTES);
  return [
    ...attributes.routes,
    { name: 'POST /conversations/attributes/{id}/options', run: (call) => addOption(world, attributes, call) },
    { name: 'GET /data_attributes', run: (call) => listDataAttributes(call, dataAttributes) },
    ...dataAttributes.routes,
    ...collection(world, CONNECTORS).routes,
  ];
}

/** Answers the whole attribute. Nothing refuses a second option with the same label. */
function addOption(world: World, attributes: Collection, call: Call): Answer {
  const id = call.params[0] as string;
  const attribute = attributes.entries.get(id);
  if (attribute === undefined) {
    return error(call.requestId, 404, 'conversation_attribute_not_found', 'Conversation attribute not found');
  }
  const { label } = call.body;
  const refused =
    attribute['data_type'] !== 'list'
      ? 'Options can only be managed on list attributes'
      : typeof label !== 'string' || label === ''
        ? 'label is required'
        : null;
  if (refused !== null) return error(call.requestId, 422, 'parameter_invalid', refused);
  const option = { id: world.newId(), label, archived: false };
  const options = [...((attribute['options'] ?? []) as readonly Json[]), option];
  const changed = { ...attribute, options, updated_at: world.nowSeconds() };
  attributes.entries.set(id, changed);
  call.effect('create', `${id} ${text(label)}`, option.id);
  return json(200, changed);
}

function listDataAttributes(call: Call, attributes: Collection): Answer {
  const model = call.query.get('model');
  const data = [...attributes.entries.values()].filter((one) => model === null || one['model'] === model);
  return json(200, { type: 'list', data });
}
