/** Processor time per request and throughput per core, Holdfast against the floor and everybody who only forwards. */

import { type Bench, type Figure, READ, slice, WRITE, warmUp } from '../bench.ts';
import type { Contestant } from '../contestants.ts';
import { type Spread, spread } from '../stats.ts';

const CONNECTIONS = 64;

/** What one contestant cost; ratios are of the same round. */
export interface ContestantCost {
  readonly name: string;
  readonly cpuUs: { readonly get: Spread; readonly post: Spread };
  readonly cpuToFloor: { readonly get: Spread; readonly post: Spread };
  readonly perSecond: { readonly get: Spread; readonly post: Spread };
  readonly throughputToFloor: { readonly get: Spread; readonly post: Spread };
}

interface Samples {
  readonly cpuUs: number[];
  readonly perSecond: number[];
}

/** Measures all of them in turn, round by round. The first is the floor. */
export async function measureContestants(
  bench: Bench,
  contestants: readonly Contestant[],
): Promise<readonly ContestantCost[]> {
  const samples = contestants.map(() => ({
    get: { cpuUs: [], perSecond: [] } as Samples,
    post: { cpuUs: [], perSecond: [] } as Samples,
  }));
  for (const contestant of contestants) {
    bench.say(`cpu: warm-up of ${contestant.name}`);
    await warmUp(bench, contestant);
  }
  for (let round = 1; round <= bench.sizes.rounds; round += 1) {
    bench.say(`cpu: round ${round} of ${bench.sizes.rounds}`);
    for (const [index, contestant] of contestants.entries()) {
      for (const [method, workload] of [['get', READ] as const, ['post', WRITE] as const]) {
        const { cpuUs, perSecond } = await slice(bench, contestant, workload, CONNECTIONS);
        samples[index]?.[method].cpuUs.push(cpuUs);
        samples[index]?.[method].perSecond.push(perSecond);
      }
    }
  }
  const floor = samples[0];
  return contestants.map((contestant, index) => {
    const pick = (method: 'get' | 'post', key: keyof Samples): readonly number[] => samples[index]?.[method][key] ?? [];
    const ratio = (method: 'get' | 'post', key: keyof Samples): Spread =>
      spread(pick(method, key).map((value, round) => value / (floor?.[method][key][round] ?? Number.NaN)));
    return {
      name: contestant.name,
      cpuUs: { get: spread(pick('get', 'cpuUs')), post: spread(pick('post', 'cpuUs')) },
      cpuToFloor: { get: ratio('get', 'cpuUs'), post: ratio('post', 'cpuUs') },
      perSecond: { get: spread(pick('get', 'perSecond')), post: spread(pick('post', 'perSecond')) },
      throughputToFloor: { get: ratio('get', 'perSecond'), post: ratio('post', 'perSecond') },
    };
  });
}

/** The figures of Holdfast that follow from the costs. */
export function costFigures(costs: readonly ContestantCost[]): readonly Figure[] {
  const holdfast = costs.find((cost) => cost.name === 'holdfast');
  if (holdfast === undefined) return [];
  const cheapestPeer = (method: 'get' | 'post'): string => {
    const peers = costs.filter((cost) => /fastify|httpxy|hono/.test(cost.name));
    const [best] = peers.toSorted((a, b) => a.cpuToFloor[method].median - b.cpuToFloor[method].median);
    return best ? `cheapest Node peer ${best.name} ${best.cpuToFloor[method].median.toFixed(2)}` : '';
  };
  return (['get', 'post'] as const).flatMap((method) => [
    {
      name: `CPU per request, ${method.toUpperCase()}`,
      unit: '× floor',
      value: holdfast.cpuToFloor[method],
      beside: cheapestPeer(method),
      reach: 1.35,
      stretch: 1.25,
    },
    {
      name: `throughput per core at ${CONNECTIONS}, ${method.toUpperCase()}`,
      unit: '× floor',
      value: holdfast.throughputToFloor[method],
      beside: `${Math.round(holdfast.perSecond[method].median)}/s`,
      reach: 0.75,
      stretch: 0.85,
      atLeast: true,
    },
  ]);
}
