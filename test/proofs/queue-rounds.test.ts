import { expect, test } from 'vitest';
import { queueRounds } from './queue-rounds.ts';

test('§8: what got a 202 is done and nothing twice, whenever the process is killed (npm run proof:queue: 1,000 calls)', async () => {
  const { accepted, ...result } = await queueRounds({ calls: 90, kills: 2, seed: 3 });
  expect(accepted).toBeGreaterThan(20);
  expect(result).toMatchObject({ reported: accepted, done: accepted, duplicates: 0, missing: 0, undone: [] });
});
