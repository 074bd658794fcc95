import { createSecretKey, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { CredentialRefs } from '../../src/edge/credential-ref.ts';

test('a credential keeps its name, also when it is too long to be remembered or was forgotten', () => {
  const refs = new CredentialRefs(createSecretKey(randomBytes(32)));
  const long = `Bearer ${'x'.repeat(15_000)}`;
  const [short, named] = [refs.of('Bearer a'), refs.of(long)];
  expect(short.ref).toMatch(/^[0-9a-f]{12}$/);
  expect(short.scope).toMatch(/^[0-9a-f]{32}$/);
  expect(named.scope).not.toBe(short.scope);
  for (let i = 0; i < 5000; i += 1) refs.of(`Bearer ${i}`);
  expect(refs.of('Bearer a')).toEqual(short);
  expect(refs.of(long)).toEqual(named);
});

test('another instance names it otherwise, so that a name in a log tells nobody the token', () => {
  const [one, other] = [
    new CredentialRefs(createSecretKey(randomBytes(32))),
    new CredentialRefs(createSecretKey(randomBytes(32))),
  ];
  expect(one.of('Bearer a').ref).not.toBe(other.of('Bearer a').ref);
});
