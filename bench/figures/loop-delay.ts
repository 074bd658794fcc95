/** How long the event loop of a loaded Holdfast keeps others waiting, at half of the highest throughput. */

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Bench, type Figure, READ, slice, warmUp } from '../bench.ts';
import { startHoldfast } from '../contestants.ts';
import { spread } from '../stats.ts';

const ROUNDS = 3;
const ANSWER_TIMEOUT_MS = 5000;
const PRELOAD = join(import.meta.dirname, '..', 'loop-delay.ts');

export async function loopDelay(bench: Bench): Promise<readonly Figure[]> {
  const flags = ['--max-semi-space-size=8', '--import', PRELOAD];
  const holdfast = await startHoldfast(bench.upstream.port, { flags });
  await warmUp(bench, holdfast);
  const { perSecond } = await slice(bench, holdfast, READ, 64);
  const half = Math.round(perSecond / 2);
  const p99: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    bench.say(`loop-delay: round ${round} of ${ROUNDS}`);
    holdfast.child.process.kill('SIGUSR2');
    await bench.load.run({
      kind: 'open',
      port: holdfast.port,
      perSecond: half,
      workload: READ,
      rampMs: 0,
      measureMs: bench.sizes.openLoopMs / 2,
    });
    holdfast.child.process.kill('SIGUSR2');
    p99.push((await reported(holdfast.child.stderr, round)).p99);
  }
  await holdfast.child.stop();
  const beside = `at ${half}/s`;
  return [{ name: 'event-loop delay p99', unit: 'ms', value: spread(p99), beside, reach: 10, stretch: 5 }];
}

/** The line that the preload printed for a round. */
async function reported(stderr: () => string, round: number): Promise<{ readonly p99: number }> {
  for (const giveUpAt = performance.now() + ANSWER_TIMEOUT_MS; performance.now() < giveUpAt; await wait(20)) {
    const lines = [...stderr().matchAll(/^loop-delay (.*)$/gm)];
    const line = lines[round - 1]?.[1];
    if (line !== undefined) return JSON.parse(line) as { p99: number };
  }
  throw new Error(`no report of the event-loop delay; stderr: ${stderr()}`);
}
