import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { RequestBody } from '../../src/core/exchange.ts';
import {
  bodyHashes,
  derivedKeyHashOf,
  fingerprintOf,
  identityOf,
  keyHashOf,
  SMALL_BODY_BYTES,
  smallBodyHashes,
} from '../../src/core/fingerprint.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { NAMES_KEY } from '../support/names-key.ts';

const bytes = (body: string | Buffer): RequestBody => ({ kind: 'bytes', bytes: Buffer.from(body) });
const meant = async (body: string | Buffer): Promise<string> => (await bodyHashes(bytes(body), true)).meant;

describe('§6: a body as it is meant', () => {
  test.each([
    ['{"a":1,"b":2}', '{ "b":2, "a":1 }'],
    ['[1,{"x":[true,null]}]', '[ 1, { "x" : [ true, null ] } ]'],
    ['{"n":1.0}', '{"n":1}'],
    ['{"s":"\\u00e9"}', '{"s":"é"}'],
  ])('%s and %s are one', async (a, b) => {
    expect(await meant(a)).toBe(await meant(b));
  });

  test.each([
    ['{"a":[1,2]}', '{"a":[2,1]}'],
    ['{"a":"1"}', '{"a":1}'],
    ['{"a":null}', '{}'],
    ['{"id":12345678901234567890}', '{"id":12345678901234567891}'],
    ['{"a":1', '{ "a":1'],
    ['a=1&b=2', 'b=2&a=1'],
    ['{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}'],
    ['{"a":"\\ud800"}', '{"a":"\\ud801"}'],
    ['', ' '],
  ])('%s and %s are two', async (a, b) => {
    expect(await meant(a)).not.toBe(await meant(b));
  });

  test('bytes that are no UTF-8 are compared as bytes', async () => {
    const [a, b] = [0xfe, 0xff].map((byte) =>
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from([byte]), Buffer.from('"}')]),
    );
    expect(await meant(a!)).not.toBe(await meant(b!));
  });

  test('nesting that no stack holds is compared as bytes', async () => {
    const deep = '['.repeat(SMALL_BODY_BYTES / 2) + ']'.repeat(SMALL_BODY_BYTES / 2);
    expect(await meant(deep)).toMatch(/^(?:json )?[0-9a-f]{64}$/);
  });
});

test('a large body is hashed on another thread, to what it would be here', async () => {
  const text = 'x'.repeat(SMALL_BODY_BYTES + 1);
  expect(smallBodyHashes(bytes(text), true)).toBeNull();
  const large = await bodyHashes(bytes(text), true);
  expect(large.exact).toMatch(/^[0-9a-f]{64}$/);
  expect(large).toEqual({ exact: large.exact, meant: large.exact });
  expect((await bodyHashes(bytes(`${text}y`), true)).exact).not.toBe(large.exact);
});

const streamOf = (lengthBytes: number | null): RequestBody => ({
  kind: 'stream',
  lengthBytes,
  opened: false,
  open: () => {
    throw new Error('must not be opened');
  },
});

test('a streamed body counts by its length', () => {
  expect(smallBodyHashes(streamOf(5), true)).toEqual(smallBodyHashes(streamOf(5), true));
  expect(smallBodyHashes(streamOf(5), true)).not.toEqual(smallBodyHashes(streamOf(6), true));
  expect(smallBodyHashes(streamOf(5), true)).not.toEqual(smallBodyHashes({ kind: 'none' }, true));
});

test('the identity is the caller’s bytes, target, method and scope', () => {
  const hashes = { exact: 'e', meant: 'm' };
  const same = identityOf(NAMES_KEY, exchange(), hashes);
  expect(identityOf(NAMES_KEY, exchange({ headers: [] }), hashes)).toBe(same);
  for (const other of [{ method: 'PUT' }, { target: '/contacts?' }, { scope: 'x' }]) {
    expect(identityOf(NAMES_KEY, exchange(other), hashes)).not.toBe(same);
  }
});

test('the query is sorted for the fingerprint, the path is not', () => {
  const hashes = { exact: 'e', meant: 'm' };
  const of = (target: string): string => fingerprintOf(NAMES_KEY, exchange({ target }), hashes);
  expect(of('/a?x=1&y=2')).toBe(of('/a?y=2&x=1'));
  expect(of('/a?x=1')).not.toBe(of('/a'));
});

test('a key is known by a keyed hash within its scope, and a derived one is never a given one', () => {
  const key = createSecretKey(Buffer.alloc(32, 1));
  expect(keyHashOf(key, 'a', 'k')).not.toBe(keyHashOf(key, 'b', 'k'));
  expect(keyHashOf(key, 'a', 'k')).not.toBe(keyHashOf(createSecretKey(Buffer.alloc(32, 2)), 'a', 'k'));
  const derived = (parts: unknown[], name = 'POST /contacts') =>
    derivedKeyHashOf(key, exchange({ policy: policy({ name }) }), parts, 'f');
  expect(derived(['a', 'b'])).not.toBe(derived(['ab']));
  expect(derived(['a'])).not.toBe(derived(['a'], 'POST /companies'));
  expect(derived([])).toBeNull();
  expect(derived([0])).not.toBeNull();
});
