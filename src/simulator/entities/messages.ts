import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { liveContact, noContact } from './contacts.ts';
import { newConversation, saveConversation } from './conversation-document.ts';
import { adminOf } from './people.ts';

/** Messages of admins. A conversation shows them only when one is wanted without the contact's reply. */
export function messageRoutes(world: World): Route[] {
  return [{ name: 'POST /messages', run: (call) => send(world, call) }];
}

function send(world: World, call: Call): Answer {
  const { body, subject, message_type: messageType } = call.body;
  const from = (call.body['from'] ?? {}) as Json;
  const to = (call.body['to'] ?? {}) as Json;
  const admin = adminOf(from['id']);
  if (admin === undefined) return error(call.requestId, 400, 'parameter_invalid', 'from is not an admin');
  if (typeof body !== 'string' || body === '') {
    return error(call.requestId, 400, 'parameter_invalid', 'Body is required');
  }
  const contact = liveContact(world, to['id'] ?? world.identities.get(`external_id=${text(to['user_id'])}`));
  if (contact === null) return noContact(call);
  const author = { type: 'admin', id: admin['id'], name: admin['name'], email: admin['email'] };
  const source = { delivered_as: 'admin_initiated', subject: subject ?? '' };
  const conversation = newConversation(world, author, contact.id, body, source);
  const { id } = conversation['source'] as { id: string };
  const shown = call.body['create_conversation_without_contact_reply'] === true;
  if (shown) saveConversation(world, conversation);
  call.effect('create', `${text(from['id'])} ${contact.id} ${text(subject)} ${body}`, id);
  return json(200, {
    type: 'admin_message',
    id,
    created_at: conversation['created_at'],
    subject: subject ?? '',
    body,
    message_type: messageType ?? 'inapp',
    ...(shown ? { conversation_id: conversation.id } : {}),
  });
}
