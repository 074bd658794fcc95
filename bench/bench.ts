/** What every figure gets: the load generator, the upstream, the sizes of this run, and how a figure is judged. */

import type { Contestant } from './contestants.ts';
import type { Workload } from './jobs.ts';
import type { LoadGenerator } from './processes.ts';
import type { Spread } from './stats.ts';

/** How much is measured. */
export interface Sizes {
  readonly rounds: number;
  readonly rampMs: number;
  readonly measureMs: number;
  readonly warmUpRequests: number;
  readonly openLoopMs: number;
  readonly starts: number;
}

/** A full run: what the published figures come from. */
export const FULL: Sizes = {
  rounds: 7,
  rampMs: 300,
  measureMs: 2000,
  warmUpRequests: 20_000,
  openLoopMs: 12_000,
  starts: 7,
};

/** A look: the same code, too short to publish. */
export const QUICK: Sizes = {
  rounds: 3,
  rampMs: 150,
  measureMs: 500,
  warmUpRequests: 3000,
  openLoopMs: 2000,
  starts: 3,
};

/** The tools of a figure. */
export interface Bench {
  readonly sizes: Sizes;
  readonly load: LoadGenerator;
  readonly upstream: Contestant;
  readonly say: (line: string) => void;
}

/** One line of the result. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly value: Spread;
  /** What was measured in the same run, for scale. */
  readonly beside: string;
  /** Bounds of performance.md; null for a figure that has none. */
  readonly reach: number | null;
  readonly stretch: number | null;
  /** Whether more is better. */
  readonly atLeast?: boolean;
}

/** Which of its bounds a figure meets. */
export function judge(figure: Figure): 'stretch' | 'reached' | 'missed' | '' {
  const meets = (bound: number): boolean =>
    figure.atLeast ? figure.value.median >= bound : figure.value.median <= bound;
  if (figure.stretch !== null && meets(figure.stretch)) return 'stretch';
  if (figure.reach === null) return '';
  return meets(figure.reach) ? 'reached' : 'missed';
}

/** A read that every Intercom integration makes. */
export const READ: Workload = { method: 'GET', paths: ['/contacts/5ba682d23d7cf92bef87bfd4'], tokens: 1 };

/** A write that is idempotent (an upsert with `company_id`), so that no ledger row is part of the figure. */
export const WRITE: Workload = { method: 'POST', paths: ['/companies'], tokens: 1 };

/** Sends the warm-up: half reads, half writes. */
export async function warmUp(bench: Bench, contestant: Contestant): Promise<void> {
  for (const workload of [READ, WRITE]) {
    const requests = Math.ceil(bench.sizes.warmUpRequests / 2);
    await bench.load.run({
      kind: 'closed',
      port: contestant.port,
      connections: 64,
      workload,
      rampMs: 0,
      measureMs: 0,
      requests,
      pid: null,
    });
  }
}

/** One measured slice of a contestant under a closed loop. */
export async function slice(
  bench: Bench,
  contestant: Contestant,
  workload: Workload,
  connections: number,
): Promise<{ readonly cpuUs: number; readonly perSecond: number }> {
  const result = await bench.load.run({
    kind: 'closed',
    port: contestant.port,
    connections,
    workload,
    rampMs: bench.sizes.rampMs,
    measureMs: bench.sizes.measureMs,
    requests: null,
    pid: contestant.child.pid,
  });
  return { cpuUs: (result.cpuMs * 1000) / result.requests, perSecond: (result.requests * 1000) / result.wallMs };
}
