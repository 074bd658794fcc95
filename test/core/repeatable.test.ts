import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { effectOfFailure, effectOfStatus, repeatsSafely } from '../../src/core/repeatable.ts';
import type { OperationClass } from '../../src/core/verdict.ts';

const operationClass = fc.constantFrom<OperationClass>('read', 'idempotent', 'create');
const refusal = fc.record({ turnedAway: fc.boolean(), blamesInput: fc.boolean() });

it('§2: a create repeats safely exactly when nothing took effect', () => {
  expect(repeatsSafely('none', 'create')).toBe(true);
  expect(repeatsSafely('unknown', 'create')).toBe(false);
  expect(repeatsSafely('applied', 'create')).toBe(false);
  for (const each of ['read', 'idempotent'] as const) {
    for (const effect of ['none', 'unknown', 'applied'] as const) expect(repeatsSafely(effect, each)).toBe(true);
  }
});

it('§2: only what was not sent, or only reads, failed without effect', () => {
  expect(effectOfFailure('no', 'create')).toBe('none');
  expect(effectOfFailure('maybe', 'create')).toBe('unknown');
  expect(effectOfFailure('yes', 'idempotent')).toBe('unknown');
  expect(effectOfFailure('yes', 'read')).toBe('none');
});

it('§2: no 500, 502 or 504 of a write counts as without effect unless the input is blamed', () => {
  fc.assert(
    fc.property(fc.constantFrom(500, 502, 504), operationClass, refusal, (status, each, said) => {
      const none = effectOfStatus(status, each, said) === 'none';
      expect(none).toBe(each === 'read' || said.blamesInput);
    }),
  );
});

it('§2: every status has an effect, and a read has none', () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 999 }), operationClass, refusal, (status, each, said) => {
      const effect = effectOfStatus(status, each, said);
      expect(['none', 'applied', 'unknown']).toContain(effect);
      if (each === 'read') expect(effect).toBe('none');
      else expect(effect === 'applied').toBe(status < 400);
    }),
    { numRuns: 2000 },
  );
});
