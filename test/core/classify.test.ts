import { describe, expect, it } from 'vitest';
import { type AnswerFacts, type AttemptFacts, classify, requestIdOf } from '../../src/core/classify.ts';
import { readErrorBody } from '../../src/core/error-body.ts';
import type { FailureKind, Sent } from '../../src/core/outcome.ts';
import type { ErrorCondition, ErrorRule } from '../../src/core/policy.ts';
import { OK, OK_READ, type OperationClass } from '../../src/core/verdict.ts';
import { policy } from '../support/exchanges.ts';

const RECEIVED = Date.UTC(2026, 10, 22, 12, 0, 0);

function rule(when: Partial<ErrorCondition>, rest: Partial<Omit<ErrorRule, 'when'>> = {}): ErrorRule {
  return {
    when: {
      matchesStatus: null,
      codes: null,
      message: null,
      body: null,
      failures: null,
      afterUnknown: false,
      ...when,
    },
    verdict: 'permanent',
    reason: 'by_rule',
    retryAfterMs: null,
    pauses: null,
    deadLetter: null,
    origin: 'test:1',
    ...rest,
  };
}

interface Attempt {
  class?: OperationClass;
  errors?: readonly ErrorRule[];
  afterUnknown?: boolean;
  bodyRepeatable?: boolean;
}

function facts(
  head: AnswerFacts | null,
  failure: { kind: FailureKind; sent: Sent } | null,
  given: Attempt,
): AttemptFacts {
  return {
    policy: policy({ errors: given.errors ?? [] }),
    operationClass: given.class ?? 'create',
    bodyRepeatable: given.bodyRepeatable ?? true,
    afterUnknown: given.afterUnknown ?? false,
    answer: head,
    failure,
    receivedAtMs: RECEIVED,
  };
}

function answer(status: number, body: unknown = null, headers: string[] = []): AnswerFacts {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    status,
    headers,
    body: 'whole',
    error: status < 400 || body === null ? null : readErrorBody(Buffer.from(text)),
  };
}

const errorList = (code: string, message = 'x') => ({
  type: 'error.list',
  request_id: 'r1',
  errors: [{ code, message }],
});
const answered = (status: number, given: Attempt = {}, body: unknown = null, headers: string[] = []) =>
  classify(facts(answer(status, body, headers), null, given));
const failed = (kind: FailureKind, sent: Sent, given: Attempt = {}, head: AnswerFacts | null = null) =>
  classify(facts(head, { kind, sent }, given));
const is = (status: number) => (candidate: number) => candidate === status;

const broken = (body: AnswerFacts['body'], given: Attempt = {}) =>
  classify(facts({ status: 200, headers: [], body, error: null }, null, given)).verdict;

