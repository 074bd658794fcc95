import { describe, expect, it } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import { editedOperation, editSchema } from '../../src/edge/dead-letter-edit.ts';
import { row } from '../store/rows.ts';
import { policy } from '../support/exchanges.ts';
import { NAMES_KEY } from '../support/names-key.ts';

const UPSERT: Partial<EndpointPolicy> = {
  name: 'POST /companies',
  idempotentIf: {
    source: 'company_id',
    holds: async (body) => (body as { company_id?: string } | null)?.company_id !== undefined,
  },
};

function edit(given: unknown, original: Partial<Operation> = {}, rules: Partial<EndpointPolicy> = UPSERT) {
  const dead = row({
    id: 'a',
    state: 'dead',
    deadReason: 'permanent',
    endpoint: 'POST /companies',
    operationClass: 'idempotent',
    method: 'POST',
    target: '/companies',
    headers: ['Content-Type', 'application/json', 'Content-Length', '18', 'Content-Encoding', 'identity'],
    body: Buffer.from('{"company_id":"7"}'),
    ...original,
  });
  const match = () => ({ policy: policy(rules), params: {} });
  return editedOperation(dead, editSchema.parse(given), { id: 'b', nowMs: 5, namesKey: NAMES_KEY, match });
}

describe('§9: an edited dead letter', () => {
  it('is of the class that its own body has: without what told it apart an upsert creates', async () => {
    expect(await edit({ body: { company_id: '8' } })).toMatchObject({ operationClass: 'idempotent', parent: 'a' });
    expect(await edit({ body: { name: 'x' } })).toMatchObject({ operationClass: 'create', naturalKey: null });
  });

  it('is a write to the resource that its own target names', async () => {
    const rules = { name: 'PUT /contacts/{id}', operationClass: 'idempotent' } as const;
    const original = { method: 'PUT', target: '/contacts/7', credentialRef: 'c', resource: 'c /contacts/7' };
    expect(await edit({ target: '/contacts/8' }, original, rules)).toMatchObject({ resource: 'c /contacts/8' });
  });

  it.each([
    'Transfer-Encoding',
    'Expect',
    'Upgrade',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Connection',
    'Host',
    'X-Api-Key',
    'bad name',
  ])('takes no field that belongs to one hop, to us, or is a credential: %s', async (name) => {
    await expect(edit({ headers: { [name]: 'x' } })).rejects.toThrow(/is no field that an edit may set/);
  });

  it('has the length of its body, and the coding of none when the body is a new one', async () => {
    const { headers } = await edit({ body: 'äö' }, { body: Buffer.from('text') });
    expect(headers).toEqual(['Content-Type', 'application/json', 'Content-Length', '4']);
  });
});
