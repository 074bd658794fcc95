import { type Json, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';

/** The fields that callers may set, with what they are when nobody set them. */
const SETTABLE: Json = {
  external_id: null,
  email: null,
  phone: null,
  name: null,
  avatar: null,
  owner_id: null,
  signed_up_at: null,
  last_seen_at: null,
  unsubscribed_from_emails: false,
};

/** An empty list as contacts embed them. */
function embeddedList(url: string): Json {
  return { type: 'list', data: [], url, total_count: 0, has_more: false };
}

/** Makes the document of a new contact from a request body. */
export function newContact(world: World, role: string, body: Json): Document {
  const id = world.newId();
  const now = world.nowSeconds();
  return {
    type: 'contact',
    id,
    workspace_id: 'simulated',
    ...SETTABLE,
    role,
    ...settableOf(body),
    has_hard_bounced: false,
    marked_email_as_spam: false,
    created_at: now,
    updated_at: now,
    custom_attributes: body['custom_attributes'] ?? {},
    tags: embeddedList(`/contacts/${id}/tags`),
    notes: embeddedList(`/contacts/${id}/notes`),
    companies: embeddedList(`/contacts/${id}/companies`),
    location: { type: 'location', country: null, region: null, city: null },
    social_profiles: { type: 'list', data: [] },
  };
}

/** The settable fields that a body names. */
export function settableOf(body: Json): Json {
  return Object.fromEntries(Object.entries(body).filter(([name]) => name in SETTABLE));
}

/** The identity that Intercom keeps unique, as a natural key; null for what it does not. */
export function naturalKey(body: Json): string | null {
  if (body['external_id']) return `external_id=${text(body['external_id'])}`;
  if (body['email']) return `email=${text(body['email']).toLowerCase()}`;
  return null;
}
