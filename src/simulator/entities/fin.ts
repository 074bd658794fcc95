import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { noEntry } from './collection.ts';

/** How long Fin remembers a message's timestamp (intercom.md §3). */
const DEDUPE_SECONDS = 300;

/** When a registered call is matched with one of Intercom's; until then nothing finds it ("not found or not matched"). */
const MATCHED_AFTER_SECONDS = 20;

interface Registered {
  readonly shown: Json;
  readonly atSeconds: number;
}

/** Fin: messages, of which a repeat is dropped for five minutes, and the registration of calls, which is unique. */
export function finRoutes(world: World): Route[] {
  const heard = new Map<string, number>();
  const calls = new Map<string, Registered>();
  const callBy = (field: string) => (call: Call) => {
    const found = [...calls.values()].findLast(({ shown, atSeconds }) => {
      return shown[field] === call.params[0] && world.nowSeconds() - atSeconds >= MATCHED_AFTER_SECONDS;
    });
    return found === undefined ? noEntry(call) : json(200, { ...found.shown, status: 'in-progress' });
  };
  return [
    { name: 'POST /fin/start', run: (call) => message(world, heard, call) },
    { name: 'POST /fin/reply', run: (call) => message(world, heard, call) },
    { name: 'POST /fin_voice/register', run: (call) => register(world, calls, call) },
    { name: 'GET /fin_voice/external_id/{external_id}', run: callBy('external_call_id') },
    { name: 'GET /fin_voice/phone_number/{phone_number}', run: callBy('user_phone_number') },
    { name: 'POST /phone_call_redirects', run: (call) => redirectCall(world, call) },
  ];
}

function message(world: World, heard: Map<string, number>, call: Call): Answer {
  const { conversation_id: conversation, user } = call.body;
  const said = (call.body['message'] ?? {}) as Json;
  if (!conversation || typeof said['body'] !== 'string') {
    return error(call.requestId, 400, 'parameter_invalid', 'conversation_id and message.body are required');
  }
  const key = `${text(conversation)} ${text(said['timestamp'])}`;
  const now = world.nowSeconds();
  const before = said['timestamp'] === undefined ? undefined : heard.get(key);
  if (before === undefined || now - before >= DEDUPE_SECONDS) {
    heard.set(key, now);
    call.effect('create', `${key} ${said['body']}`, world.newNumber());
  }
  const userId = ((user ?? {}) as Json)['id'] ?? null;
  const at = new Date(now * 1000).toISOString();
  return json(200, { conversation_id: conversation, user_id: userId, status: 'thinking', created_at_ms: at });
}

function register(world: World, calls: Map<string, Registered>, call: Call): Answer {
  const { phone_number: phone, call_id: callId } = call.body;
  if (!phone || !callId) return error(call.requestId, 400, 'bad_request', 'phone_number and call_id are required');
  if (calls.has(text(callId))) return error(call.requestId, 409, 'conflict', 'duplicate call registration');
  const id = world.newNumber();
  const registered = {
    id: Number(id),
    app_id: 1,
    user_phone_number: phone,
    status: 'registered',
    external_call_id: callId,
    intercom_call_id: null,
    intercom_conversation_id: null,
  };
  calls.set(text(callId), { shown: registered, atSeconds: world.nowSeconds() });
  call.effect('create', text(callId), id);
  return json(200, registered);
}

/** Sends a text message to a phone; nothing remembers that. */
function redirectCall(world: World, call: Call): Answer {
  const { phone } = call.body;
  if (typeof phone !== 'string' || phone === '') {
    return error(call.requestId, 422, 'parameter_not_found', 'phone is required');
  }
  call.effect('create', phone, world.newNumber());
  return json(200, { type: 'phone_call_redirect', phone });
}
