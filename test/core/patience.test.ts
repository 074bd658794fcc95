/**
 * Invariants of the host-wide patience, for any breakers, arrivals, results and times:
 *
 * W1 while the host gives no sign of life there is one probe at a time, and one per open_for.
 * W2 the probe is the oldest call of those whose breaker is due.
 * W3 after a success nobody waits for the host; after the next failure W1 holds again.
 * W4 as long as somebody waits whose breaker will be due, there is a finite time or a probe under way: nobody is forgotten.
 */
import { fc, test } from '@fast-check/vitest';
import { afterAll, describe, expect, it } from 'vitest';
import { CALM, nextProbe, type Patience, probeEnded, probeStarted } from '../../src/core/patience.ts';

const OPEN_FOR_MS = 750;
const heads = fc.array(
  fc.record({ endpoint: fc.nat(30), arrivedAtMs: fc.nat(1000), dueAfterMs: fc.constantFrom(0, 300, 2000, Infinity) }),
  { minLength: 0, maxLength: 5 },
);
const results = fc.constantFrom('success' as const, 'failure' as const, 'failure' as const, 'nothing' as const);
const commands = fc.array(
  fc.record({
    waitMs: fc.constantFrom(0, 10, 400, 800),
    heads,
    end: fc.boolean(),
    which: fc.nat(10),
    result: results,
  }),
  { size: 'max', maxLength: 150 },
);
const visited = new Set<string>();

describe('§5: when_open: wait, over all endpoints of a host', () => {
  test.prop([commands], { numRuns: 1500 })('W1 to W4', (list) => {
    let nowMs = 0;
    let patience: Patience = CALM;
    let probe = 0;
    let lastStart = -Infinity;
    let alive = false;
    let wasNothing = false;
    const out: number[] = [];
    for (const step of list) {
      nowMs += step.waitMs;
      const before = patience.kind;
      const waiting = step.heads.map((head) => ({ ...head, dueAtMs: nowMs + head.dueAfterMs }));
      const next = nextProbe(patience, waiting, nowMs);
      if (next.endpoint !== null) {
        const due = waiting.filter((head) => head.dueAtMs <= nowMs);
        expect(due.find((head) => head.endpoint === next.endpoint)).toBeDefined();
        const oldest = Math.min(...due.map((head) => head.arrivedAtMs));
        expect(due.some((head) => head.endpoint === next.endpoint && head.arrivedAtMs === oldest)).toBe(true);
        if (!alive) {
          expect(before).toBe('calm');
          if (!wasNothing) expect(nowMs).toBeGreaterThanOrEqual(lastStart + OPEN_FOR_MS);
        }
        patience = probeStarted(patience, probe, nowMs);
        lastStart = nowMs;
        wasNothing = false;
        out.push(probe++);
      } else if (waiting.some((head) => head.dueAtMs < Infinity)) {
        expect(next.againAtMs < Infinity || before === 'probing').toBe(true);
        expect(next.againAtMs).toBeGreaterThan(nowMs);
      }
      if (step.end && out.length > 0) {
        const ended = out.splice(step.which % out.length, 1)[0] as number;
        const was = patience;
        patience = probeEnded(patience, ended, step.result, OPEN_FOR_MS, nowMs);
        if (step.result === 'success') alive = true;
        if (step.result === 'failure' && patience.kind === 'calm') {
          if (was.kind === 'recovering') lastStart = nowMs;
          alive = false;
        }
        if (step.result === 'nothing' && was.kind === 'probing' && patience.kind === 'calm') wasNothing = true;
        visited.add(`${was.kind}→${patience.kind}`);
      }
      visited.add(patience.kind);
    }
  });

  afterAll(() => {
    const ways = ['probing→calm', 'probing→recovering', 'recovering→calm', 'recovering→recovering'];
    for (const kind of ['calm', 'probing', 'recovering', ...ways]) expect(visited).toContain(kind);
  });

  it('sends one probe per open_for into an outage of a minute, however many endpoints wait', () => {
    let patience: Patience = CALM;
    let probes = 0;
    const dueAt = Array.from({ length: 30 }, () => 0);
    for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
      const waiting = dueAt.map((dueAtMs, endpoint) => ({ endpoint, arrivedAtMs: endpoint, dueAtMs }));
      const { endpoint } = nextProbe(patience, waiting, nowMs);
      if (endpoint === null) continue;
      patience = probeEnded(probeStarted(patience, probes, nowMs), probes, 'failure', OPEN_FOR_MS, nowMs);
      dueAt[endpoint] = nowMs + OPEN_FOR_MS * 1.05;
      probes += 1;
    }
    expect(probes).toBeLessThanOrEqual(60 * 2);
    expect(probes).toBeGreaterThanOrEqual(60);
  });
});