describe('§1: the class of an attempt', () => {
  it.each([
    [200, 'ok'],
    [201, 'ok'],
    [204, 'ok'],
    [302, 'ok'],
    [304, 'ok'],
    [400, 'permanent'],
    [401, 'unauthorized'],
    [403, 'permanent'],
    [404, 'permanent'],
    [408, 'transient'],
    [409, 'permanent'],
    [410, 'permanent'],
    [422, 'permanent'],
    [425, 'transient'],
    [429, 'throttled'],
    [499, 'permanent'],
    [500, 'transient'],
    [501, 'permanent'],
    [502, 'transient'],
    [503, 'transient'],
    [504, 'transient'],
    [505, 'permanent'],
    [520, 'transient'],
    [999, 'transient'],
    [101, 'transient'],
  ] as const)('%i is %s when no rule speaks', (status, expected) => {
    expect(answered(status).verdict.class).toBe(expected);
  });

  it.each(['connect', 'dns', 'tls', 'timeout', 'reset', 'truncated'] as const)('a %s failure is transient', (kind) => {
    const { verdict, mapped } = failed(kind, 'maybe');
    expect(verdict).toMatchObject({ class: 'transient', reason: kind, countsAgainstBreaker: true });
    expect(mapped).toBe(true);
  });

  it('returns the shared verdicts for a plain success and allocates none', () => {
    expect(answered(200).verdict).toBe(OK);
    expect(answered(200, { class: 'read' }).verdict).toBe(OK_READ);
    expect(answered(200)).toBe(answered(201));
  });

  it('says unmapped when only the table knew the error status', () => {
    expect(answered(418).mapped).toBe(false);
    expect(answered(500).mapped).toBe(false);
    expect(answered(418, { errors: [rule({ matchesStatus: is(418) })] }).mapped).toBe(true);
  });

  it('keeps the words of the upstream out of the reason', () => {
    const found = answered(400, {}, errorList('some_new_code', 'for bob@example.com'));
    expect(found.verdict.reason).toBe('status_400');
    expect(found).toMatchObject({ code: 'some_new_code' });
    expect(answered(734).verdict.reason).toBe('status_other');
  });

  it.each([
    ['parameter_invalid', 500],
    ['data_invalid', 503],
    ['type_mismatch', 502],
  ])('a %s under %i is permanent: validation comes before the write', (code, status) => {
    const { verdict, mapped } = answered(status, {}, errorList(code));
    expect(verdict).toMatchObject({
      class: 'permanent',
      reason: 'input_refused',
      effect: 'none',
      countsAgainstBreaker: false,
    });
    expect(mapped).toBe(true);
  });

  it('a 500 whose words blame the input is permanent even when a rule names the status', () => {
    const errors = [rule({ matchesStatus: is(500) }, { verdict: 'transient', reason: 'status_500' })];
    expect(
      answered(500, { errors }, errorList('server_error', "Invalid field value for 'email'")).verdict,
    ).toMatchObject({
      class: 'permanent',
      effect: 'none',
    });
    expect(answered(500, { errors }, errorList('server_error', 'Something went wrong')).verdict.class).toBe(
      'transient',
    );
  });

  it.each([
    'The proxy server received an invalid response from an upstream server.',
    'Invalid response from backend',
    'An unknown error occurred',
    'The service must be restarted',
    'Request failed due to an internal network error. Please restart the scroll operation.',
  ])('does not take "%s" for blame', (message) => {
    expect(answered(500, {}, errorList('server_error', message)).verdict).toMatchObject({
      class: 'transient',
      effect: 'unknown',
    });
  });
});

describe('§1: a 2xx must be whole', () => {
  it('cut JSON is transient with the effect applied', () => {
    expect(broken('cut')).toMatchObject({
      class: 'transient',
      reason: 'broken_cut',
      effect: 'applied',
      repeatable: false,
    });
  });

  it.each(['not_json', 'empty'] as const)('%s is transient with the effect unknown', (body) => {
    expect(broken(body)).toMatchObject({ class: 'transient', effect: 'unknown', repeatable: false });
  });

  it('a read may be asked again, whatever broke', () => {
    for (const body of ['cut', 'not_json', 'empty'] as const) {
      expect(broken(body, { class: 'read' })).toMatchObject({ class: 'transient', effect: 'none', repeatable: true });
    }
  });

  it('a rule on the failure `broken` sees it', () => {
    const errors = [rule({ failures: new Set(['broken']) }, { reason: 'scroll_broken' })];
    expect(broken('cut', { class: 'read', errors })).toMatchObject({ class: 'permanent', reason: 'scroll_broken' });
    expect(answered(200, { class: 'read', errors }).verdict).toBe(OK_READ);
  });
});

