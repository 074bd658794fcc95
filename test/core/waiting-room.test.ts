import { expect, test } from 'vitest';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { exchange } from '../support/exchanges.ts';

test('a call keeps its one place through all its waits until it ends', () => {
  const room = new WaitingRoom(() => 1);
  const [first, second] = [exchange(), exchange()];
  expect(room.enter(first)).toBe(true);
  room.leave();
  expect(room.enter(first)).toBe(true);
  expect([room.taken, room.held]).toEqual([1, 1]);
  room.leave();
  expect([room.taken, room.held]).toEqual([0, 1]);
  expect(room.enter(second)).toBe(false);
  room.ended(first);
  expect(room.enter(second)).toBe(true);
});

test('a call that never waited has nothing to give back', () => {
  const room = new WaitingRoom(() => 1);
  room.ended(exchange());
  expect([room.taken, room.held]).toEqual([0, 0]);
});
