import { expect, test } from 'vitest';
import { CredentialRefs } from '../../src/edge/credential-ref.ts';

test('a credential keeps its name, also when it is too long to be remembered or was forgotten', () => {
  const refs = new CredentialRefs();
  const long = `Bearer ${'x'.repeat(15_000)}`;
  const [short, named] = [refs.of('Bearer a'), refs.of(long)];
  expect(short).toMatch(/^[0-9a-f]{12}$/);
  expect(named).not.toBe(short);
  for (let i = 0; i < 5000; i += 1) refs.of(`Bearer ${i}`);
  expect(refs.of('Bearer a')).toBe(short);
  expect(refs.of(long)).toBe(named);
});

test('another process names it otherwise, so that a name in a log tells nobody the token', () => {
  expect(new CredentialRefs().of('Bearer a')).not.toBe(new CredentialRefs().of('Bearer a'));
});
