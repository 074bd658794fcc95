import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blamesInput, readErrorBody, wholeJson } from '../../src/core/error-body.ts';

const read = (body: unknown) => readErrorBody(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

const blamed = (status: number, message: string) =>
  blamesInput(status, read({ errors: [{ code: 'server_error', message }] }));
const check = (text: string, mode: 'ends' | 'parse') => wholeJson(Buffer.from(text), mode);

describe("§1: Intercom's shape and its known deviations", () => {
  it('reads error.list with several errors', () => {
    const facts = read({
      type: 'error.list',
      request_id: 'b2i3mhcboc6pcbe33q80',
      errors: [
        { code: 'rate_limit_exceeded', message: 'Exceeded rate limit of 83 in 10_seconds' },
        { code: 'other', message: null, field: 'x' },
      ],
    });
    expect(facts).toMatchObject({
      codes: ['rate_limit_exceeded', 'other'],
      messages: ['Exceeded rate limit of 83 in 10_seconds'],
      requestId: 'b2i3mhcboc6pcbe33q80',
      shape: 'error_list',
    });
  });

  it.each([
    [{ type: 'error', request_id: 'r', message: 'Internal' }, [], ['Internal']],
    [{ error_key: 'invalid_phone', message: 'Bad phone' }, ['invalid_phone'], ['Bad phone']],
    [{ errors: { base: 'Rating is missing' } }, [], ['Rating is missing']],
    [{ errors: { name: ['is taken', 'is short'] } }, [], ['is taken', 'is short']],
    [{ errors: ['plain'] }, [], ['plain']],
    [{ error: 'plain' }, [], ['plain']],
    [{ error: { code: 'c', message: 'm' } }, ['c'], ['m']],
    [[{ code: 'c', message: 'm' }], ['c'], ['m']],
    [{ type: 'error.list', errors: [{ code: 'contact_merged' }] }, ['contact_merged'], []],
    [{ title: 'Bad Gateway', status: 502, detail: 'upstream died' }, [], ['upstream died']],
  ])('reads %j', (body, codes, messages) => {
    expect(read(body)).toMatchObject({ codes, messages });
  });

  it('keeps the text of HTML for body patterns and finds no code in it', () => {
    const html = '<html><head><title>504 Gateway Time-out</title></head></html>';
    expect(read(html)).toMatchObject({ codes: [], messages: [], text: html, shape: 'html' });
  });

  it('takes an empty or blank body as empty and other text as text', () => {
    expect(read('').shape).toBe('empty');
    expect(read(' \r\n').shape).toBe('empty');
    expect(read('upstream connect error').shape).toBe('text');
  });

  it('finds codes and messages in JSON that was cut', () => {
    const facts = read('{"type":"error.list","request_id":"r9","errors":[{"code":"not_found","message":"Macro not fou');
    expect(facts).toMatchObject({
      codes: ['not_found'],
      messages: ['Macro not fou'],
      requestId: 'r9',
      shape: 'cut_json',
    });
  });

  it('forgives a byte order mark', () => {
    expect(readErrorBody(Buffer.from('\ufeff{"errors":[{"code":"c"}]}')).codes).toEqual(['c']);
  });
});

describe('§1: hostile error bodies', () => {
  it.each([
    ['deep arrays', '['.repeat(32_000) + ']'.repeat(32_000)],
    ['deep objects, cut', '{"errors":'.repeat(6000)],
    ['many errors', `{"errors":[${Array.from({ length: 3000 }, (_, i) => `{"code":"c${i}"}`).join(',')}]}`],
    ['many fields', `{"errors":{${Array.from({ length: 3000 }, (_, i) => `"f${i}":"m"`).join(',')}}}`],
    ['many backslashes, cut', `{"code":"${'\\'.repeat(60_000)}`],
    ['quotes, cut', `{${'"code":'.repeat(9000)}`],
    ['a message made of blame', JSON.stringify({ errors: [{ message: 'invalid value field missing '.repeat(2000) }] })],
  ])('%s cost little and yield at most 20 entries', (_, body) => {
    const before = performance.now();
    const facts = read(body);
    expect(performance.now() - before).toBeLessThan(500);
    expect(facts.codes.length).toBeLessThanOrEqual(20);
    expect(facts.messages.length).toBeLessThanOrEqual(20);
  });

  it('ignores codes and messages of wrong types', () => {
    const facts = read({
      type: 7,
      request_id: {},
      errors: [null, 1, [], { code: {}, message: [] }, { code: '' }, { code: 17 }],
    });
    expect(facts).toMatchObject({ codes: ['17'], messages: [], requestId: null });
    expect(read({ errors: { __proto__: null, constructor: 'x' } }).messages).toEqual(['x']);
  });

  it('bounds the length of codes and messages', () => {
    const facts = read({ errors: [{ code: 'c'.repeat(101), message: 'm'.repeat(5000) }] });
    expect(facts.codes).toEqual([]);
    expect(facts.messages[0]).toHaveLength(2000);
  });

  it('never throws and stays within its bounds for any bytes and any JSON', () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      fc.json({ maxDepth: 8 }).map((text) => Buffer.from(text)),
      fc.json({ maxDepth: 4 }).chain((text) => fc.nat(text.length).map((end) => Buffer.from(text.slice(0, end)))),
      fc.jsonValue({ maxDepth: 4 }).map((errors) => Buffer.from(JSON.stringify({ type: 'error.list', errors }))),
    );
    fc.assert(
      fc.property(body, (bytes) => {
        const facts = readErrorBody(bytes);
        expect(facts.codes.every((code) => typeof code === 'string' && code.length <= 100)).toBe(true);
        expect(facts.messages.every((message) => typeof message === 'string' && message.length <= 2000)).toBe(true);
        expect(facts.codes.length + facts.messages.length).toBeLessThanOrEqual(40);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('§1: who is blamed', () => {
  it.each([
    'invalid field value',
    "Invalid parameter 'role'",
    'email is invalid',
    'The value of custom_attributes.plan is too long',
    'missing or invalid parameters',
    'Malformed JSON',
    "field 'name' can't be blank",
    'foo@bar is not a valid email',
    'Unknown custom attribute',
  ])('a 500 with "%s" blames the input', (message) => {
    expect(blamed(500, message)).toBe(true);
  });

  it.each(['invalid response body', 'Invalid response format', 'invalid JSON response', 'Unknown internal value'])(
    'a 500 with "%s" does not',
    (message) => {
      expect(blamed(500, message)).toBe(false);
    },
  );

  it('words count under a plain 500 only: 502 to 504 are a gateway speaking', () => {
    expect(blamed(502, 'invalid field value')).toBe(false);
    expect(blamed(503, 'email is invalid')).toBe(false);
  });

  it('the words of HTML pages do not count', () => {
    expect(blamesInput(500, read('<p>invalid field value</p>'))).toBe(false);
    expect(blamesInput(500, null)).toBe(false);
  });
});

describe('§1: a 2xx must be whole', () => {
  it.each(['{}', '[]', ' {"a":1}\n', '\ufeff{"a":[1]}', '"x"', '7', '-1.5e3', 'true', 'false', 'null', '\t[1,2]\r\n'])(
    '%j is whole either way',
    (text) => {
      expect(check(text, 'ends')).toBe('whole');
      expect(check(text, 'parse')).toBe('whole');
    },
  );

  it.each(['{', '[', '{"a":1', '{"data":[{"id":"1"', '"abc', '"', '-', 'tru', '[1,2', '{"a":1}]'])(
    '%j is cut either way',
    (text) => {
      expect(check(text, 'ends')).toBe('cut');
      expect(check(text, 'parse')).toBe('cut');
    },
  );

  it.each(['<html></html>', '<!DOCTYPE html>', 'OK', 'upstream connect error', 'trueish', '}', '\u0000'])(
    '%j is not JSON',
    (text) => {
      expect(check(text, 'ends')).toBe('not_json');
      expect(check(text, 'parse')).toBe('not_json');
    },
  );

  it.each(['', ' ', '\r\n\t ', '\ufeff', '\ufeff '])('%j is empty', (text) => {
    expect(check(text, 'ends')).toBe('empty');
  });

  it('a body cut behind an inner bracket is seen by a full parse only', () => {
    expect(check('{"data":[{"id":"1"}', 'ends')).toBe('whole');
    expect(check('{"data":[{"id":"1"}', 'parse')).toBe('cut');
  });

  it('accepts every JSON text in both modes, and in full parse nothing else', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom('', ' ', '\n', '\ufeff'), (text, before) => {
        expect(check(`${before}${text} `, 'ends')).toBe('whole');
        expect(check(`${before}${text} `, 'parse')).toBe('whole');
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().chain((text) => fc.nat(text.length).map((end) => text.slice(0, end))),
        ),
        (text) => {
          let parses = true;
          try {
            JSON.parse(text.replace(/^\ufeff/, ''));
          } catch {
            parses = false;
          }
          expect(check(text, 'parse') === 'whole').toBe(parses);
          if (check(text, 'ends') !== 'whole') expect(parses).toBe(false);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('takes the bytes as they are, not as text', () => {
    expect(wholeJson(Buffer.from([0x7b, 0xff, 0x7d]), 'ends')).toBe('whole');
    expect(wholeJson(Buffer.from([0x7b, 0xff, 0x7d]), 'parse')).toBe('cut');
  });
});
