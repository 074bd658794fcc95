/** Resident memory: idle, after a burst, and while 1 GiB streams through each way. */

import { setTimeout as wait } from 'node:timers/promises';
import { type Bench, type Figure, READ } from '../bench.ts';
import { type Contestant, startFloor, startHoldfast } from '../contestants.ts';
import { rssMb } from '../proc.ts';
import { spread } from '../stats.ts';

const BURST_CONNECTIONS = 256;
const BURST_REQUESTS = 20_000;
const STREAM_BYTES = 2 ** 30;
const STREAM_WARM_UP_REQUESTS = 2000;
const SAMPLE_MS = 20;
const MIB_IN_MB = 1.048_576;

/** Resident memory before and after a burst. */
export async function burst(
  bench: Bench,
  contestant: Contestant,
): Promise<{ readonly idle: number; readonly after: number }> {
  await wait(2000);
  const idle = rssMb(contestant.child.pid);
  await calls(bench, contestant, BURST_CONNECTIONS, BURST_REQUESTS);
  await wait(1000);
  return { idle, after: rssMb(contestant.child.pid) };
}

async function calls(bench: Bench, contestant: Contestant, connections: number, requests: number): Promise<void> {
  await bench.load.run({
    kind: 'closed',
    port: contestant.port,
    connections,
    workload: READ,
    rampMs: 0,
    measureMs: 0,
    requests,
    pid: null,
  });
}

/** The highest resident memory while a body streams, above what it was before, in MiB; and how fast it went. */
async function streamGrowth(
  bench: Bench,
  contestant: Contestant,
  kind: 'download' | 'upload',
): Promise<{ readonly growthMib: number; readonly mibPerSecond: number }> {
  const before = rssMb(contestant.child.pid);
  let highest = before;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMb(contestant.child.pid));
  }, SAMPLE_MS);
  try {
    const result = await bench.load.run({ kind, port: contestant.port, bytes: STREAM_BYTES });
    return {
      growthMib: (highest - before) / MIB_IN_MB,
      mibPerSecond: STREAM_BYTES / 2 ** 20 / (result.wallMs / 1000),
    };
  } finally {
    clearInterval(sampler);
  }
}

export async function memory(bench: Bench): Promise<readonly Figure[]> {
  const idle: number[] = [];
  const after: number[] = [];
  const grown = { download: [] as number[], upload: [] as number[] };
  const speed = { download: [] as number[], upload: [] as number[] };
  const floor = await startFloor(bench.upstream.port);
  const floorRss = await burst(bench, floor);
  await floor.child.stop();
  const rounds = Math.min(3, bench.sizes.rounds - 2);
  for (let round = 1; round <= rounds; round += 1) {
    bench.say(`memory: round ${round} of ${rounds}`);
    const holdfast = await startHoldfast(bench.upstream.port);
    const rss = await burst(bench, holdfast);
    idle.push(rss.idle);
    after.push(rss.after);
    await holdfast.child.stop();
    for (const kind of ['download', 'upload'] as const) {
      const streaming = await startHoldfast(bench.upstream.port);
      await calls(bench, streaming, 64, STREAM_WARM_UP_REQUESTS);
      const { growthMib, mibPerSecond } = await streamGrowth(bench, streaming, kind);
      grown[kind].push(growthMib);
      speed[kind].push(mibPerSecond);
      await streaming.child.stop();
    }
  }
  const stream = (kind: 'download' | 'upload', name: string): Figure => ({
    name: `RSS growth while 1 GiB streams ${name}`,
    unit: 'MiB',
    value: spread(grown[kind]),
    beside: `${Math.round(spread(speed[kind]).median)} MiB/s`,
    reach: 48,
    stretch: 32,
  });
  return [
    {
      name: 'RSS idle',
      unit: 'MB',
      value: spread(idle),
      beside: `floor ${floorRss.idle.toFixed(0)}`,
      reach: 105,
      stretch: 90,
    },
    {
      name: `RSS after concurrency ${BURST_CONNECTIONS}`,
      unit: 'MB',
      value: spread(after),
      beside: `floor ${floorRss.after.toFixed(0)}`,
      reach: 150,
      stretch: 130,
    },
    stream('download', 'down'),
    stream('upload', 'up'),
  ];
}
