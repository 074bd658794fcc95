import { fc, test } from '@fast-check/vitest';
import { afterAll, expect, it } from 'vitest';
import { LANE_MAX, QueueLanes, RUNNING_MAX, TROUBLED_MAX } from '../../src/core/queue-lanes.ts';

const fill = (lanes: QueueLanes, name: string, nowMs = 0): number => {
  let started = 0;
  for (; lanes.room(name, nowMs) > 0; started++) lanes.start(name);
  return started;
};

it('§8: a lane begins with one, doubles while its calls get through, and falls back to one', () => {
  const lanes = new QueueLanes();
  const seen: number[] = [];
  for (let round = 0; round < 7; round++) {
    const started = fill(lanes, 'a');
    seen.push(started);
    lanes.end('a', 'through', 0, 0);
    for (let i = 1; i < started; i++) lanes.end('a', 'failed', 0, 0);
    if (started > 1) break;
  }
  expect(seen).toEqual([1, 2]);
  expect(fill(lanes, 'a')).toBe(1);
});

it('§8: lanes in trouble leave half of all places to those that are well', () => {
  const lanes = new QueueLanes();
  for (let i = 0; i < 200; i++) {
    lanes.start(`bad ${i}`);
    lanes.end(`bad ${i}`, 'failed', 0, 0);
  }
  for (let i = 0; i < 200; i++) fill(lanes, `bad ${i}`);
  expect(lanes.running).toBe(TROUBLED_MAX);
  expect(lanes.room('good', 0)).toBe(1);
});

it('§5, §8: a lane that was refused unsent stands still until its time, and no other does', () => {
  const lanes = new QueueLanes();
  lanes.start('a');
  lanes.end('a', 'refused', 100, 2000);
  expect([lanes.room('a', 2099), lanes.room('b', 100), lanes.room('a', 2100)]).toEqual([0, 1, 1]);
  expect(lanes.nextPauseOver(100)).toBe(2100);
  expect(lanes.nextPauseOver(2100)).toBeNull();
});

let fullest = 0;
let paused = 0;
afterAll(() => {
  expect(fullest).toBe(RUNNING_MAX);
  expect(paused).toBeGreaterThan(0);
});

test.prop(
  {
    steps: fc.array(
      fc.record({
        lane: fc.integer({ min: 0, max: 11 }),
        does: fc.constantFrom('fill', 'fill', 'through', 'through', 'through', 'failed', 'refused', 'wait'),
      }),
      { minLength: 400, maxLength: 1200, size: 'max' },
    ),
  },
  { numRuns: 60 },
)(
  '§8: no lane runs more than its share, all together no more than theirs, and an idle lane that waits can start',
  ({ steps }) => {
    const lanes = new QueueLanes();
    const running = new Map<string, number>();
    let nowMs = 0;
    for (const { lane, does } of steps) {
      const name = `lane ${lane}`;
      const count = running.get(name) ?? 0;
      if (does === 'wait') nowMs += 3000;
      else if (does === 'fill') running.set(name, count + fill(lanes, name, nowMs));
      else if (count > 0) {
        lanes.end(name, does, nowMs, 4000);
        running.set(name, count - 1);
      }
      const all = [...running.values()].reduce((sum, each) => sum + each, 0);
      fullest = Math.max(fullest, all);
      if (lanes.nextPauseOver(nowMs) !== null) paused += 1;
      expect(lanes.running).toBe(all);
      expect(all).toBeLessThanOrEqual(RUNNING_MAX);
      expect(running.get(name) ?? 0).toBeLessThanOrEqual(LANE_MAX);
    }
    for (const [name, count] of running) for (let i = 0; i < count; i++) lanes.end(name, 'through', nowMs, 0);
    for (const name of running.keys()) expect(lanes.room(name, nowMs + 10_000)).toBeGreaterThan(0);
  },
);
