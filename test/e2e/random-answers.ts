import type { EndpointPolicy } from '../../src/core/policy.ts';
import type { Random } from '../../src/ops/random.ts';

/** A request, and the answer that the upstream gives to it however often it comes. */
export interface Case {
  readonly method: string;
  readonly target: string;
  readonly requestBody: string | null;
  readonly status: number;
  /** Flat. */
  readonly headers: readonly string[];
  readonly body: string;
}

const STATUSES = [200, 200, 201, 202, 204, 302, 400, 401, 403, 404, 404, 405, 408, 409, 409, 410, 418, 422, 422, 425];
const FAULTS = [429, 429, 429, 500, 500, 500, 501, 502, 502, 503, 503, 503, 504, 505, 507, 599];

/** Codes that Intercom documents, those of the map's rules among them, and one that nobody knows. */
const CODES = [
  'server_error',
  'service_unavailable',
  'rate_limit_exceeded',
  'parameter_invalid',
  'parameter_not_found',
  'data_invalid',
  'type_mismatch',
  'not_found',
  'conflict',
  'resource_conflict',
  'scroll_exists',
  'retry_after',
  'request_timeout',
  'already_linked_to_tracker',
  'merge_failed',
  'token_revoked',
  'unauthorized',
  'api_plan_restricted',
  'contact_merged',
  'nobody_knows_this',
];

/** Words that the map's rules look for, and others. */
const MESSAGES = [
  'Something went wrong',
  'Exceeded rate limit of 83 in 10_seconds',
  'Exceeded rate limit of 1 pending message data export jobs',
  'Exceeded rate limit of 5 pending reporting dataset export jobs',
  'A contact matching those details already exists with id=5da6f18e3d7cf967e4582d05',
  'An archived contact matching those details already exists with id=5da6f18e3d7cf967e4582d05',
  'Secondary conversation has already been merged',
  "You already have 'plan' in your company data",
  'Article has no draft to publish',
  'Request failed due to an internal network error. Please restart the scroll operation.',
  'invalid field value',
  'User Not Found',
  'Contact Not Found',
  'Conversation not found. Message deleted.',
];

const WISHES: readonly (readonly string[])[] = [
  [],
  [],
  [],
  ['Retry-After', '0'],
  ['Retry-After', '1'],
  ['Retry-After', '3600'],
  ['Retry-After', 'soon'],
  ['Date', 'Sun, 22 Nov 2026 10:00:00 GMT', 'Retry-After', 'Sun, 22 Nov 2026 09:59:00 GMT'],
  ['Date', 'Sun, 22 Nov 2026 10:00:00 GMT', 'Retry-After', 'Sun, 22 Nov 2026 10:00:01 GMT'],
  ['X-RateLimit-Reset', '1'],
  ['X-RateLimit-Reset', '1000000000'],
  ['X-RateLimit-Reset', '9999999999'],
  ['RateLimit', '"default";r=0;t=1'],
];

const REQUEST_BODIES = [
  null,
  '{}',
  '{"company_id":"7"}',
  '{"email":"a@example.org","role":"user"}',
  '{"external_id":"7"}',
  '{',
];

/** One of the endpoints of the map or a stranger, and any answer. The same numbers make the same case. */
export function randomCase(random: Random, policies: readonly EndpointPolicy[]): Case {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const [method, target] = randomRequest(random, pick, policies);
  const status = pick(random() < 0.5 ? STATUSES : FAULTS);
  const bodyless = status === 204;
  return {
    method,
    target,
    requestBody: method === 'GET' ? null : pick(REQUEST_BODIES),
    status,
    headers: [...pick(WISHES), ...(random() < 0.5 ? ['X-Request-Id', 'req-7'] : [])],
    body: bodyless ? '' : status < 400 ? randomSuccess(random) : randomError(random, pick),
  };
}

type Pick = <T>(list: readonly T[]) => T;

function randomRequest(random: Random, pick: Pick, policies: readonly EndpointPolicy[]): [string, string] {
  if (random() < 0.05) return [pick(['GET', 'PUT', 'DELETE', 'POST', 'PATCH']), '/some/where/new'];
  const [method = '', template = ''] = pick(policies.filter(({ known }) => known)).name.split(' ');
  return [method, template.replace(/\{\w+\}/g, '7') + (random() < 0.2 ? '?per_page=5' : '')];
}

function randomSuccess(random: Random): string {
  const chance = random();
  if (chance < 0.6) return '{"type":"list","data":[{"id":"7"}],"pages":{"next":null}}';
  if (chance < 0.7) return '{"type":"list","data":[{"id"';
  if (chance < 0.8) return '{"type":"list","data":[{"id"}]}';
  return chance < 0.9 ? '<html><body>Maintenance</body></html>' : '';
}

function randomError(random: Random, pick: Pick): string {
  const chance = random();
  const message = pick(MESSAGES);
  if (chance < 0.7) return JSON.stringify({ type: 'error.list', errors: [{ code: pick(CODES), message }] });
  if (chance < 0.75) return JSON.stringify({ type: 'error', message });
  if (chance < 0.8) return JSON.stringify({ errors: { base: message } });
  if (chance < 0.85) return JSON.stringify({ error_key: pick(CODES), message });
  if (chance < 0.9) return `<html><h1>${message}</h1></html>`;
  return chance < 0.95 ? '{"errors":[{"code"' : '';
}
