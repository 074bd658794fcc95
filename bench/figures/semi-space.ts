/** Chooses the size of V8's young generation: processor time and resident memory of each size in one alternating run. */

import { type Bench, type Figure, READ, slice, warmUp } from '../bench.ts';
import { startHoldfast } from '../contestants.ts';
import { spread } from '../stats.ts';
import { burst } from './memory.ts';

const SIZES_MIB = [1, 2, 4, 8, 16] as const;

export async function semiSpace(bench: Bench): Promise<readonly Figure[]> {
  const samples = SIZES_MIB.map((mib) => ({ mib, cpuUs: [] as number[], rssMb: [] as number[] }));
  for (let round = 1; round <= bench.sizes.rounds; round += 1) {
    bench.say(`semi-space: round ${round} of ${bench.sizes.rounds}`);
    for (const sample of samples) {
      const flags = [`--max-semi-space-size=${sample.mib}`];
      const holdfast = await startHoldfast(bench.upstream.port, { flags });
      sample.rssMb.push((await burst(bench, holdfast)).after);
      await warmUp(bench, holdfast);
      sample.cpuUs.push((await slice(bench, holdfast, READ, 64)).cpuUs);
      await holdfast.child.stop();
    }
  }
  return samples.map(({ mib, cpuUs, rssMb }) => ({
    name: `semi-space of ${mib} MiB: RSS after concurrency 256`,
    unit: 'MB',
    value: spread(rssMb),
    beside: `${Math.round(spread(cpuUs).median)} µs CPU per GET (${cpuUs
      .map(Math.round)
      .toSorted((a, b) => a - b)
      .join(', ')})`,
    reach: null,
    stretch: null,
  }));
}
