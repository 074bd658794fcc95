import { expect, test } from 'vitest';
import { FinalRecords } from '../../src/layers/idempotency-records.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const MIB = 1024 * 1024;

test('endings that the store will not have take a bounded room: the oldest are left to be looked for', async () => {
  const store = new MemoryStore();
  const finals = new FinalRecords(store, new VirtualClock());
  store.fault = 'disk full';
  const body = Buffer.alloc(MIB);
  const answer = { status: 200, headers: [], body };
  for (let n = 0; n < 40; n += 1) await finals.write(`op-${n}`, { state: 'succeeded', updatedAtMs: n, answer });
  const kept = Array.from({ length: 40 }, (_, n) => `op-${n}`).filter((id) => finals.isOpen(id));
  expect(kept).toHaveLength(16);
  expect(kept.at(-1)).toBe('op-39');
  for (let n = 0; n < 2000; n += 1) await finals.write(`small-${n}`, { state: 'unknown', updatedAtMs: n });
  expect(finals.isOpen('small-999')).toBe(false);
  expect(finals.isOpen('small-1999')).toBe(true);
  store.fault = null;
  expect(await finals.settle('small-1999')).toBe(true);
  expect(finals.isOpen('small-1999')).toBe(false);
});
