import { expect, it } from 'vitest';
import { newId } from '../../src/ops/ids.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

it('makes UUIDs of version 7 that sort by their time and are never the same', async () => {
  const clock = new VirtualClock();
  const ids: string[] = [];
  for (let n = 0; n < 100; n++) {
    ids.push(newId(clock));
    await clock.advance(1.5);
  }
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(ids.toSorted()).toEqual(ids);
  expect(Number.parseInt((ids[0] as string).replace('-', '').slice(0, 12), 16)).toBe(Date.UTC(2026, 0, 1));
  expect(new Set(Array.from({ length: 1000 }, () => newId(clock))).size).toBe(1000);
});
