import { expect, test } from 'vitest';
import { killRedrive } from './redrive-kill.ts';

test('§9: kill -9 in the middle of a redrive: it goes on by itself, and no row is there twice', async () => {
  const result = await killRedrive(60, [10, 30], 400);
  expect(result).toMatchObject({ rows: 60, pending: 0, effects: 60, duplicates: 0, answeredTwice: 0 });
  expect(result).toMatchObject({ succeeded: 60, states: { succeeded: 60 } });
  expect(result.triedBeforeKills.every((tried) => tried < 60)).toBe(true);
}, 120_000);
