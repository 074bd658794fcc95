import { type ClockSkew, localTimeOf, observedSkew } from '../../src/core/clock-skew.ts';
import { advanced, doubted, extended, OPEN, type Pause, passAt, passed, probed } from '../../src/core/pause.ts';
import { newQuota, type Quota, rolled, type Slot, sent, slotAt, usedUp } from '../../src/core/quota.ts';
import { type SlotResult, settled } from '../../src/core/quota-answers.ts';
import { rateLimitOf } from '../../src/core/rate-limit.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';

/** A server with windows of ten seconds, other clients, a clock of its own, and every kind of header. */
export interface World {
  readonly seed: number;
  readonly limit: number;
  /** Calls per window that others spend, evenly. */
  readonly foreign: number;
  readonly latencyMs: readonly [number, number];
  /** Server's clock − ours, epoch ms, and how it drifts. */
  readonly offsetMs: number;
  readonly driftPpm: number;
  /** When its windows turn, ms after a multiple of ten seconds of its own clock. */
  readonly phaseMs: number;
  readonly headers: 'ceil' | 'floor' | 'milliseconds' | 'delta' | 'none' | 'garbage' | 'past' | 'future' | 'no-date';
  /** Own calls that are in flight at most: the connections of the pool. */
  readonly connections: number;
  readonly retryAfter: string | null;
  /** Answers everything with 429. */
  readonly refuseAll: boolean;
}

/** What came of it. */
export interface Played {
  readonly sends: number;
  readonly throttled: number;
  readonly accepted: number;
  readonly spentByOthers: number;
  readonly tookMs: number;
  readonly kinds: ReadonlySet<Quota['kind']>;
  readonly pauses: ReadonlySet<Pause['kind']>;
  /** Times at which the driver looked for a slot. */
  readonly looks: number;
}

export const WORLD: World = {
  seed: 1,
  limit: 83,
  foreign: 0,
  latencyMs: [20, 120],
  offsetMs: Date.UTC(2026, 0, 1),
  driftPpm: 0,
  phaseMs: 3700,
  headers: 'ceil',
  connections: 128,
  retryAfter: null,
  refuseAll: false,
};

