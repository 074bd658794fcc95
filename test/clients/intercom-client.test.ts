/** The official Node SDK, unmodified except for `baseUrl`, over real sockets: SDK, Holdfast, simulator. */

import { IntercomError } from 'intercom-client';
import { describe, expect, it } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { startClients } from './harness.ts';

const requestsOf = (simulator: Simulator, operation: string): number =>
  simulator.stats().operations[operation]?.requests ?? 0;
const effectsOf = (simulator: Simulator, operation: string): number =>
  simulator.stats().operations[operation]?.effects ?? 0;

async function rejection(call: PromiseLike<unknown>): Promise<IntercomError> {
  const error = await Promise.resolve(call).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(IntercomError);
  return error as IntercomError;
}

const codeOf = (error: IntercomError): unknown => (error.body as { errors: { code: string }[] }).errors[0]?.code;

describe('an upstream in good health', () => {
  it('creates, updates, finds and searches contacts as without Holdfast', async () => {
    const { behind, simulator } = await startClients();
    const created = await behind.contacts.create({ email: 'ada@example.org', name: 'Ada' });
    expect(created).toMatchObject({ type: 'contact', email: 'ada@example.org', role: 'user' });
    const updated = await behind.contacts.update({ contact_id: created.id, name: 'Ada L.' });
    expect(updated).toMatchObject({ id: created.id, name: 'Ada L.' });
    const page = await behind.contacts.search({
      query: { field: 'email', operator: '=', value: 'ada@example.org' },
    });
    expect(page.data.map(({ id }) => id)).toEqual([created.id]);
    expect(await behind.contacts.find({ contact_id: created.id })).toMatchObject({ name: 'Ada L.' });
    expect(simulator.stats()).toMatchObject({ requests: 4, effects: 2, duplicates: 0 });
  });

  it('pages through a conversation search to its last entry', async () => {
    const { behind } = await startClients();
    const contact = await behind.contacts.create({ email: 'ada@example.org' });
    const wanted = new Set<string>();
    for (let i = 0; i < 7; i += 1) {
      const message = await behind.conversations.create({
        from: { type: 'user', id: contact.id },
        body: `question ${i}`,
      });
      wanted.add(message.conversation_id);
    }
    const page = await behind.conversations.search({
      query: { field: 'created_at', operator: '>', value: '1' },
      pagination: { per_page: 3 },
    });
    const seen: string[] = [];
    for await (const conversation of page) seen.push(conversation.id);
    expect(seen).toHaveLength(7);
    expect(new Set(seen)).toEqual(wanted);
  });

  it('submits an event and takes the empty 202 for what it is', async () => {
    const { behind, simulator } = await startClients();
    await behind.contacts.create({ external_id: 'user-7' });
    await behind.events.create({ user_id: 'user-7', event_name: 'invited', created_at: 1_700_000_000 });
    expect(effectsOf(simulator, 'POST /events')).toBe(1);
  });

  it("gives the caller the upstream's 404 with its own words, tried once", async () => {
    const { behind, simulator } = await startClients();
    const error = await rejection(behind.contacts.find({ contact_id: 'nobody' }));
    expect(error.statusCode).toBe(404);
    expect(codeOf(error)).toBe('not_found');
    expect(simulator.stats().requests).toBe(1);
    expect(error.rawResponse?.headers.get('holdfast')).toContain('verdict=permanent');
  });

  it('gives the caller the 409 of a second create, untouched', async () => {
    const { behind } = await startClients();
    const { id } = await behind.contacts.create({ email: 'ada@example.org' });
    const error = await rejection(behind.contacts.create({ email: 'ada@example.org' }));
    expect(error.statusCode).toBe(409);
    expect(error.message).toContain(`id=${id}`);
  });
});

