import { expect, test } from 'vitest';
import { AttemptDurations } from '../../src/core/attempt-durations.ts';

test('knows nothing at first, then the median of an endpoint of its own', () => {
  const durations = new AttemptDurations();
  expect(durations.medianMs('GET /a')).toBe(0);
  for (const ms of [300, 100, 200]) durations.note('GET /a', ms);
  durations.note('GET /b', 9000);
  expect(durations.medianMs('GET /a')).toBe(200);
  expect(durations.medianMs('GET /b')).toBe(9000);
});

test('forgets all but the last sixteen', () => {
  const durations = new AttemptDurations();
  for (let i = 0; i < 100; i += 1) durations.note('GET /a', 5000);
  for (let i = 0; i < 16; i += 1) durations.note('GET /a', 10 + i);
  expect(durations.medianMs('GET /a')).toBe(18);
});
