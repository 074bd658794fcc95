import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { OperatorEvent } from '../../src/core/notify.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';

const HOUR_MS = 3_600_000;
const call = () => exchange({ policy: policy({ name: 'POST /contacts' }) });

test.each(['x }\nevil: yes', '", verdict: ok, "', "it's", '# no', '\u0085', 'no', '42', ''])(
  'the entry to paste keeps an upstream’s code %j one value',
  (code) => {
    const { events, named } = recordedEvents();
    events.unmappedError(call(), 422, code, null, 0);
    expect(parse(String(named('unmapped_error')[0]?.['paste']))).toEqual([
      { match: 'POST /contacts', errors: [{ when: { status: 422, code }, verdict: 'permanent' }] },
    ]);
  },
);

test('an upstream’s endless code is cut', () => {
  const { events, named } = recordedEvents();
  events.unmappedError(call(), 422, 'x'.repeat(1_000_000), null, 0);
  expect(JSON.stringify(named('unmapped_error')).length).toBeLessThan(1000);
});

test('§1: an upstream that makes up codes gets one line an hour for an endpoint and a status, and is counted each time', async () => {
  const { events, metrics, named } = recordedEvents();
  for (let i = 0; i < 100; i += 1) events.unmappedError(call(), 422, `made-up-${i}`, null, i);
  events.unmappedError(call(), 400, 'other', null, 100);
  expect(named('unmapped_error').map((line) => line['status'])).toEqual([422, 400]);
  events.unmappedError(call(), 422, 'later', null, HOUR_MS);
  expect(named('unmapped_error')).toHaveLength(3);
  expect((await metrics.unmappedErrors.get()).values.map(({ value }) => value)).toEqual([101, 1]);
});

test('§3: a refused credential alarms, unless it was read again and had changed', () => {
  const { events, named } = recordedEvents();
  const heard: OperatorEvent[] = [];
  events.listen((event) => heard.push(event));
  for (const changed of [true, false, null]) events.credentialRejected(call(), changed);
  expect(heard).toHaveLength(2);
  expect(named('credential_rejected').map((line) => line['changed'])).toEqual([true, false, null]);
});
