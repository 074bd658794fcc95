import { type Answer, error } from '../base/answer.ts';
import type { Call, Json } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';

/** Parts that one answer shows at the most (intercom.md §1). */
const PARTS_SHOWN = 500;

/** One entry of a conversation or a ticket. */
export function newPart(world: World, partType: string, author: Json, body: unknown, more: Json = {}): Document {
  const now = world.nowSeconds();
  return {
    type: 'conversation_part',
    id: world.newNumber(),
    part_type: partType,
    body: typeof body === 'string' ? asHtml(body) : null,
    created_at: now,
    updated_at: now,
    author,
    attachments: [],
    redacted: false,
    ...more,
  };
}

/** The parts that a conversation's document carries. */
function partsOf(conversation: Document): readonly Json[] {
  return (conversation['conversation_parts'] as { conversation_parts: readonly Json[] }).conversation_parts;
}

/** The document with one more part. */
export function withPart(world: World, conversation: Document, part: Document, changes: Json = {}): Document {
  const parts = [...partsOf(conversation), part].slice(-PARTS_SHOWN);
  const total = Number((conversation['conversation_parts'] as Json)['total_count']) + 1;
  return {
    ...conversation,
    ...changes,
    conversation_parts: { type: 'conversation_part.list', conversation_parts: parts, total_count: total },
    updated_at: world.nowSeconds(),
  };
}

/** Plain text as Intercom shows it, in a paragraph and with entities; HTML as it is. */
export function asHtml(body: string): string {
  if (body.startsWith('<')) return body;
  return `<p>${body.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}</p>`;
}

/** A conversation without parts; `source` says how it began, when not by the customer. */
export function newConversation(
  world: World,
  author: Json,
  contactId: string,
  body: string,
  source: Json = { delivered_as: 'customer_initiated' },
): Document {
  const now = world.nowSeconds();
  return {
    type: 'conversation',
    id: world.newNumber(),
    created_at: now,
    updated_at: now,
    title: null,
    state: 'open',
    open: true,
    read: false,
    priority: 'not_priority',
    admin_assignee_id: null,
    team_assignee_id: null,
    snoozed_until: null,
    source: {
      type: 'conversation',
      id: world.newNumber(),
      ...source,
      body: asHtml(body),
      author,
    },
    contacts: { type: 'contact.list', contacts: [{ type: 'contact', id: contactId }] },
    tags: { type: 'tag.list', tags: [] },
    custom_attributes: {},
    ticket: null,
    conversation_parts: { type: 'conversation_part.list', conversation_parts: [], total_count: 0 },
  };
}

/** Replaces a conversation and lets the search index know; search shows no parts. */
export function saveConversation(world: World, conversation: Document): void {
  world.conversations.set(conversation.id, conversation);
  const { conversation_parts: _, ...shown } = conversation;
  world.conversationIndex.set(conversation.id, shown);
}

/** 404 for a conversation. */
export function noConversation(call: Call): Answer {
  return error(call.requestId, 404, 'not_found', 'Resource Not Found');
}
