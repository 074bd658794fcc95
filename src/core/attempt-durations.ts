/**
 * How long an attempt at an endpoint usually takes: the median of its last few answered attempts. An average would be
 * ruled by the one slow search, a histogram costs more than the question is worth. Only answered attempts count:
 * refused connections are over too soon and timeouts say nothing about what would have finished.
 */

const REMEMBERED = 16;

interface Ring {
  readonly durationsMs: Float64Array;
  count: number;
}

/** Recent attempt durations by endpoint rule; as many entries as the configuration has rules. */
export class AttemptDurations {
  readonly #rings = new Map<string, Ring>();

  /** Notes an answered attempt. */
  note(endpoint: string, durationMs: number): void {
    let ring = this.#rings.get(endpoint);
    if (ring === undefined) {
      ring = { durationsMs: new Float64Array(REMEMBERED), count: 0 };
      this.#rings.set(endpoint, ring);
    }
    ring.durationsMs[ring.count % REMEMBERED] = durationMs;
    ring.count += 1;
  }

  /** The median (the upper one of an even number), ms; 0 while nothing is known. */
  medianMs(endpoint: string): number {
    const ring = this.#rings.get(endpoint);
    if (ring === undefined) return 0;
    const known = ring.durationsMs.slice(0, Math.min(ring.count, REMEMBERED)).sort();
    return known[known.length >> 1] as number;
  }
}
