import { fc, test as property } from '@fast-check/vitest';
import { parseDictionary, serializeDictionary, Token } from 'structured-headers';
import { describe, expect, test } from 'vitest';
import type { AttemptRecord, Exchange } from '../../src/core/exchange.ts';
import type { Answered, Failed, FailureKind, HoldfastCode, Outcome, Refused, Sent } from '../../src/core/outcome.ts';
import { headerOf } from '../../src/core/raw-headers.ts';
import { type Effect, refusedVerdict } from '../../src/core/verdict.ts';
import { STATUS_OF_CODE } from '../../src/edge/codes.ts';
import { holdfastHeader } from '../../src/edge/holdfast-header.ts';
import * as refusals from '../../src/edge/refusal.ts';
import { type Reply, respond, respondRefusal } from '../../src/edge/respond.ts';
import { answered, exchange, policy, verdict } from '../support/exchanges.ts';
import { HandStream } from './harness.ts';

const VIA = 'holdfast-test';

function failed(failure: FailureKind, sent: Sent, effect: Effect): Failed {
  return {
    kind: 'failed',
    failure,
    sent,
    detail: 'secret.internal refused',
    verdict: verdict({ class: 'transient', reason: failure, effect }),
  };
}

function refused(code: HoldfastCode, retryAfterMs: number | null = null): Refused {
  return {
    kind: 'refused',
    by: 'x',
    code,
    message: `about ${code}`,
    retryAfterMs,
    verdict: refusedVerdict('x', retryAfterMs),
  };
}

function attempt(overrides: Partial<AttemptRecord>): AttemptRecord {
  return {
    n: 1,
    startedAtMs: 0,
    durationMs: 1,
    status: null,
    failure: null,
    sent: 'maybe',
    verdict: 'transient',
    reason: 'reset',
    effect: 'none',
    waitedMs: 0,
    waitReason: null,
    requestId: null,
    ...overrides,
  };
}

const field = (reply: Reply, name: string) => headerOf(reply.headers, name);
const text = (reply: Reply) => (reply.body.kind === 'bytes' ? reply.body.bytes.toString() : '');

const throttled = (headers: string[]) =>
  answered(429, {
    headers,
    verdict: verdict({ class: 'throttled', reason: 'status_429', effect: 'none', retryAfterMs: 8001 }),
  });

const open = (status: number, overrides: Partial<Answered> = {}) =>
  answered(status, {
    verdict: verdict({ class: 'transient', reason: `status_${status}`, effect: 'unknown' }),
    ...overrides,
  });

