import { fc, test } from '@fast-check/vitest';
import { Counter, Histogram, Registry } from 'prom-client';
import { expect } from 'vitest';
import { EndpointHistogram, TallyCounter } from '../../src/ops/tallies.ts';

const BUCKETS = [0.005, 0.1, 1, 10];
const call = fc.record({
  endpoint: fc.constantFrom('GET /contacts', 'POST /contacts', 'other "quoted"'),
  status: fc.constantFrom(200, 404, 503),
  seconds: fc.oneof(fc.constantFrom(...BUCKETS, 0), fc.double({ min: 0, max: 20, noNaN: true })),
});

/** Lines without their order: a scrape has none. */
const linesOf = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics())
    .split('\n')
    .map((line) => line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').toSorted().join(',')}}`))
    .toSorted();

test.prop([fc.array(fc.array(call, { size: 'max', maxLength: 40 }), { minLength: 2, maxLength: 3 })], { numRuns: 50 })(
  'what is scraped is what prom-client itself would have counted, at every scrape',
  async (rounds) => {
    const [own, theirs] = [new Registry(), new Registry()];
    const tally = new TallyCounter({ name: 'calls', help: 'h', labelNames: ['endpoint', 'status'], registers: [own] });
    const counter = new Counter({ name: 'calls', help: 'h', labelNames: ['endpoint', 'status'], registers: [theirs] });
    const notes = new EndpointHistogram({ name: 'seconds', help: 'h', buckets: BUCKETS, registers: [own] });
    const histogram = new Histogram({
      name: 'seconds',
      help: 'h',
      labelNames: ['endpoint'],
      buckets: BUCKETS,
      registers: [theirs],
    });
    for (const calls of rounds) {
      for (const { endpoint, status, seconds } of calls) {
        tally.tally([endpoint, status]);
        counter.inc({ endpoint, status });
        notes.note(endpoint, seconds);
        histogram.observe({ endpoint }, seconds);
      }
      expect(await linesOf(own)).toEqual(await linesOf(theirs));
      expect(await own.getMetricsAsJSON()).toHaveLength(2);
    }
  },
);
