import { expect, it } from 'vitest';
import { Cancel } from '../../src/core/cancel.ts';

function heard() {
  const reasons: string[] = [];
  return { reasons, listener: { cancelled: (reason: string) => void reasons.push(reason) } };
}

it('tells every listener the first reason, once, and the signal as well', () => {
  const cancel = new Cancel();
  const [one, two] = [heard(), heard()];
  cancel.listen(one.listener);
  cancel.listen(two.listener);
  const { signal } = cancel;
  expect([cancel.aborted, cancel.reason, signal.aborted]).toEqual([false, null, false]);
  cancel.abort('deadline');
  cancel.abort('client_gone');
  expect([one.reasons, two.reasons]).toEqual([['deadline'], ['deadline']]);
  expect([cancel.aborted, cancel.reason, signal.aborted, signal.reason]).toEqual([true, 'deadline', true, 'deadline']);
});

it('makes a signal that is aborted when it is asked for too late', () => {
  const cancel = new Cancel();
  cancel.abort('shutdown');
  expect(cancel.signal.reason).toBe('shutdown');
  expect(cancel.signal).toBe(cancel.signal);
});

it('forgets who does not listen any more, also while it tells', () => {
  const cancel = new Cancel();
  const [one, two, three] = [heard(), heard(), heard()];
  const remover = { cancelled: () => cancel.unlisten(three.listener) };
  cancel.listen(one.listener);
  cancel.listen(remover);
  cancel.listen(two.listener);
  cancel.listen(three.listener);
  cancel.unlisten(one.listener);
  cancel.unlisten(one.listener);
  cancel.abort('client_gone');
  expect([one.reasons, two.reasons, three.reasons]).toEqual([[], ['client_gone'], []]);
});