describe('an upstream in trouble', () => {
  it.each(['seconds', 'date', 'reset'] as const)(
    '§3: waits out a 429 (%s), so that the caller sees a success',
    async (hint) => {
      const { behind, simulator, holdfast } = await startClients([
        { match: 'POST /contacts', times: 1, fault: { kind: 'throttle', hint, wait: '1s' } },
      ]);
      const created = await behind.contacts.create({ email: 'ada@example.org' });
      expect(created.id).toBeTruthy();
      expect(simulator.stats()).toMatchObject({ requests: 2, throttled: 1, duplicates: 0 });
      expect(holdfast.log.find(({ event }) => event === 'exchange')).toMatchObject({ attempts: 2, verdict: 'ok' });
    },
  );

  it('§3: repeats a read that got a 500', async () => {
    const { behind, alone, simulator } = await startClients();
    const { id } = await behind.contacts.create({ email: 'ada@example.org' });
    const fault = { kind: 'status', status: 500 } as const;
    simulator.fault({ match: 'GET /contacts/{id}', times: 1, fault });
    expect((await rejection(alone.contacts.find({ contact_id: id }))).statusCode).toBe(500);
    simulator.clearFaults();
    simulator.fault({ match: 'GET /contacts/{id}', times: 2, fault });
    expect(await behind.contacts.find({ contact_id: id })).toMatchObject({ id });
    expect(requestsOf(simulator, 'GET /contacts/{contact_id}')).toBe(4);
  });

  it('§2: repeats a search that got a 502, although it is a POST', async () => {
    const { behind, simulator } = await startClients([
      { match: 'POST /contacts/search', times: 1, fault: { kind: 'status', status: 502, body: 'html' } },
    ]);
    const page = await behind.contacts.search({ query: { field: 'email', operator: '=', value: 'x@example.org' } });
    expect(page.data).toEqual([]);
    expect(requestsOf(simulator, 'POST /contacts/search')).toBe(2);
  });

  it.each(['none', 'applied'] as const)('§2: sends a create once that got a 500 with effect %s', async (effect) => {
    const { behind, simulator } = await startClients([
      { match: 'POST /contacts', fault: { kind: 'status', status: 500, effect } },
    ]);
    const error = await rejection(behind.contacts.create({ role: 'lead', name: 'Ada' }));
    expect(error.statusCode).toBe(504);
    expect(codeOf(error)).toBe('holdfast_outcome_unknown');
    expect(requestsOf(simulator, 'POST /contacts')).toBe(1);
    expect(effectsOf(simulator, 'POST /contacts')).toBe(effect === 'applied' ? 1 : 0);
  });

  it("§6: the client's own re-sends of a create that left no trace meet the operation, and nothing is sent again", async () => {
    // At its defaults the SDK sends every 5xx again, our 504 too. A lead without e-mail address cannot be looked for.
    const { behindAtDefaults, simulator } = await startClients([
      { match: 'POST /contacts', times: 1, fault: { kind: 'status', status: 500, effect: 'none' } },
    ]);
    const error = await rejection(behindAtDefaults.contacts.create({ role: 'lead', name: 'Ada' }));
    expect(codeOf(error)).toBe('holdfast_outcome_unknown');
    expect(requestsOf(simulator, 'POST /contacts')).toBe(1);
  });

  it('§1: gives up at once on a 500 whose words blame the input', async () => {
    const { behind, simulator } = await startClients([{ match: 'PUT /contacts/{id}', fault: 'invalid' }]);
    const { id } = await behind.contacts.create({ email: 'ada@example.org' });
    const error = await rejection(behind.contacts.update({ contact_id: id, name: 'x' }));
    expect(error.statusCode).toBe(500);
    expect(codeOf(error)).toBe('parameter_invalid');
    expect(requestsOf(simulator, 'PUT /contacts/{contact_id}')).toBe(1);
  });

  it('repeats a read whose connection dropped, where the SDK alone gives up', async () => {
    const { behind, alone, simulator } = await startClients();
    const { id } = await behind.contacts.create({ email: 'ada@example.org' });
    simulator.fault({ match: 'GET /contacts/{id}', times: 1, fault: 'reset' });
    const error = await rejection(alone.contacts.find({ contact_id: id }));
    expect(error.statusCode).toBeUndefined();
    simulator.clearFaults();
    simulator.fault({ match: 'GET /contacts/{id}', times: 1, fault: 'reset' });
    expect(await behind.contacts.find({ contact_id: id })).toMatchObject({ id });
  });

  it('§1: repeats a read whose body stalled, where the SDK alone hangs', async () => {
    const { behind, alone, simulator } = await startClients();
    const { id } = await behind.contacts.create({ email: 'ada@example.org' });
    simulator.fault({ match: 'GET /contacts/{id}', times: 1, fault: 'stall' });
    expect(await behind.contacts.find({ contact_id: id })).toMatchObject({ id });
    simulator.clearFaults();
    simulator.fault({ match: 'GET /contacts/{id}', times: 1, fault: 'stall' });
    // Long past its own timeout, whose timer is cleared when the head is here.
    const hung = alone.contacts.find({ contact_id: id }, { timeoutInSeconds: 0.1 }).then(
      () => 'settled',
      () => 'settled',
    );
    const patience = new Promise((resolve) => setTimeout(resolve, 500, 'hangs'));
    expect(await Promise.race([hung, patience])).toBe('hangs');
  });

  it.each(['length', 'chunked', 'clean'] as const)(
    '§1: never ends a search on a page cut short (%s)',
    async (framing) => {
      const { behind, simulator } = await startClients();
      const contact = await behind.contacts.create({ email: 'ada@example.org' });
      for (let i = 0; i < 5; i += 1) {
        await behind.conversations.create({ from: { type: 'user', id: contact.id }, body: `question ${i}` });
      }
      simulator.fault({ match: 'POST /conversations/search', nth: [2, 3], fault: { kind: 'truncated', framing } });
      const page = await behind.conversations.search({
        query: { field: 'created_at', operator: '>', value: '1' },
        pagination: { per_page: 2 },
      });
      const seen: string[] = [];
      for await (const conversation of page) seen.push(conversation.id);
      expect(new Set(seen).size).toBe(5);
    },
  );

  it('§7: a create whose 200 broke off is sent again where the upstream refuses a second one, and its caller has the contact', async () => {
    const { behind, simulator } = await startClients([{ match: 'POST /contacts', times: 1, fault: 'truncated' }]);
    const contact = await behind.contacts.create({ email: 'ada@example.org' });
    expect(contact).toMatchObject({ type: 'contact', email: 'ada@example.org' });
    expect(effectsOf(simulator, 'POST /contacts')).toBe(1);
  });
});
