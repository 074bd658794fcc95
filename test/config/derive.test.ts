import { describe, expect, test } from 'vitest';
import { derivedKeyHashOf } from '../../src/core/fingerprint.ts';
import { exchange } from '../support/exchanges.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { linesOf, settingsOf } from './load-harness.ts';

describe('idempotency.derive', () => {
  test.each([
    ["defaults: { idempotency: { derive: ['external_id ='] } }", 'is not valid JSONata'],
    ["defaults: { idempotency: { derive: [external_id, '$now()'] } }", 'must not use $now'],
    ["profiles: { mine: { idempotency: { derive: ['$random()'] } } }", 'must not use $random'],
    ["endpoints: [{ match: POST /contacts, idempotency: { derive: ['$eval(a)'] } }]", 'must not use $eval'],
    ['defaults: { idempotency: { derive: [] } }', 'JSONata'],
    ['defaults: { idempotency: { derive: external_id } }', 'JSONata'],
  ])('%s is a fault, with its place', async (yaml, message) => {
    const lines = (await linesOf(yaml)).join('\n');
    expect(lines).toContain(message);
    expect(lines).toMatch(/^1:\d+: /);
  });

  test('§6: each part is evaluated alone; one that is missing, or endless, means no key', async () => {
    const yaml =
      "endpoints: [{ match: POST /contacts, idempotency: { derive: [external_id, 'email ? email : $map([1..1e6], $string)'] } }]";
    const { derive } = (await settingsOf(yaml)).match('POST', '/contacts').policy.idempotency;
    const keyOf = async (body: unknown) => {
      const parts = await Promise.all((derive ?? []).map((part) => part.evaluate(body)));
      return derivedKeyHashOf(NAMES_KEY, exchange(), parts, 'fingerprint');
    };
    const key = await keyOf({ external_id: '1', email: 'a' });
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf({ email: 'a', external_id: '1' })).toBe(key);
    expect(await keyOf({ external_id: '2', email: 'a' })).not.toBe(key);
    for (const body of [{ email: 'a' }, { external_id: '1' }, { external_id: ['1'], email: 'a' }, 'text']) {
      expect(await keyOf(body)).toBeNull();
    }
  });
});
