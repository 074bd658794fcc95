import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load.ts';
import { classify } from '../../src/core/classify.ts';
import { readErrorBody } from '../../src/core/error-body.ts';
import type { FailureKind } from '../../src/core/outcome.ts';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { OperationClass } from '../../src/core/verdict.ts';

const RECEIVED = Date.UTC(2026, 10, 22, 12, 0, 0);
const loaded = await loadSettings({ file: null, env: {}, flags: {}, readFile: () => '' });
if (!loaded.ok) throw new Error('the defaults do not load');
const policies = loaded.settings.policies.filter((policy) => policy.known);

function policyOf(match: string): EndpointPolicy {
  const found = policies.find((each) => each.name === match);
  if (found === undefined) throw new Error(`the map has no ${match}`);
  return found;
}

interface Seen {
  afterUnknown?: boolean;
  class?: OperationClass;
  headers?: string[];
}

function onError(match: string, status: number, body: unknown, seen: Seen = {}) {
  const policy = policyOf(match);
  return classify({
    policy,
    operationClass: seen.class ?? policy.operationClass,
    bodyRepeatable: true,
    afterUnknown: seen.afterUnknown ?? false,
    answer: {
      status,
      headers: seen.headers ?? [],
      body: 'unchecked',
      error: readErrorBody(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))),
    },
    failure: null,
    receivedAtMs: RECEIVED,
  });
}

const errorList = (code: string, message = 'x') => ({
  type: 'error.list',
  request_id: 'r',
  errors: [{ code, message }],
});

const DOCUMENTED: readonly [string, number, unknown, string, string][] = [
  [
    'POST /contacts',
    409,
    errorList('conflict', 'A contact matching those details already exists with id=5da6f18e3d7cf967e4582d05'),
    'permanent',
    'contact_exists',
  ],
  [
    'POST /contacts',
    409,
    errorList('conflict', 'An archived contact matching those details already exists with id=5da6'),
    'permanent',
    'archived_contact_exists',
  ],
  [
    'POST /events',
    409,
    errorList('conflict', 'Multiple existing users match this email address - must be more specific using user_id'),
    'permanent',
    'ambiguous_contact',
  ],
  [
    'PUT /contacts/{contact_id}',
    409,
    errorList('conflict', 'Concurrent modification, please try again'),
    'transient',
    'concurrent_modification',
  ],
  ['GET /contacts/{contact_id}', 410, errorList('contact_merged'), 'permanent', 'contact_merged'],
  [
    'GET /contacts',
    429,
    errorList('rate_limit_exceeded', 'Exceeded rate limit of 83 in 10_seconds'),
    'throttled',
    'rate_limit_exceeded',
  ],
  ['GET /contacts', 429, '', 'throttled', 'rate_limit_exceeded'],
  [
    'POST /export/content/data',
    429,
    errorList('rate_limit_exceeded', 'Exceeded rate limit of 1 pending message data export jobs'),
    'permanent',
    'export_jobs_pending',
  ],
  [
    'POST /export/reporting_data/enqueue',
    429,
    errorList('rate_limit_exceeded', 'Exceeded rate limit of 5 pending reporting dataset export jobs'),
    'permanent',
    'export_jobs_pending',
  ],
  [
    'POST /export/content/data',
    429,
    errorList('rate_limit_exceeded', 'Exceeded rate limit of 83 in 10_seconds'),
    'throttled',
    'rate_limit_exceeded',
  ],
  ['POST /messages', 404, errorList('not_found', 'Resource Not Found'), 'transient', 'contact_lag'],
  ['POST /conversations', 404, errorList('not_found', 'Contact Not Found'), 'transient', 'contact_lag'],
  [
    'POST /conversations/search',
    404,
    errorList('not_found', 'Conversation not found. Message deleted.'),
    'transient',
    'search_lag',
  ],
  ['GET /contacts/{contact_id}', 404, errorList('not_found', 'User Not Found'), 'permanent', 'not_found'],
  [
    'GET /companies/scroll',
    400,
    errorList('scroll_exists', 'scroll already exists for this workspace'),
    'transient',
    'scroll_exists',
  ],
  ['GET /companies/scroll', 404, errorList('not_found'), 'permanent', 'scroll_expired'],
  [
    'GET /companies/scroll',
    500,
    errorList('server_error', 'Request failed due to an internal network error. Please restart the scroll operation.'),
    'permanent',
    'scroll_broken',
  ],
  ['GET /companies', 500, errorList('server_error'), 'transient', 'status_500'],
  [
    'POST /conversations/{id}/merge',
    401,
    errorList('token_unauthorized', 'Not authorized to access resource'),
    'permanent',
    'forbidden',
  ],
  ['GET /me', 401, errorList('unauthorized', 'Access Token Invalid'), 'unauthorized', 'unauthorized'],
  ['GET /me', 401, errorList('token_revoked'), 'unauthorized', 'token_rejected'],
  ['GET /me', 403, errorList('api_plan_restricted', 'Active subscription needed.'), 'permanent', 'plan_restricted'],
  ['GET /tags', 400, errorList('intercom_version_invalid'), 'permanent', 'not_supported'],
  ['POST /articles', 400, errorList('parameter_not_found'), 'permanent', 'input_refused'],
  ['POST /contacts', 422, errorList('data_invalid'), 'permanent', 'input_refused'],
  ['POST /contacts', 500, errorList('parameter_invalid', 'role'), 'permanent', 'input_refused'],
  ['POST /contacts', 500, errorList('server_error', "invalid field value for 'plan'"), 'permanent', 'input_refused'],
  ['POST /contacts', 504, '<html><title>504 Gateway Time-out</title></html>', 'transient', 'status_504'],
  ['POST /contacts', 502, '<html>502 Bad Gateway</html>', 'transient', 'status_502'],
  [
    'GET /messages/status',
    500,
    { type: 'error', request_id: 'r', message: 'Internal error' },
    'transient',
    'status_500',
  ],
  ['POST /contacts', 408, errorList('request_timeout'), 'transient', 'status_408'],
  ['DELETE /tags/{tag_id}', 400, errorList('tag_has_dependent_objects'), 'permanent', 'request_refused'],
];

