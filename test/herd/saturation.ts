import { startRig } from './rig.ts';

/** One saturated run. */
export interface Saturation {
  readonly limit: number;
  /** Whole windows that the calls fill, beyond the one that is under way at the start. */
  readonly windows: number;
  readonly foreign?: number;
  /** The server's clock against ours. */
  readonly offsetSeconds?: number;
  /** ms per ms. */
  readonly drift?: number;
  readonly speed?: number;
  readonly seed?: number;
}

/** What it came to. */
export interface Saturated {
  readonly calls: number;
  readonly failed: number;
  /** Of the windows between the first and the last, calls let in by calls that were there to take: 0..1. */
  readonly used: number;
  /** The window of them that was used least. */
  readonly leastUsed: number;
  /** 429s by answers. */
  readonly throttledShare: number;
  readonly throttled: number;
  readonly wallMs: number;
  /** The least time in which the quota lets that many calls in. */
  readonly boundMs: number;
}

const WINDOW_MS = 10_000;

/** Sends everything at once through a quota and looks at what each window took. */
export async function saturate(run: Saturation): Promise<Saturated> {
  const { limit, windows, foreign = 0, offsetSeconds = 0, drift = 0, speed = 1, seed = 1 } = run;
  const rig = await startRig({
    scenario: { quota: { limit, foreign }, clock: { offset: `${offsetSeconds}s`, drift } },
    yaml: 'defaults: { pacing: { max_wait: 24h }, timeout: { total: 24h } }',
    seed,
    speed,
  });
  try {
    const share = limit - foreign;
    // One call learns where the window stands; the others meet it with its quota unused.
    const first = await rig.call('GET /me');
    const calls = windows * share;
    const resetMs = Number(first.header('x-ratelimit-reset')) * 1000;
    const leftMs = resetMs - offsetSeconds * 1000 - rig.clock.wall();
    const startedAtMs = rig.clock.now();
    const told = await Promise.all(Array.from({ length: calls }, () => rig.call('GET /me')));
    const wallMs = rig.clock.now() - startedAtMs;
    const byWindow = new Map<string, number>();
    for (const answer of told) {
      if (answer.status !== 200) continue;
      const reset = answer.header('x-ratelimit-reset') ?? '';
      byWindow.set(reset, (byWindow.get(reset) ?? 0) + 1);
    }
    const full = [...byWindow].sort(([a], [b]) => Number(a) - Number(b)).slice(1, -1);
    const { requests, throttled } = rig.simulator.stats();
    return {
      calls,
      failed: told.filter(({ status }) => status !== 200).length,
      used: full.reduce((sum, [, count]) => sum + count, 0) / (full.length * share),
      leastUsed: Math.min(...full.map(([, count]) => count)) / share,
      throttledShare: throttled / requests,
      throttled,
      wallMs,
      // What is left of the first window, and whole windows up to the beginning of the last.
      boundMs: leftMs + (windows - 1) * WINDOW_MS,
    };
  } finally {
    await rig.stop();
  }
}
