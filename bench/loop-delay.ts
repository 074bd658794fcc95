/**
 * A preload (`node --import`) that measures the event-loop delay of the process it is loaded into, so that the product
 * needs no hook for the bench. The first SIGUSR2 starts a fresh measurement, the second prints one JSON line on stderr.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let measuring = false;

/** The histogram holds the distances between the firings of a timer: what exceeds its period is delay. */
const delayMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);

process.on('SIGUSR2', () => {
  measuring = !measuring;
  if (measuring) {
    histogram.enable();
    histogram.reset();
    return;
  }
  histogram.disable();
  const line = {
    p50: delayMs(histogram.percentile(50)),
    p99: delayMs(histogram.percentile(99)),
    max: delayMs(histogram.max),
  };
  process.stderr.write(`loop-delay ${JSON.stringify(line)}\n`);
});