describe('what fails becomes a status and a code', () => {
  test.each([
    ['dns', 'no', 'none', 502, 'holdfast_upstream_unreachable', 'dns_error'],
    ['tls', 'no', 'none', 502, 'holdfast_upstream_unreachable', 'tls_protocol_error'],
    ['connect', 'no', 'none', 502, 'holdfast_upstream_unreachable', 'destination_unavailable'],
    ['timeout', 'no', 'none', 502, 'holdfast_upstream_unreachable', 'http_response_timeout'],
    ['reset', 'maybe', 'none', 502, 'holdfast_upstream_unreachable', 'connection_terminated'],
    ['timeout', 'maybe', 'none', 504, 'holdfast_upstream_timeout', 'http_response_timeout'],
    ['truncated', 'yes', 'none', 502, 'holdfast_answer_broken', 'http_response_incomplete'],
    ['truncated', 'yes', 'applied', 502, 'holdfast_answer_broken', 'http_response_incomplete'],
    ['truncated', 'yes', 'unknown', 504, 'holdfast_outcome_unknown', 'http_response_incomplete'],
    ['broken', 'yes', 'none', 502, 'holdfast_answer_broken', 'http_response_incomplete'],
    ['broken', 'yes', 'applied', 502, 'holdfast_answer_broken', 'http_response_incomplete'],
    ['broken', 'yes', 'unknown', 502, 'holdfast_answer_broken', 'http_response_incomplete'],
    ['reset', 'maybe', 'unknown', 504, 'holdfast_outcome_unknown', 'connection_terminated'],
    ['timeout', 'maybe', 'unknown', 504, 'holdfast_outcome_unknown', 'http_response_timeout'],
  ] as const)('%s, sent %s, effect %s: %i %s', (failure, sent, effect, status, code, proxyError) => {
    const outcome = failed(failure, sent, effect);
    const intercom = respond(exchange(), outcome, VIA);
    expect(intercom.status).toBe(status);
    expect(intercom.code).toBe(code);
    expect(field(intercom, 'holdfast')).toBe(
      `from=proxy, attempts=0, verdict=transient, effect=${effect}, reason=${failure}`,
    );
    expect(field(intercom, 'proxy-status')).toBe(`holdfast; error=${proxyError}`);
    expect(field(intercom, 'via')).toBe(`1.1 ${VIA}`);
    expect(field(intercom, 'content-length')).toBe(String(Buffer.byteLength(text(intercom))));
    const x = exchange({ headers: ['aCCept', 'application/problem+json'] });
    const problem = JSON.parse(text(respond(x, outcome, VIA))) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: 'about:blank', status, code, request_id: x.id });
    expect(text(intercom)).not.toContain('secret.internal');
    expect(text(intercom)).toContain(
      { none: 'may be sent again', applied: 'was applied', unknown: 'may or may not have been applied' }[effect],
    );
  });

  test('an earlier attempt of the call counts: nothing sent at last, and still the outcome is unknown', () => {
    const x = exchange({
      attempts: [attempt({ effect: 'unknown' })],
      policy: policy({ operationClass: 'idempotent' }),
    });
    const reply = respond(x, failed('connect', 'no', 'none'), VIA);
    expect(reply).toMatchObject({ status: 504, code: 'holdfast_outcome_unknown' });
    expect(field(reply, 'holdfast')).toContain('effect=unknown');
  });

  test.each(Object.keys(STATUS_OF_CODE) as HoldfastCode[])(
    'a layer that refuses with %s gets the status of the contract',
    (code) => {
      const reply = respond(exchange(), refused(code, 1500), VIA);
      expect(reply.status).toBe(STATUS_OF_CODE[code]);
      expect(field(reply, 'retry-after')).toBe('2');
      expect(JSON.parse(text(reply))).toMatchObject({
        type: 'error.list',
        errors: [{ code, message: `about ${code}` }],
      });
      expect(field(reply, 'content-type')).toBe('application/json; charset=utf-8');
      const problem = respond(exchange({ headers: ['Accept', 'application/problem+json'] }), refused(code), VIA);
      expect(field(problem, 'content-type')).toBe('application/problem+json');
      expect(JSON.parse(text(problem))).toMatchObject({ status: STATUS_OF_CODE[code], code, detail: `about ${code}` });
      expect(field(problem, 'retry-after')).toBe(reply.status === 503 ? '1' : null);
    },
  );

  test.each([
    ['application/json', false],
    ['*/*', false],
    ['application/problem+json', true],
    ['application/problem+json;q=0', false],
    ['application/problem+json;q=0.5, application/json', false],
    ['application/json;q=0.5, Application/Problem+JSON;q=0.9', true],
    ['application/json, application/problem+json', true],
    ['application/problem+json;q=x', false],
  ])('Accept: %s prefers problem JSON: %s', (accept, expected) => {
    const reply = respond(exchange({ headers: ['Accept', accept] }), refused('holdfast_deadline'), VIA);
    expect(field(reply, 'content-type')?.includes('problem')).toBe(expected);
  });

  test('refusals before an exchange look the same, and name their status', () => {
    const all = Object.values(refusals).filter((refusal) => typeof refusal === 'object');
    expect(all.map(({ status }) => status).sort((a, b) => a - b)).toEqual([401, 408, 408, 417, 431, 503, 508]);
    for (const refusal of [...all, refusals.bodyTooLarge(7), refusals.badRequest('x', 'y')]) {
      const reply = respondRefusal(refusal, null, 'r1', null, VIA);
      expect(reply.status).toBe(refusal.status);
      expect(JSON.parse(text(reply))).toEqual({
        type: 'error.list',
        request_id: 'r1',
        errors: [{ code: refusal.code, message: refusal.message }],
      });
      expect(field(reply, 'www-authenticate') !== null).toBe(refusal.status === 401);
    }
  });
});