describe('§2: effect and repeatability', () => {
  it.each([
    [400, 'none'],
    [401, 'none'],
    [404, 'none'],
    [408, 'unknown'],
    [409, 'none'],
    [425, 'none'],
    [429, 'none'],
    [500, 'unknown'],
    [501, 'none'],
    [502, 'unknown'],
    [503, 'unknown'],
    [504, 'unknown'],
    [505, 'none'],
    [599, 'unknown'],
  ] as const)('a create answered %i has the effect %s', (status, effect) => {
    expect(answered(status).verdict).toMatchObject({ effect, repeatable: effect === 'none' });
    expect(answered(status, { class: 'idempotent' }).verdict).toMatchObject({ effect, repeatable: true });
    expect(answered(status, { class: 'read' }).verdict).toMatchObject({ effect: 'none', repeatable: true });
  });

  it('a 503 that turns away at the door has no effect', () => {
    expect(answered(503, {}, null, ['Retry-After', '2']).verdict).toMatchObject({ effect: 'none', repeatable: true });
    expect(answered(503, {}, errorList('service_unavailable')).verdict).toMatchObject({
      effect: 'none',
      repeatable: true,
    });
  });

  it('nothing sent is repeatable, maybe sent is not for a create', () => {
    expect(failed('connect', 'no').verdict).toMatchObject({ effect: 'none', repeatable: true });
    for (const kind of ['reset', 'timeout', 'truncated'] as const) {
      expect(failed(kind, 'maybe').verdict).toMatchObject({ effect: 'unknown', repeatable: false });
      expect(failed(kind, 'maybe', { class: 'idempotent' }).verdict).toMatchObject({
        effect: 'unknown',
        repeatable: true,
      });
    }
  });

  it('a 2xx that broke off was applied', () => {
    expect(failed('truncated', 'yes', {}, answer(201)).verdict).toMatchObject({
      class: 'transient',
      effect: 'applied',
      repeatable: false,
    });
    expect(failed('timeout', 'yes', {}, answer(200)).verdict).toMatchObject({ effect: 'applied', repeatable: false });
  });

  it('an error that broke off keeps what its status proves', () => {
    expect(failed('truncated', 'yes', {}, answer(404)).verdict).toMatchObject({
      class: 'transient',
      effect: 'none',
      repeatable: true,
    });
    expect(failed('truncated', 'yes', {}, answer(500)).verdict).toMatchObject({
      class: 'transient',
      effect: 'unknown',
      repeatable: false,
    });
    expect(failed('truncated', 'yes', {}, answer(401)).verdict.class).toBe('unauthorized');
  });

  it('a body that cannot be sent again makes the attempt unrepeatable', () => {
    expect(answered(429, { bodyRepeatable: false }).verdict).toMatchObject({ effect: 'none', repeatable: false });
  });

  it('a rule decides the class and never the effect', () => {
    const errors = [rule({ matchesStatus: is(500) }, { verdict: 'transient' })];
    expect(answered(500, { errors }).verdict).toMatchObject({
      class: 'transient',
      effect: 'unknown',
      repeatable: false,
    });
  });
});

describe('§1: error rules', () => {
  it('the first match wins', () => {
    const errors = [
      rule({ matchesStatus: is(409), message: /archived/ }, { reason: 'archived' }),
      rule({ matchesStatus: is(409) }, { reason: 'conflict' }),
    ];
    expect(answered(409, { errors }, errorList('conflict', 'An archived contact')).rule).toBe(errors[0]);
    expect(answered(409, { errors }, errorList('conflict', 'A contact')).rule).toBe(errors[1]);
  });

  it('every given part of a condition must hold', () => {
    const errors = [rule({ matchesStatus: is(422), codes: new Set(['a', 'b']), message: /m/, body: /"field"/ })];
    const body = {
      errors: [
        { code: 'z', message: 'm' },
        { code: 'b', message: 'n', field: 'f' },
      ],
    };
    expect(answered(422, { errors }, body).rule).toBe(errors[0]);
    expect(answered(400, { errors }, body).rule).toBeNull();
    expect(answered(422, { errors }, { errors: [{ code: 'b', message: 'm' }] }).rule).toBeNull();
    expect(answered(422, { errors }).rule).toBeNull();
  });

  it('matches failures by kind', () => {
    const errors = [rule({ failures: new Set(['timeout']) }, { reason: 'slow' })];
    expect(failed('timeout', 'maybe', { errors }).verdict).toMatchObject({ class: 'permanent', reason: 'slow' });
    expect(failed('reset', 'maybe', { errors }).rule).toBeNull();
    expect(answered(504, { errors }).rule).toBeNull();
  });

  it('after_unknown holds only when an earlier attempt may have taken effect, and then says applied', () => {
    const errors = [rule({ matchesStatus: is(404), afterUnknown: true }, { verdict: 'ok', reason: 'already_deleted' })];
    expect(answered(404, { class: 'idempotent', errors }).verdict.class).toBe('permanent');
    expect(answered(404, { class: 'idempotent', errors, afterUnknown: true }).verdict).toMatchObject({
      class: 'ok',
      reason: 'already_deleted',
      effect: 'applied',
      retryAfterMs: null,
    });
  });

  it('a rule without a status never touches a success; one that names it does', () => {
    const blind = [rule({ afterUnknown: true })];
    expect(answered(200, { errors: blind, afterUnknown: true }).verdict).toBe(OK);
    const named = [rule({ matchesStatus: is(202) }, { verdict: 'transient', reason: 'accepted_only' })];
    expect(answered(202, { errors: named }).verdict).toMatchObject({
      class: 'transient',
      effect: 'applied',
      repeatable: false,
    });
    expect(answered(200, { errors: named }).verdict).toBe(OK);
  });

  it('a 4xx that a rule calls passing is repeatable for a create and does not burden the breaker', () => {
    const errors = [rule({ matchesStatus: is(404) }, { verdict: 'transient', reason: 'contact_lag' })];
    expect(answered(404, { errors }).verdict).toMatchObject({
      class: 'transient',
      effect: 'none',
      repeatable: true,
      countsAgainstBreaker: false,
      pauses: 'nothing',
    });
  });
});