it.each(DOCUMENTED)('%s answered %i %j is %s, %s, and mapped', (match, status, body, expected, reason) => {
  const { verdict, mapped } = onError(match, status, body);
  expect(verdict).toMatchObject({ class: expected, reason });
  expect(mapped).toBe(true);
});

it('§1: a 429 about export jobs pauses nobody', () => {
  const { verdict } = onError(
    'POST /export/content/data',
    429,
    errorList('rate_limit_exceeded', 'of 1 pending message data export jobs'),
  );
  expect(verdict).toMatchObject({ pauses: 'nothing', retryAfterMs: null, countsAgainstBreaker: false });
});

it('§1: an open scroll waits 10 s, lag takes the normal backoff', () => {
  expect(onError('GET /companies/scroll', 400, errorList('scroll_exists')).verdict.retryAfterMs).toBe(10_000);
  expect(onError('POST /messages', 404, errorList('not_found')).verdict).toMatchObject({
    retryAfterMs: null,
    repeatable: true,
  });
});

const AFTER_UNKNOWN: readonly [string, number, unknown][] = [
  ['DELETE /contacts/{contact_id}', 404, errorList('not_found')],
  ['DELETE /tags/{tag_id}', 404, ''],
  ['POST /tickets/{ticket_id}/linked_conversations', 400, errorList('already_linked_to_tracker')],
  ['POST /conversations/{id}/merge', 422, errorList('merge_failed', 'Secondary conversation has already been merged')],
  [
    'POST /help_center/help_centers/{help_center_id}/redirects',
    409,
    errorList('resource_conflict', 'A redirect with that URL already exists'),
  ],
  ['POST /data_attributes', 400, errorList('parameter_invalid', "You already have 'plan' in your company data.")],
  ['POST /articles/{id}/draft/publish', 422, errorList('parameter_invalid', 'Article has no draft to publish')],
  ['POST /fin_voice/register', 409, ''],
];

