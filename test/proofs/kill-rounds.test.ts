import { expect, test } from 'vitest';
import { killRounds } from './kill-rounds.ts';

test('§6, §7: a proxy that is killed again and again does everything, and nothing twice (npm run proof:kills: 200 rounds)', async () => {
  const result = await killRounds({ rounds: 5, seed: 7, callsPerRound: 12 });
  expect(result).toMatchObject({ calls: 60, done: 60, duplicates: 0, missing: 0, undone: [] });
});
