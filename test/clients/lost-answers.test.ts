/**
 * The official Node SDK, unmodified and at its defaults but for `baseUrl`, against an upstream that commits and loses the
 * answer: one effect each, and the SDK's caller has the object in its hands.
 */

import type { IntercomClient } from 'intercom-client';
import { describe, expect, it } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { type Clients, startClients } from './harness.ts';

/** Attempts end far before the client's 20 s. */
const CONFIGURATION = `version: 1
upstream: { breaker: { failures: 1000 } }
profiles: { sdk: { timeout: { attempt: 1s, body_idle: 1s }, retry: { base_delay: 100ms } } }
profile: sdk
`;

const ADMIN = '814860';

const LOSSES: readonly (readonly [name: string, fault: RuleInput['fault']])[] = [
  ['500', { kind: 'status', status: 500, effect: 'applied' }],
  ['502', { kind: 'status', status: 502, effect: 'applied', body: 'html' }],
  ['504', { kind: 'status', status: 504, effect: 'applied' }],
  ['reset', { kind: 'reset', effect: 'applied' }],
  ['hang', { kind: 'hang', effect: 'applied' }],
];

/** Ids that the calls need; made without faults. */
interface Ids {
  readonly contact: string;
  readonly conversation: string;
  readonly ticket: string;
}

interface Call {
  readonly operation: string;
  /** How often its like stood in the ledger before. */
  readonly before: number;
  /** The id that the SDK's caller has got; null when there is none to get. */
  readonly id: (client: IntercomClient, ids: Ids) => Promise<string | null>;
}

const CALLS: readonly Call[] = [
  {
    operation: 'POST /contacts',
    before: 1,
    id: async (client) => (await client.contacts.create({ role: 'lead', email: 'lead@example.org' })).id,
  },
  {
    operation: 'POST /contacts/{contact_id}/notes',
    before: 0,
    id: async (client, { contact }) =>
      (await client.notes.create({ contact_id: contact, body: 'Called', admin_id: ADMIN })).id,
  },
  {
    operation: 'POST /conversations',
    before: 1,
    id: async (client, { contact }) =>
      (await client.conversations.create({ from: { type: 'user', id: contact }, body: 'Hello?' })).conversation_id,
  },
  {
    operation: 'POST /conversations/{conversation_id}/reply',
    before: 0,
    id: async (client, { conversation }) => {
      const body = { message_type: 'comment' as const, type: 'admin' as const, admin_id: ADMIN, body: 'Hello!' };
      const answered = await client.conversations.reply({ conversation_id: conversation, body });
      return answered.conversation_parts?.conversation_parts?.at(-1)?.id ?? null;
    },
  },
  {
    operation: 'POST /tickets',
    before: 1,
    id: async (client, { contact }) =>
      (await client.tickets.create({ ticket_type_id: '2', contacts: [{ id: contact }] }))?.id ?? null,
  },
  {
    operation: 'POST /tickets/{ticket_id}/reply',
    before: 0,
    id: async (client, { ticket }) => {
      const body = { message_type: 'comment' as const, type: 'admin' as const, admin_id: ADMIN, body: 'Looking' };
      return (await client.tickets.reply({ ticket_id: ticket, body })).id ?? null;
    },
  },
  {
    operation: 'POST /events',
    before: 0,
    id: async (client) => {
      await client.events.create({ event_name: 'invited', user_id: 'user-1', created_at: 1_700_000_000 });
      return null;
    },
  },
];

async function seed({ alone }: Clients): Promise<Ids> {
  const { id } = await alone.contacts.create({ external_id: 'user-1' });
  const { conversation_id: conversation } = await alone.conversations.create({
    from: { type: 'user', id },
    body: 'Seeded',
  });
  const ticket = await alone.tickets.create({ ticket_type_id: '1', contacts: [{ id }] });
  return { contact: id, conversation, ticket: ticket?.id ?? '' };
}

describe.each(LOSSES)('intercom-client at its defaults, and an upstream that commits and then: %s', (_, fault) => {
  it('§7: every create has one effect, and its caller gets the object', { timeout: 60_000 }, async () => {
    const clients = await startClients([], {}, CONFIGURATION);
    const { simulator, behindAtDefaults } = clients;
    const ids = await seed(clients);
    for (const { operation } of CALLS) simulator.fault({ match: operation, times: 1, fault });
    const got = await Promise.all(CALLS.map((call) => call.id(behindAtDefaults, ids)));
    const effects = CALLS.map(({ operation, before }) =>
      simulator
        .effects()
        .filter((effect) => effect.operation === operation)
        .slice(before),
    );
    expect(effects.map((own) => own.length)).toEqual(CALLS.map(() => 1));
    expect(got).toEqual(effects.map(([only], i) => (CALLS[i]?.operation === 'POST /events' ? null : only?.id)));
  });

  it('§7: a user with an external_id: sent again, refused, confirmed', { timeout: 60_000 }, async () => {
    const { simulator, behindAtDefaults } = await startClients([], {}, CONFIGURATION);
    simulator.fault({ match: 'POST /contacts', times: 1, fault });
    const made = await behindAtDefaults.contacts.create({ external_id: 'user-9', email: 'nine@example.org' });
    expect(made).toMatchObject({ type: 'contact', external_id: 'user-9', role: 'user' });
    expect(simulator.effects().map(({ id }) => id)).toEqual([made.id]);
  });
});
