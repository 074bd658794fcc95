import { expect, test } from 'vitest';
import { nearest } from '../../src/core/nearest.ts';

const KEYS = ['listen', 'upstream', 'max_retries', 'max_delay', 'endpoints', 'log'];

test.each([
  ['upstrem', 'upstream'],
  ['lisetn', 'listen'],
  ['maxRetries', 'max_retries'],
  ['endpoint', 'endpoints'],
  ['lgo', 'log'],
])('%s is taken for %s', (name, meant) => {
  expect(nearest(name, KEYS)).toBe(meant);
});

test.each(['', 'x', 'telemetry', '__proto__', 'u'.repeat(100_000)])('%.20s is like nothing', (name) => {
  expect(nearest(name, KEYS)).toBeNull();
});
