/** Latency that a proxy adds at Intercom's highest rate limit, 167 requests/s in an open loop, against going direct. */

import { type Bench, type Figure, READ, warmUp } from '../bench.ts';
import { startFloor, startHoldfast } from '../contestants.ts';
import type { OpenResult } from '../jobs.ts';
import { spread } from '../stats.ts';

const PER_SECOND = 167;
const ROUNDS = 3;

export async function latency(bench: Bench): Promise<readonly Figure[]> {
  const floor = await startFloor(bench.upstream.port);
  const holdfast = await startHoldfast(bench.upstream.port);
  for (const contestant of [floor, holdfast]) await warmUp(bench, contestant);
  const rounds: { readonly direct: OpenResult; readonly floor: OpenResult; readonly holdfast: OpenResult }[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    bench.say(`latency: round ${round} of ${ROUNDS}`);
    const measure = (port: number): Promise<OpenResult> =>
      bench.load.run({
        kind: 'open',
        port,
        perSecond: PER_SECOND,
        workload: READ,
        rampMs: bench.sizes.rampMs,
        measureMs: bench.sizes.openLoopMs,
      });
    rounds.push({
      direct: await measure(bench.upstream.port),
      floor: await measure(floor.port),
      holdfast: await measure(holdfast.port),
    });
  }
  await Promise.all([floor.child.stop(), holdfast.child.stop()]);
  return (['p50', 'p99'] as const).map((rank) => {
    const added = (name: 'floor' | 'holdfast') => spread(rounds.map((round) => round[name][rank] - round.direct[rank]));
    const direct = spread(rounds.map((round) => round.direct[rank]));
    return {
      name: `added latency at ${PER_SECOND}/s, ${rank}`,
      unit: 'ms',
      value: added('holdfast'),
      beside: `floor adds ${added('floor').median.toFixed(2)}; direct ${direct.median.toFixed(2)}`,
      reach: rank === 'p50' ? 0.5 : 2,
      stretch: rank === 'p50' ? 0.3 : null,
    };
  });
}
