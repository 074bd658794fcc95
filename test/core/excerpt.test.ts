import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readErrorBody } from '../../src/core/error-body.ts';
import { excerptOf } from '../../src/core/excerpt.ts';

const TOKEN = 'dG9rOmFiY2RlZl9wbGFudGVkX3NlY3JldA==';
const HEADERS = ['Authorization', `Bearer ${TOKEN}`];
const of = (body: string, headers = HEADERS) => excerptOf(readErrorBody(Buffer.from(body)), headers);

describe('§9: the excerpt in the history', () => {
  test('is the first code and message', () => {
    const body =
      '{"type":"error.list","errors":[{"code":"field_required","message":"company_name\\nis required"},{"code":"b"}]}';
    expect(of(body)).toEqual({ code: 'field_required', excerpt: 'company_name is required' });
  });

  test('is the text of a page without its markup, and nothing of an unknown JSON body', () => {
    expect(of('<html><style>b{}</style><h1>502 Bad Gateway</h1>').excerpt).toBe('502 Bad Gateway');
    expect(of('{"echo":{"email":"a@example.com"}}')).toEqual({ code: null, excerpt: null });
    expect(of('')).toEqual({ code: null, excerpt: null });
  });

  test.each([
    `Invalid token ${TOKEN}`,
    'Authorization was Bearer abcdef123456',
    `Bad credential: Basic ${TOKEN}`,
    'another tok dG9rOnNvbWVib2R5X2Vsc2U= here',
  ])('never holds a credential: %s', (message) => {
    const { excerpt } = of(JSON.stringify({ errors: [{ code: 'unauthorized', message }] }));
    expect(excerpt).not.toMatch(/dG9r|abcdef123456/);
    expect(excerpt).toContain('…');
  });

  test.each([
    'Access Token Invalid',
    'Access token expired.',
    'BEARER TOKEN REQUIRED',
    'Basic authentication is not supported',
    'Unexpected token: page_token',
    'The token provided was revoked; Bearer authorization failed',
  ])('leaves words as they stand: %s', (message) => {
    expect(of(JSON.stringify({ message })).excerpt).toBe(message);
  });

  test.each([
    ['Token Bearer abc123def', 'Token Bearer …'],
    ['Token token="abc123def"', 'Token token="…"'],
    ['token=abc123def; bearer: abc.def-123', 'token=…; bearer: …'],
    ['Bearer abcdefghijklmnopqrstuvwxyz', 'Bearer …'],
    ['Bearer xkcdqwrtz', 'Bearer …'],
    ['token AbcDefGhi', 'token …'],
  ])('takes out what is no word: %s', (message, excerpt) => {
    expect(of(JSON.stringify({ message })).excerpt).toBe(excerpt);
  });

  test('takes out a part of the caller’s own credential, also when it is a word', () => {
    expect(of('{"message":"Token Swordfish…"}', ['authorization', 'Bearer my-swordfish']).excerpt).toBe('Token ……');
  });

  const encoded = fc
    .tuple(fc.uint8Array({ minLength: 9, maxLength: 64 }), fc.constantFrom('base64', 'base64url', 'hex'))
    .map(([bytes, how]) => Buffer.from(bytes).toString(how as BufferEncoding));
  const scheme = fc.constantFrom('Bearer ', 'token ', 'Basic  ', 'Token: ', 'TOKEN=', 'token="');

  test('never holds an encoded secret that stands behind a scheme, nor the caller’s own anywhere', () => {
    fc.assert(
      fc.property(scheme, encoded, encoded, (name, secret, own) => {
        const message = `refused ${name}${secret} and ${own}"`;
        const { excerpt } = of(JSON.stringify({ message }), ['Authorization', `Bearer ${own}`]);
        expect(excerpt).not.toContain(secret);
        expect(excerpt).not.toContain(own);
      }),
      { numRuns: 500 },
    );
  });

  test('takes out the caller’s own credential of any scheme', () => {
    expect(of('{"message":"key s3cr3t-key! refused"}', ['authorization', 'Custom s3cr3t-key!']).excerpt).toBe(
      'key … refused',
    );
  });

  test('takes out the cookies and keys of the caller', () => {
    const headers = ['Cookie', 'a=1; sid=s3cr3t-session', 'x-api-key', 's3cr3t', 'X-Api-Key', 's3cr3t-and-longer'];
    const body = '{"message":"saw s3cr3t-session, s3cr3t-and-longer and s3cr3t, a=1"}';
    expect(of(body, headers).excerpt).toBe('saw …, … and …, a=1');
  });

  test('is bounded and one line, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 9000, size: 'max' }), (text) => {
        const { excerpt } = of(text);
        expect(excerpt?.length ?? 0).toBeLessThanOrEqual(512);
        expect(excerpt ?? '').not.toMatch(/\p{Cc}/u);
      }),
      { numRuns: 300 },
    );
  });
});