describe('§3: the wish that goes into the verdict', () => {
  it('a 429 without a word waits one window and pauses its token', () => {
    expect(answered(429).verdict).toMatchObject({ retryAfterMs: 10_000, pauses: 'token', countsAgainstBreaker: false });
  });

  it('a 429 that a rule calls permanent pauses nothing and wishes nothing', () => {
    const errors = [rule({ matchesStatus: is(429), message: /pending .*export jobs/ }, { pauses: 'nothing' })];
    const body = errorList('rate_limit_exceeded', 'Exceeded rate limit of 1 pending message data export jobs');
    expect(answered(429, { errors }, body).verdict).toMatchObject({
      class: 'permanent',
      pauses: 'nothing',
      retryAfterMs: null,
    });
  });

  it('a 503 with Retry-After pauses its endpoint only and counts against the breaker', () => {
    expect(answered(503, {}, null, ['Retry-After', '7']).verdict).toMatchObject({
      retryAfterMs: 7000,
      pauses: 'endpoint',
      countsAgainstBreaker: true,
    });
    expect(answered(503).verdict).toMatchObject({ retryAfterMs: null, pauses: 'nothing' });
  });

  it("the server's word goes before the rule's", () => {
    const transient = [rule({ matchesStatus: is(400) }, { verdict: 'transient', retryAfterMs: 5000 })];
    expect(answered(400, { errors: transient }).verdict.retryAfterMs).toBe(5000);
    expect(answered(400, { errors: transient }, null, ['retry-after', '9']).verdict.retryAfterMs).toBe(9000);
    const throttled = [rule({ matchesStatus: is(429) }, { verdict: 'throttled', retryAfterMs: 5000 })];
    expect(answered(429, { errors: throttled }).verdict.retryAfterMs).toBe(5000);
  });

  it('reset headers are no wish of a transient answer', () => {
    expect(answered(500, {}, null, ['X-RateLimit-Reset', '30']).verdict.retryAfterMs).toBeNull();
  });

  it('a permanent answer wishes nothing', () => {
    expect(answered(404, {}, null, ['Retry-After', '9']).verdict.retryAfterMs).toBeNull();
  });
});

it('the request id comes from the head, else from the body', () => {
  const error = readErrorBody(Buffer.from(JSON.stringify(errorList('not_found'))));
  expect(requestIdOf(['X-Request-Id', 'h1'], error)).toBe('h1');
  expect(requestIdOf([], error)).toBe('r1');
  expect(requestIdOf([], null)).toBeNull();
});