interface Happening {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Sends `calls` calls as fast as the machines allow, repeating what was refused with 429. Nothing sleeps. */
export function play(world: World, calls: number, untilMs = 3_600_000): Played {
  const random = seededRandom(world.seed);
  const happenings: Happening[] = [];
  let nowMs = 1000;
  let order = 0;
  const at = (ms: number, run: () => void): void => {
    const happening = { atMs: Math.max(ms, nowMs), order: order++, run };
    let index = happenings.length;
    while (index > 0 && (happenings[index - 1] as Happening).atMs > happening.atMs) index -= 1;
    happenings.splice(index, 0, happening);
  };

  const serverNow = (): number => nowMs * (1 + world.driftPpm / 1e6) + world.offsetMs;
  let windowStart = -Infinity;
  let used = 0;
  const turn = (): void => {
    const start = Math.floor((serverNow() - world.phaseMs) / 10_000) * 10_000 + world.phaseMs;
    if (start !== windowStart) used = 0;
    windowStart = start;
  };

  let spentByOthers = 0;
  const foreigner = (): void => {
    turn();
    if (used < world.limit) {
      used += 1;
      spentByOthers += 1;
    }
    at(nowMs + (10_000 / world.foreign) * (0.5 + random()), foreigner);
  };
  if (world.foreign > 0) at(nowMs, foreigner);

  let quota = newQuota(nowMs);
  let pause: Pause = OPEN;
  let skew: ClockSkew | null = null;
  let waiting = calls;
  let inFlight = 0;
  const tally = { sends: 0, throttled: 0, accepted: 0, looks: 0 };
  const kinds = new Set<Quota['kind']>();
  const pauses = new Set<Pause['kind']>();
  let wakeAtMs = Infinity;

  const advance = (): void => {
    const wasUsedUp = usedUp(quota);
    const next = rolled(quota, nowMs);
    if (next !== quota && wasUsedUp) pause = doubted(pause);
    quota = next;
    pause = advanced(pause, nowMs);
    kinds.add(quota.kind);
    pauses.add(pause.kind);
  };

  const pump = (): void => {
    for (;;) {
      tally.looks += 1;
      advance();
      if (waiting === 0 || inFlight >= world.connections) return;
      const slotMs = Math.max(passAt(pause, nowMs), slotAt(quota, false, 0, nowMs));
      if (slotMs > nowMs) {
        if (slotMs < Infinity && (wakeAtMs <= nowMs || slotMs < wakeAtMs)) {
          wakeAtMs = slotMs;
          at(slotMs, pump);
        }
        return;
      }
      waiting -= 1;
      inFlight += 1;
      tally.sends += 1;
      const taken = sent(quota, false, nowMs);
      quota = taken.quota;
      pause = passed(pause, taken.slot.ordinal, nowMs);
      const way = world.latencyMs[0] + random() * (world.latencyMs[1] - world.latencyMs[0]);
      at(nowMs + way / 2, () => arrive(taken.slot, way / 2));
    }
  };

  const arrive = (slot: Slot, backMs: number): void => {
    turn();
    const refused = world.refuseAll || used >= world.limit;
    if (!refused) used += 1;
    const stampMs = serverNow();
    const headers = headersOf(world, windowStart + 10_000, world.limit - used, stampMs, random);
    const jitter = random();
    at(nowMs + backMs, () => {
      advance();
      const date = world.headers === 'no-date' ? null : Math.floor(stampMs / 1000) * 1000;
      skew = observedSkew(skew, date, slot.sentAtMs, nowMs);
      const rate = rateLimitOf(headers, date ?? stampMs);
      const local =
        rate === null ? null : { ...rate, resetAtMs: localTimeOf(skew, rate.resetMs, nowMs, world.offsetMs + 90_000) };
      const seconds = world.retryAfter === null ? null : Number(world.retryAfter) * 1000;
      const result: SlotResult = refused
        ? { kind: 'throttled', rate: local, retryAfterMs: seconds, jitter }
        : { kind: 'answered', rate: local };
      const learned = settled(quota, slot, result, nowMs);
      quota = learned.quota;
      pause = probed(pause, slot.ordinal, refused ? 'nothing' : 'answered');
      if (learned.pauseUntilMs !== null) pause = extended(pause, learned.pauseUntilMs);
      inFlight -= 1;
      if (refused) {
        tally.throttled += 1;
        waiting += 1;
      } else {
        tally.accepted += 1;
      }
      pump();
    });
  };

  pump();
  while (happenings.length > 0 && tally.accepted < calls && nowMs < untilMs) {
    const next = happenings.shift() as Happening;
    nowMs = next.atMs;
    next.run();
  }
  return { ...tally, spentByOthers, tookMs: nowMs - 1000, kinds, pauses };
}

function headersOf(
  world: World,
  resetMs: number,
  remaining: number,
  stampMs: number,
  random: () => number,
): readonly string[] {
  const limits = ['X-RateLimit-Limit', String(world.limit), 'X-RateLimit-Remaining', String(remaining)];
  const of = (reset: string): readonly string[] => limits.concat('X-RateLimit-Reset', reset);
  switch (world.headers) {
    case 'ceil':
    case 'no-date':
      return of(String(Math.ceil(resetMs / 1000)));
    case 'floor':
      return of(String(Math.floor(resetMs / 1000)));
    case 'milliseconds':
      return of(String(Math.ceil(resetMs)));
    case 'delta':
      return of(String(Math.ceil((resetMs - stampMs) / 1000)));
    case 'past':
      return of(String(Math.floor((stampMs - 50_000) / 1000)));
    case 'future':
      return of(String(Math.floor((stampMs + 86_400_000) / 1000)));
    case 'none':
      return [];
    case 'garbage':
      return of(['soon', 'NaN', '-5', '1e9', '99999999999999999999', ''][Math.floor(random() * 6)] as string);
  }
}
