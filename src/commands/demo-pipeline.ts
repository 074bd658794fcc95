import { type Clock, sleep } from '../ops/clock.ts';
import type { Effect } from '../simulator/base/ledger.ts';
import type { Client, Reply } from './demo-client.ts';

const TAG_AGAIN_MS = 250;

/** How the pipeline left one lead. `unfinished`: the demo ended first. */
type LeadEnd = 'confirmed' | 'unknown' | 'given_up' | 'unfinished';

/** One lead on its way. */
export interface Lead {
  readonly email: string;
  end: LeadEnd;
  /** Why it was left, when it was not confirmed. */
  why: string | null;
  contactId: string | null;
  /** Steps that the client took for done, by operation. */
  readonly done: string[];
}

/** Makes the leads of a run. */
export function makeLeads(count: number): Lead[] {
  return Array.from({ length: count }, (_, i) => ({
    email: `lead-${i + 1}@demo.example`,
    end: 'unfinished',
    why: null,
    contactId: null,
    done: [],
  }));
}

/** How a pipeline runs. */
export interface Pace {
  readonly clock: Clock;
  /** Leads worked on at the same time. */
  readonly concurrency: number;
  /** One lead comes in every so many ms; work on it begins then, or when a place is free. */
  readonly leadEveryMs: number;
}

/** Brings the leads in and notes on each how it went. Never rejects. */
export async function runPipeline(
  leads: readonly Lead[],
  client: Client,
  pace: Pace,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = pace;
  const tag = await untilTagged(client, clock, signal);
  const startedMs = clock.now();
  const nowSeconds = Math.floor(clock.wall() / 1000);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < leads.length && !signal.aborted) {
      const comesAtMs = startedMs + next * pace.leadEveryMs;
      const lead = leads[next++] as Lead;
      if (comesAtMs > clock.now()) await sleep(clock, comesAtMs - clock.now(), signal);
      await bringIn(lead, client, tag, nowSeconds, signal);
    }
  };
  await Promise.all(Array.from({ length: pace.concurrency }, worker));
}

/** The tag of all leads; without it there is nothing to do, so this is tried until it is there. */
async function untilTagged(client: Client, clock: Clock, signal: AbortSignal): Promise<string> {
  for (;;) {
    const id = idOf(await client('POST', '/tags', { name: 'demo' }));
    if (id !== null || signal.aborted) return id ?? '';
    await sleep(clock, TAG_AGAIN_MS, signal);
  }
}

/** One lead: created, tagged, updated, and an event about it. The first step that fails ends it. */
async function bringIn(
  lead: Lead,
  client: Client,
  tag: string,
  nowSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  const step = async (method: string, path: string, operation: string, body: unknown): Promise<Reply> => {
    const reply = await client(method, path, body);
    if (reply.kind === 'ok') lead.done.push(operation);
    else if (!signal.aborted) {
      lead.end = reply.kind === 'unknown' ? 'unknown' : 'given_up';
      lead.why = `${method} ${operation.split(' ')[1]}: ${reply.why}`;
    }
    return reply;
  };
  const created = await step('POST', '/contacts', 'POST /contacts', { role: 'lead', email: lead.email });
  if (created.kind !== 'ok') return;
  const id = idOf(created);
  if (id === null) {
    lead.end = 'given_up';
    lead.why = 'POST /contacts: an answer without an id';
    return;
  }
  lead.contactId = id;
  const steps: [string, string, string, unknown][] = [
    ['POST', `/contacts/${id}/tags`, 'POST /contacts/{contact_id}/tags', { id: tag }],
    ['PUT', `/contacts/${id}`, 'PUT /contacts/{contact_id}', { custom_attributes: { source: 'demo' } }],
    ['POST', '/events', 'POST /events', { id, event_name: 'lead-imported', created_at: nowSeconds }],
  ];
  for (const [method, path, operation, body] of steps) {
    if ((await step(method, path, operation, body)).kind !== 'ok') return;
  }
  lead.end = 'confirmed';
}

function idOf(reply: Reply): string | null {
  if (reply.kind !== 'ok') return null;
  const id = (reply.body as { id?: unknown } | undefined)?.id;
  return typeof id === 'string' ? id : null;
}

/** What became of a run, measured at the simulator and not at the client. */
export interface Tally {
  readonly leads: number;
  readonly confirmed: number;
  readonly unknown: number;
  readonly givenUp: number;
  readonly unfinished: number;
  /** Leads with a step that the client took for done and that never happened. */
  readonly lostInSilence: number;
}

/** Compares what the client believes with what happened. */
export function tally(leads: readonly Lead[], effects: readonly Effect[]): Tally {
  const happened = new Set<string>();
  for (const effect of effects) happened.add(`${effect.operation} ${subjectOf(effect)}`);
  const count = (end: LeadEnd): number => leads.filter((lead) => lead.end === end).length;
  const isLost = (lead: Lead): boolean =>
    lead.done.some((operation) => !happened.has(`${operation} ${lead.contactId ?? ''}`));
  return {
    leads: leads.length,
    confirmed: count('confirmed'),
    unknown: count('unknown'),
    givenUp: count('given_up'),
    unfinished: count('unfinished'),
    lostInSilence: leads.filter(isLost).length,
  };
}

/** The contact that an effect is about: an event's key begins with it. */
function subjectOf(effect: Effect): string {
  return effect.operation === 'POST /events' ? (effect.key.split(' ')[0] as string) : effect.id;
}
