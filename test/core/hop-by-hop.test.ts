import { test as propertyTest } from '@fast-check/vitest';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dropHopByHop } from '../../src/core/hop-by-hop.ts';

describe('§10: what stays on this hop', () => {
  test.each([
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'proxy-authenticate',
    'PROXY-AUTHORIZATION',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'upgrade',
  ])('%s is left out', (name) => {
    expect(dropHopByHop(['A', '1', name, 'x', 'B', '2', name, 'y'])).toEqual(['A', '1', 'B', '2']);
  });

  test('what Connection names is left out, wherever it stands and however often Connection comes', () => {
    const fields = ['X-One', '1', 'Connection', 'close, x-one', 'Keep', '2', 'connection', ' X-Two ,', 'x-two', '3'];
    expect(dropHopByHop(fields)).toEqual(['Keep', '2']);
  });

  test.each(['Host', 'Content-Length', 'Authorization', 'Cache-Control', 'Idempotency-Key'])(
    'Connection cannot take %s away',
    (name) => {
      expect(dropHopByHop(['Connection', name.toLowerCase(), name, 'x'])).toEqual([name, 'x']);
    },
  );

  const name = fc.constantFrom('A', 'a', 'Set-Cookie', 'ETag', 'Date', 'X-Request-Id', 'Content-Type', 'Te', 'Upgrade');
  propertyTest.prop([fc.array(fc.tuple(name, fc.string({ maxLength: 5 })), { maxLength: 30 })], { numRuns: 1000 })(
    'everything else keeps its order, case and duplicates',
    (fields) => {
      const expected = fields.filter(([each]) => each !== 'Te' && each !== 'Upgrade');
      expect(dropHopByHop(fields.flat())).toEqual(expected.flat());
    },
  );
});
