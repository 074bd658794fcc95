import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { stamped } from '../../src/core/stamp.ts';

const AT = 1_700_000_000;
const stamp = (body: string): string | null => stamped(Buffer.from(body), 'created_at', AT)?.toString() ?? null;

describe('§7: the stamp of an event', () => {
  test.each([
    ['{"a":1}', '{"created_at":1700000000,"a":1}'],
    ['{}', '{"created_at":1700000000}'],
    [' \n{ "a" : 1e2 }\n', ' \n{"created_at":1700000000, "a" : 1e2 }\n'],
    ['{"metadata":{"created_at":1}}', '{"created_at":1700000000,"metadata":{"created_at":1}}'],
    ['{"created_at":5}', null],
    ['{"created_at":null}', null],
    ['{"\\u0063reated_at":5}', null],
    ['[{"a":1}]', null],
    ['"x"', null],
    ['', null],
    ['{"a":1', null],
  ])('%j becomes %j', (body, expected) => {
    expect(stamp(body)).toBe(expected);
  });

  property.prop([fc.dictionary(fc.string(), fc.jsonValue()), fc.boolean()])(
    'adds the field and changes no byte of what the caller wrote',
    (fields, indented) => {
      const text = JSON.stringify(fields, null, indented ? 2 : 0);
      const done = stamp(text);
      if (Object.hasOwn(fields, 'created_at')) {
        expect(done).toBeNull();
        return;
      }
      expect(JSON.parse(done ?? '')).toEqual({ ...fields, created_at: AT });
      expect(done?.endsWith(text.slice(1))).toBe(true);
    },
  );
});
