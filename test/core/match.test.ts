import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMatcher, parseTemplate, shapeOf, type Template } from '../../src/core/match.ts';

function template(text: string): Template {
  const parsed = parseTemplate(text);
  if (typeof parsed === 'string') throw new Error(`${text}: ${parsed}`);
  return parsed;
}

const matcherOf = (...rows: string[]) => createMatcher(rows.map((row) => [template(row), row] as const));

describe('the matcher', () => {
  const match = matcherOf(
    'GET /contacts/{id}',
    'POST /contacts/search',
    'POST /contacts/{id}/notes',
    'GET /contacts/{id}/notes/{note_id}',
    'GET /a/b/{x}',
    'GET /a/{x}/c',
    '* /contacts/{id}',
    'HEAD /own',
    'GET /own',
    '* /own',
    'GET /',
  );

  test('gives the values of the names as they stand in the path', () => {
    expect(match('GET', '/contacts/a%2Fb/notes/7?x=/y')).toEqual({
      value: 'GET /contacts/{id}/notes/{note_id}',
      params: { id: 'a%2Fb', note_id: '7' },
    });
  });

  test('literal segments beat {names}, and a dead end among them is stepped back from', () => {
    expect(match('GET', '/a/b/z')?.value).toBe('GET /a/b/{x}');
    expect(match('GET', '/a/b/c')?.value).toBe('GET /a/b/{x}');
    expect(match('GET', '/a/z/c')).toEqual({ value: 'GET /a/{x}/c', params: { x: 'z' } });
    const deep = matcherOf('GET /a/b/c/d', 'GET /a/{x}/c/e');
    expect(deep('GET', '/a/b/c/e')).toEqual({ value: 'GET /a/{x}/c/e', params: { x: 'b' } });
  });

  test('a row for the method beats a row for *, also when its path is less literal', () => {
    expect(match('GET', '/contacts/search')?.value).toBe('GET /contacts/{id}');
    expect(match('POST', '/contacts/search')?.value).toBe('POST /contacts/search');
    expect(match('PURGE', '/contacts/1')?.value).toBe('* /contacts/{id}');
  });

  test('HEAD falls back to the GET row, before *', () => {
    expect(match('HEAD', '/contacts/1')?.value).toBe('GET /contacts/{id}');
    expect(match('HEAD', '/own')?.value).toBe('HEAD /own');
  });

  test.each([
    '/contacts/',
    '/contacts/1/',
    '//contacts/1',
    '/contacts//notes',
    '/contacts/./1',
    '/Contacts/1',
    '/%63ontacts/1',
    'contacts/1',
    '',
    '*',
    '/contacts/1#x/y',
    'http://h/contacts/1',
  ])('§10: folds and decodes nothing: GET %j is other', (path) => {
    expect(match('GET', path)).toBeNull();
  });

  test('names of the prototype chain are plain segments', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(match('GET', `/${name}/x`)).toBeNull();
      expect(match(name, '/contacts/1')?.value).toBe('* /contacts/{id}');
      expect(match('GET', `/contacts/${name}`)?.params).toEqual({ id: name });
    }
  });

  test('costs no more than the depth of the map on a path of 10,000 segments, or of 1 MiB', () => {
    const long = `/contacts${'/x'.repeat(10_000)}`;
    const wide = `/contacts/${'x'.repeat(2 ** 20)}/y`;
    const from = performance.now();
    for (let i = 0; i < 10_000; i += 1) {
      expect(match('GET', long)).toBeNull();
    }
    expect(match('GET', wide)).toBeNull();
    expect(performance.now() - from).toBeLessThan(2000);
  });

  test('agrees with a regular expression per row, for every map and path', () => {
    const segment = fc.constantFrom('a', 'b', 'c', '{x}');
    const shape = fc.array(segment, { minLength: 1, maxLength: 4 });
    const rowArb = fc.tuple(fc.constantFrom('GET', 'POST', '*'), shape).map(([method, parts]) => {
      const named = parts.map((part, i) => (part === '{x}' ? `{x${i}}` : part));
      return `${method} /${named.join('/')}`;
    });
    const seen = { hit: 0, miss: 0, star: 0 };
    fc.assert(
      fc.property(
        fc.uniqueArray(rowArb, { minLength: 1, maxLength: 12, selector: (row) => shapeOf(template(row)) }),
        fc.constantFrom('GET', 'POST', 'HEAD', 'PUT'),
        fc.array(fc.constantFrom('a', 'b', 'c', 'z', ''), { minLength: 1, maxLength: 5 }),
        (rows, method, parts) => {
          const path = `/${parts.join('/')}`;
          const found = matcherOf(...rows)(method, path);
          const expected = byRegularExpression(rows, method, path);
          expect(found?.value ?? null).toBe(expected);
          if (expected === null) seen.miss += 1;
          else if (expected.startsWith('*')) seen.star += 1;
          else seen.hit += 1;
        },
      ),
      { numRuns: 5000 },
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(50);
  });
});

/** The slow way: all rows that fit, the best by method, then by literal segments from the left. */
function byRegularExpression(rows: readonly string[], method: string, path: string): string | null {
  const fits = rows.filter((row) => {
    const pattern = row.slice(row.indexOf('/')).replaceAll(/\{[^}]*\}/g, '[^/]+');
    return new RegExp(`^${pattern}$`).test(path);
  });
  for (const wanted of method === 'HEAD' ? ['HEAD', 'GET', '*'] : [method, '*']) {
    const [best] = fits
      .filter((row) => row.startsWith(`${wanted} `))
      .sort((a, b) => (literal(a) < literal(b) ? -1 : 1));
    if (best !== undefined) return best;
  }
  return null;
}

/** The path with `!` for every literal and `~` for every name: the more literal from the left, the smaller. */
function literal(row: string): string {
  const named = row.slice(row.indexOf('/')).replaceAll(/\{[^}]*\}/g, '~');
  return named.replaceAll(/[^/~]+/g, '!');
}

describe('a template', () => {
  test.each([
    ['get /x', 'capitals'],
    ['GET', 'capitals'],
    ['GET x', 'starts with /'],
    ['GET /x?y', 'without query'],
    ['GET /x/', 'slash at its end'],
    ['GET //x', 'empty segments'],
    ['GET /{id}/{id}', 'only once'],
    ['GET /x{id}', 'whole segment'],
    ['GET /{__proto__}', 'whole segment'],
    ['GET /x/*', 'whole segment'],
  ])('%s is refused with what is allowed', (text, allowed) => {
    expect(parseTemplate(text)).toContain(allowed);
  });
});
