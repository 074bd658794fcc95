/** The Wednesday of issue 5: a night of leads, an outage in the middle, bad data, a revoked token; and the morning after. */

import { type Json, openRig, type Rig } from '../e2e/redrive-rig.ts';
import { inParallel } from './redrive-kill.ts';

/** What was there in the evening, and in the end. */
export interface Wednesday {
  readonly leads: number;
  readonly done: number;
  readonly dead: number;
  /** Label and rows, the largest first. */
  readonly groups: readonly (readonly [string, number])[];
  readonly expected: { readonly outage: number; readonly bad: number; readonly revoked: number };
  readonly home: number;
  readonly duplicates: number;
  readonly openInTheEnd: number;
}

const CONFIG = `version: 1
defaults:
  retry: { max_retries: 1, base_delay: 5ms, max_delay: 10ms }
  retry_budget: { floor_per_second: 1000 }
redrive: { velocity: 1 }
`;
const AT_ONCE = 32;
const IDS_MAX = 1000;

function isBad(n: number): boolean {
  return n % 10 === 3;
}

function lead(n: number): { readonly name: string; readonly external_id?: string; readonly email?: string } {
  const name = `Lead ${n}`;
  return isBad(n) ? { name } : { name, external_id: `lead-${n}`, email: `lead-${n}@example.com` };
}

function badIn(from: number, to: number): number {
  return Array.from({ length: to - from }, (_, i) => from + i).filter(isBad).length;
}

/** Tells it with so many leads, a multiple of 20. */
export async function wednesday(leads: number): Promise<Wednesday> {
  const rig = await openRig({}, CONFIG);
  // Or it would be a fourth cause: that is the next story.
  await rig.api('POST /api/breakers/POST%20%2Fcontacts/close');
  let done = 0;
  const night = async (from: number, to: number, token: string): Promise<void> => {
    await inParallel(to - from, AT_ONCE, async (i) => {
      const { status } = await rig.send('POST /contacts', lead(from + i), token);
      if (status === 200) done += 1;
    });
  };
  const part = leads / 20;
  await night(0, 8 * part, 'good');
  rig.simulator.fault({ fault: { kind: 'status', status: 503, effect: 'none' } } as never);
  await night(8 * part, 12 * part, 'good');
  rig.simulator.clearFaults();
  await night(12 * part, 17 * part, 'good');
  rig.simulator.fault({ fault: { kind: 'status', status: 401, effect: 'none' } } as never);
  await night(17 * part, leads, 'revoked');
  rig.simulator.clearFaults();

  const evening = (await rig.api('GET /api/dead-letters/groups')).json.groups as Json[];
  const dead = evening.reduce((sum, { calls }) => sum + Number(calls), 0);
  await morning(rig);
  const { effects, duplicates } = rig.simulator.stats();
  const left = (await rig.api('GET /api/dead-letters/groups')).json.groups as Json[];
  await rig.close();
  return {
    leads,
    done,
    dead,
    groups: evening.map(({ label, rows }): [string, number] => [String(label), Number(rows)]),
    expected: { outage: 4 * part, bad: badIn(0, 8 * part) + badIn(12 * part, 17 * part), revoked: 3 * part },
    home: effects,
    duplicates,
    openInTheEnd: left.reduce((sum, { rows }) => sum + Number(rows), 0),
  };
}

/** The upstream is well, the token is replaced, the data is put right. */
async function morning(rig: Rig): Promise<void> {
  const groups = (await rig.api('GET /api/dead-letters/groups')).json.groups as Json[];
  const causeOf = (part: string): string => groups.find(({ label }) => String(label).includes(part))?.cause;
  await whole(rig, { filter: { cause: causeOf('503') } });
  await whole(rig, { filter: { cause: causeOf('401') }, credential: 'fresh' });
  for (;;) {
    const page = await rig.api('GET /api/dead-letters?limit=500');
    const ids = (page.json.dead_letters as Json[]).map(({ id }) => String(id)).slice(0, IDS_MAX);
    if (ids.length === 0) return;
    const children: string[] = [];
    await inParallel(ids.length, 8, async (i) => {
      const { json } = await rig.api(`GET /api/dead-letters/${ids[i]}`);
      const n = Number(json.request.body.json.name.split(' ')[1]);
      const body = { ...lead(n), external_id: `lead-${n}`, email: `lead-${n}@example.com` };
      children.push((await rig.api(`PATCH /api/dead-letters/${ids[i]}`, { body })).json.id);
      await rig.api(`POST /api/dead-letters/${ids[i]}/discard`);
    });
    await whole(rig, { filter: { id: children }, credential: 'fresh' });
  }
}

/** Resumes it when bad rows among the good have stopped it, as a person would. */
async function whole(rig: Rig, order: Json): Promise<void> {
  let now = await rig.redrive({ canary: 1, ...order }, ['done', 'paused']);
  while (now.state !== 'done') {
    await rig.api(
      `POST /api/redrives/${now.id}/resume`,
      order.credential === undefined ? {} : { credential: order.credential },
    );
    now = await rig.until(now.id, ['done', 'paused']);
  }
}