describe('an answer of the upstream passes as it came', () => {
  test('with our fields behind its own, and its list untouched', () => {
    const headers = ['X-B', '1', 'x-b', '2', 'Via', '1.1 up'];
    const x = exchange({
      waitedMs: 1250.4,
      upstreamMs: 12.34,
      attempts: [attempt({}), attempt({ n: 2, verdict: 'ok' })],
    });
    const reply = respond(x, answered(201, { headers }), VIA);
    expect(reply.status).toBe(201);
    expect(reply.headers.slice(0, 6)).toEqual(headers);
    expect(headers.length).toBe(6);
    expect(reply.headers.slice(6)).toEqual([
      'Holdfast',
      'from=upstream, attempts=2, verdict=ok, effect=applied, waited=1250',
      'Via',
      `1.1 ${VIA}`,
      'Server-Timing',
      'wait;dur=1250, upstream;dur=12.3',
    ]);
  });

  test('§3: Retry-After is added when the wish was beyond patience and there was none; never doubled', () => {
    expect(field(respond(exchange(), throttled([]), VIA), 'retry-after')).toBe('9');
    const kept = respond(exchange(), throttled(['retry-AFTER', '77']), VIA).headers.filter((name) =>
      /^retry-after$/i.test(name),
    );
    expect(kept).toEqual(['retry-AFTER']);
    const observed = exchange({ policy: policy({ mode: 'observe' }) });
    expect(field(respond(observed, throttled([]), VIA), 'retry-after')).toBe(null);
  });

  test.each([500, 502, 504, 408])(
    '§2: but a create that got %i is answered holdfast_outcome_unknown, named',
    (status) => {
      const stream = new HandStream();
      const x = exchange({
        operationClass: 'create',
        attempts: [attempt({ status, effect: 'unknown', requestId: 'req-7' })],
      });
      const reply = respond(x, open(status, { body: { kind: 'stream', stream } }), VIA);
      expect(reply).toMatchObject({ status: 504, code: 'holdfast_outcome_unknown' });
      expect(text(reply)).toContain(`answered ${status} (its request id: req-7)`);
      expect(field(reply, 'proxy-status')).toBe(`holdfast; received-status=${status}`);
      expect(stream.discarded).toBe(true);
    },
  );

  test.each<[string, Exchange, Outcome]>([
    ['an idempotent write', exchange({ operationClass: 'idempotent' }), open(500)],
    ['mode observe', exchange({ operationClass: 'create', policy: policy({ mode: 'observe' }) }), open(500)],
    ['a replay', exchange({ operationClass: 'create' }), open(500, { from: 'replay' })],
    [
      'an effect that is known',
      exchange({ operationClass: 'create' }),
      open(500, { verdict: verdict({ class: 'permanent', effect: 'none' }) }),
    ],
  ])('and not for %s', (_name, x, outcome) => {
    expect(respond(x, outcome, VIA).status).toBe(500);
  });
});

describe('the Holdfast field', () => {
  property.prop(
    [
      fc.record({
        attempts: fc.nat(1000),
        reason: fc.oneof(
          fc.constantFrom('ok', 'status_503', 'rate_limit_exceeded'),
          fc.string({ unit: 'binary', maxLength: 30 }),
        ),
        waitedMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
        withheld: fc.constantFrom(null, 'not_repeatable', 'max_wait'),
        effect: fc.constantFrom('none', 'applied', 'unknown'),
        verdict: fc.constantFrom('ok', 'throttled', 'permanent'),
        from: fc.constantFrom('upstream', 'proxy', 'replay'),
        operation: fc.option(fc.uuid()),
      }),
    ],
    { numRuns: 1000 },
  )('is the structured dictionary that the structured-headers package would write', (facts) => {
    const value = holdfastHeader(facts);
    const parsed = parseDictionary(value);
    expect(serializeDictionary(parsed)).toBe(value);
    expect(parsed.get('attempts')?.[0]).toBe(facts.attempts);
    expect(parsed.get('from')?.[0]).toEqual(new Token(facts.from));
    expect(parsed.has('reason')).toBe(facts.reason !== 'ok');
    expect(parsed.has('waited')).toBe(Math.round(facts.waitedMs) > 0);
    expect(parsed.has('withheld')).toBe(facts.withheld !== null);
    expect(parsed.get('operation')?.[0] ?? null).toBe(facts.operation);
    if (/^[\x20-\x7e]+$/.test(facts.reason) && facts.reason !== 'ok') {
      expect(String(parsed.get('reason')?.[0])).toBe(facts.reason);
    }
  });
});
