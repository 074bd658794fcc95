/** Processor time from the start of the packed proxy until it is ready. */

import type { Bench, Figure } from '../bench.ts';
import { launchHoldfast, startFloor } from '../contestants.ts';
import { cpuMs } from '../proc.ts';
import { ready } from '../processes.ts';
import { spread } from '../stats.ts';

export async function startUp(bench: Bench): Promise<readonly Figure[]> {
  const holdfast: number[] = [];
  const wall: number[] = [];
  const floor: number[] = [];
  for (let round = 1; round <= bench.sizes.starts; round += 1) {
    bench.say(`start: ${round} of ${bench.sizes.starts}`);
    const before = performance.now();
    const launched = await launchHoldfast(bench.upstream.port);
    await ready(launched.child, launched.readyz);
    holdfast.push(cpuMs(launched.child.pid));
    wall.push(performance.now() - before);
    await launched.child.stop();
    const reference = await startFloor(bench.upstream.port);
    floor.push(cpuMs(reference.child.pid));
    await reference.child.stop();
  }
  const beside = `floor ${Math.round(spread(floor).median)}; ${Math.round(spread(wall).median)} ms of wall time`;
  return [{ name: 'start to ready, CPU', unit: 'ms', value: spread(holdfast), beside, reach: 250, stretch: 150 }];
}
