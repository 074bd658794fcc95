import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { classify } from '../../src/core/classify.ts';
import { readErrorBody } from '../../src/core/error-body.ts';
import type { FailureKind } from '../../src/core/outcome.ts';
import { linesOf, settingsOf } from './load-harness.ts';

const page = await readFile('docs/error-maps.md', 'utf8');
const blocks = [...page.matchAll(/^## (\d+) .*?^```yaml\n(.*?)^```/gms)].map(
  ([, n, yaml]) => [Number(n), yaml ?? ''] as const,
);

interface Case {
  readonly request: string;
  readonly status?: number;
  readonly body?: unknown;
  readonly failure?: FailureKind;
  readonly afterUnknown?: boolean;
  readonly verdict: object;
}

const error = (code: string, message = '') => ({ type: 'error.list', errors: [{ code, message }] });

const CASES: Readonly<Record<number, Case>> = {
  1: {
    request: 'PUT /contacts/5',
    status: 500,
    body: error('x', 'invalid field value for plan'),
    verdict: { class: 'permanent', reason: 'bad_attribute' },
  },
  2: {
    request: 'POST /contacts/5/notes',
    status: 404,
    body: error('not_found'),
    verdict: { class: 'transient', reason: 'contact_lag', retryAfterMs: 2000, repeatable: true },
  },
  3: {
    request: 'POST /contacts/search',
    status: 422,
    body: error('parameter_not_found'),
    verdict: { class: 'permanent', reason: 'bad_query' },
  },
  4: {
    request: 'POST /export/reporting_data/enqueue',
    status: 429,
    body: error('rate_limit_exceeded', 'Exceeded rate limit of 5 pending reporting dataset export jobs'),
    verdict: { class: 'permanent', reason: 'export_jobs_pending', pauses: 'nothing' },
  },
  5: {
    request: 'GET /contacts/5',
    status: 403,
    body: '<html>Request blocked</html>',
    verdict: { class: 'throttled', reason: 'gateway_throttle', retryAfterMs: 30_000, pauses: 'endpoint' },
  },
  6: {
    request: 'DELETE /custom_things/5',
    status: 404,
    afterUnknown: true,
    verdict: { class: 'ok', reason: 'already_deleted', effect: 'applied' },
  },
  7: {
    request: 'POST /tickets',
    status: 502,
    verdict: { class: 'transient', reason: 'ticket_backend', effect: 'unknown' },
  },
  8: { request: 'POST /custom_object_instances/car', status: 500, verdict: { class: 'transient' } },
  9: {
    request: 'PUT /contacts/5',
    status: 503,
    body: 'scheduled maintenance until 4',
    verdict: { class: 'transient', reason: 'maintenance', retryAfterMs: 45_000 },
  },
  10: {
    request: 'POST /conversations/search',
    failure: 'timeout',
    verdict: { class: 'permanent', reason: 'search_too_wide' },
  },
};

function yamlOf(n: number): string {
  return blocks.find(([number]) => number === n)?.[1] ?? '';
}

test('the guide has ten worked cases', () => {
  expect(blocks.map(([n]) => n)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test.each(blocks)('case %d loads and does what its text says', async (n, yaml) => {
  // Case 6 is about an operation that the shipped map does not have, and says so.
  expect(await linesOf(yaml)).toEqual(n === 6 ? [expect.stringContaining('is no operation of the shipped map')] : []);
  const given = CASES[n] as Case;
  const [method = '', path = ''] = given.request.split(' ');
  const { policy } = (await settingsOf(yaml)).match(method, path);
  const text = given.body === undefined ? '' : typeof given.body === 'string' ? given.body : JSON.stringify(given.body);
  const { verdict } = classify({
    policy,
    operationClass: policy.operationClass,
    bodyRepeatable: true,
    afterUnknown: given.afterUnknown ?? false,
    answer:
      given.status === undefined
        ? null
        : { status: given.status, headers: [], body: 'unchecked', error: readErrorBody(Buffer.from(text)) },
    failure: given.failure === undefined ? null : { kind: given.failure, sent: 'maybe' },
    receivedAtMs: 0,
  });
  expect(verdict).toMatchObject(given.verdict);
});

test('the conditions of cases 7 and 8 hold for the bodies that they speak of', async () => {
  const tickets = (await settingsOf(yamlOf(7))).match('POST', '/tickets').policy.guardedBy;
  expect(await tickets?.holds({ ticket_attributes: { external_key: 'k' } })).toBe(true);
  expect(await tickets?.holds({ ticket_attributes: {} })).toBe(false);
  const objects = (await settingsOf(yamlOf(8))).match('POST', '/custom_object_instances/car').policy.idempotentIf;
  expect(await objects?.holds({ external_id: '1', external_updated_at: 2 })).toBe(true);
  expect(await objects?.holds({ external_id: '1' })).toBe(false);
});