it.each(AFTER_UNKNOWN)(
  '§1: %s answered %i is ok after an unknown outcome, and what it says otherwise',
  (match, status, body) => {
    expect(onError(match, status, body, { afterUnknown: true }).verdict).toMatchObject({
      class: 'ok',
      effect: 'applied',
    });
    expect(onError(match, status, body).verdict.class).toBe('permanent');
  },
);

it('§1: a lost page of the scroll is never asked for again, a call that was not sent is', () => {
  const policy = policyOf('GET /companies/scroll');
  const facts = {
    policy,
    operationClass: 'read',
    bodyRepeatable: true,
    afterUnknown: false,
    receivedAtMs: RECEIVED,
  } as const;
  const head = { status: 200, headers: [], error: null } as const;
  for (const kind of ['timeout', 'reset', 'truncated'] as const) {
    expect(classify({ ...facts, answer: null, failure: { kind, sent: 'maybe' } }).verdict.class).toBe('permanent');
  }
  expect(classify({ ...facts, answer: { ...head, body: 'cut' }, failure: null }).verdict.class).toBe('permanent');
  expect(classify({ ...facts, answer: { ...head, body: 'whole' }, failure: null }).verdict.class).toBe('ok');
  expect(classify({ ...facts, answer: null, failure: { kind: 'connect', sent: 'no' } }).verdict.class).toBe(
    'transient',
  );
});

it('§2: over the whole map, no create with an open effect is repeatable, and only after_unknown makes an error ok', () => {
  const codes = ['server_error', 'not_found', 'conflict', 'rate_limit_exceeded', 'parameter_invalid', 'new_code'];
  const kinds: readonly FailureKind[] = ['connect', 'dns', 'tls', 'timeout', 'reset', 'truncated'];
  for (const policy of policies) {
    const facts = { policy, operationClass: policy.operationClass, bodyRepeatable: true, receivedAtMs: RECEIVED };
    for (const afterUnknown of [false, true]) {
      for (let status = 400; status < 600; status += 1) {
        for (const code of codes) {
          const error = { codes: [code], messages: ['x'], text: code, requestId: null, shape: 'error_list' } as const;
          const answer = { status, headers: [], body: 'unchecked', error } as const;
          const { verdict } = classify({ ...facts, afterUnknown, answer, failure: null });
          if (policy.operationClass === 'create' && verdict.effect !== 'none') expect(verdict.repeatable).toBe(false);
          if (verdict.class === 'ok') expect(afterUnknown).toBe(true);
        }
      }
      for (const kind of kinds) {
        const { verdict } = classify({ ...facts, afterUnknown, answer: null, failure: { kind, sent: 'maybe' } });
        if (policy.operationClass === 'create') expect(verdict).toMatchObject({ effect: 'unknown', repeatable: false });
      }
    }
  }
});

it('every 5xx and 429 of every operation is mapped, so that only what is new is counted as unmapped', () => {
  for (const policy of policies) {
    for (const status of [401, 408, 429, 500, 502, 503, 504]) {
      expect(onError(policy.name, status, '').mapped, `${policy.name} ${status}`).toBe(true);
    }
    expect(onError(policy.name, 418, errorList('teapot')).mapped).toBe(false);
  }
});

it('the map names its own lines', () => {
  const lines = readFileSync(new URL('../../config/intercom.yaml', import.meta.url), 'utf8').split('\n');
  const { rule } = onError('POST /messages', 404, errorList('not_found'));
  const line = Number(rule?.origin.split(':').at(-1));
  expect(lines[line - 1]).toContain('contact_lag');
});
