import { type Rig, startRig, type Told } from './rig.ts';

/** How the upstream is dead: its port is closed, or something in front of it answers 503 without a word of when. */
export type Death = 'refused' | 'unavailable';

/** One outage under steady traffic. */
export interface Outage {
  readonly death: Death;
  readonly whenOpen: 'fail' | 'patient';
  readonly outageMs: number;
  /** Calls per second, over all endpoints. */
  readonly perSecond: number;
  /** Of traffic before and after it. */
  readonly calmMs: number;
  readonly seed?: number;
  readonly speed?: number;
}

/** What it came to. Times in ms. */
export interface Outlived {
  readonly calls: number;
  readonly failed: number;
  /** Attempts on the wire between the trip and the end of the outage, per second. */
  readonly perSecondAfterTrip: number;
  /** From the end of the outage to the first success. */
  readonly firstSuccessMs: number;
  /** The slowest call. */
  readonly worstMs: number;
  /** From the end of the outage until the last call that it held up was answered. */
  readonly caughtUpMs: number;
  /** How long each call took that met the open breaker first of all. */
  readonly refusalsMs: readonly number[];
}

/** Reads, a search and idempotent writes over eight endpoints, so that every breaker of the herd has its own line. */
const LINES: readonly (readonly [string, unknown])[] = [
  ['GET /me', undefined],
  ['GET /tags', undefined],
  ['GET /admins', undefined],
  ['GET /contacts', undefined],
  ['GET /conversations', undefined],
  ['GET /companies', undefined],
  ['POST /contacts/search', { query: { field: 'email', operator: '=', value: 'nobody@example.com' } }],
  ['POST /companies', { company_id: 'c1', name: 'One' }],
];

/** Keeps traffic up through an outage, and tells what callers and the upstream saw of it. */
export async function outlive(run: Outage): Promise<Outlived> {
  const { death, whenOpen, outageMs, perSecond, calmMs, seed = 1, speed = 1 } = run;
  const rig = await startRig({
    scenario: { quota: { limit: 10_000 } },
    yaml: whenOpen === 'patient' ? 'profile: patient' : '',
    seed,
    speed,
  });
  try {
    const told: Promise<Told>[] = [];
    const { clock } = rig;
    const startedAtMs = clock.now();
    const send = async (untilMs: number): Promise<void> => {
      while (clock.now() < untilMs) {
        const line = LINES[told.length % LINES.length] as (typeof LINES)[number];
        told.push(rig.call(line[0], { body: line[1] }));
        await rig.pause(startedAtMs + (told.length * 1000) / perSecond - clock.now());
      }
    };
    await send(startedAtMs + calmMs);
    const diedAtMs = clock.now();
    await die(rig, death);
    const sending = send(diedAtMs + outageMs + calmMs);
    const trippedAtMs = await tripped(rig);
    const before = await rig.metric('holdfast_attempts_total');
    await rig.pause(diedAtMs + outageMs - clock.now());
    const after = await rig.metric('holdfast_attempts_total');
    const recoveredAtMs = clock.now();
    await recover(rig, death);
    await sending;
    const all = await Promise.all(told);
    const good = all.filter(({ status }) => status === 200);
    const heldUp = all.filter(({ sentAtMs }) => sentAtMs < recoveredAtMs);
    return {
      calls: all.length,
      failed: all.length - good.length,
      perSecondAfterTrip: (after - before) / ((recoveredAtMs - trippedAtMs) / 1000),
      firstSuccessMs:
        Math.min(...good.map(({ answeredAtMs }) => answeredAtMs).filter((atMs) => atMs > recoveredAtMs)) -
        recoveredAtMs,
      worstMs: Math.max(...all.map(({ tookMs }) => tookMs)),
      caughtUpMs: Math.max(...heldUp.map(({ answeredAtMs }) => answeredAtMs)) - recoveredAtMs,
      refusalsMs: all
        .filter(({ code, header }) => code === 'holdfast_breaker_open' && header('holdfast')?.includes('attempts=0'))
        .map(({ tookMs }) => tookMs),
    };
  } finally {
    await rig.stop();
  }
}

async function die({ simulator }: Rig, death: Death): Promise<void> {
  if (death === 'refused') await simulator.refuse();
  else simulator.fault({ fault: { kind: 'status', status: 503, body: 'empty' } });
}

async function recover({ simulator }: Rig, death: Death): Promise<void> {
  if (death === 'refused') await simulator.accept();
  else simulator.clearFaults();
}

/** When nothing is let through any more: the host's breaker is open, or every endpoint's. */
async function tripped(rig: Rig): Promise<number> {
  for (;;) {
    const { breakers } = await rig.status();
    const open = Object.keys(breakers).filter((endpoint) => breakers[endpoint]?.state !== 'closed');
    if (open.includes('host') || open.length >= LINES.length) return rig.clock.now();
    await rig.pause(20);
  }
}
