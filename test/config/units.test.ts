import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLoopback, parseAddress, parseDuration, parseSize } from '../../src/config/units.ts';

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['1.5s', 1500],
    ['0s', 0],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['30d', 2_592_000_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '5', 's', '-1s', '1 s', '1S', '1e3s', '1m30s', 'Infinitys', '1.s', '1µs'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });
});

test.each([
  ['0B', 0],
  ['64KiB', 65_536],
  ['1.5MiB', 1_572_864],
  ['1GiB', 2 ** 30],
  ['64KB', null],
  ['64', null],
  ['10 MiB', null],
])('the size %j is %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['proxy.local:65535', { host: 'proxy.local', port: 65_535 }],
  ['proxy:65536', null],
  ['::1:80', null],
  [':80', null],
  ['8080', null],
  ['http://a:80', null],
  ['a:80/x', null],
])('the address %j is %j', (text, address) => {
  expect(parseAddress(text)).toEqual(address);
});

test.each([
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['localhost', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['127.0.0.1.example.com', false],
  ['10.0.0.1', false],
])('%s on loopback: %j', (host, loopback) => {
  expect(isLoopback(host)).toBe(loopback);
});

test('no text makes a negative, fractional-byte or NaN value', () => {
  const unit = fc.constantFrom('ms', 's', 'm', 'h', 'd', 'B', 'KiB', 'MiB', 'GiB', 'x');
  const text = fc.oneof(
    fc.string(),
    fc.tuple(fc.double({ min: 0, noNaN: true }), unit).map(([n, u]) => `${n}${u}`),
    fc.tuple(fc.nat(), unit).map(([n, u]) => `${n}${u}`),
  );
  let parsed = 0;
  fc.assert(
    fc.property(text, (given) => {
      const values = [parseDuration(given), parseSize(given)];
      for (const value of values) if (value !== null) expect(value).toBeGreaterThanOrEqual(0);
      const [, bytes = null] = values;
      if (bytes !== null) expect(Number.isInteger(bytes)).toBe(true);
      if (values.some((value) => value !== null)) parsed += 1;
    }),
    { numRuns: 5000 },
  );
  expect(parsed).toBeGreaterThan(1000);
});
