import { DlqError, must } from './dlq-access.ts';
import { lettersOf } from './dlq-read.ts';
import { confirmed, type DlqFilter, type DlqRun, queryFrom, someFilter } from './dlq-run.ts';
import { clean, count, jsonLine } from './dlq-view.ts';

type Sweep = DlqFilter & { readonly yes?: boolean };

/** `dlq discard`: one without a question, many with one. */
export async function discard(run: DlqRun, given: string[], options: Sweep): Promise<number> {
  const ids = given.length > 0 ? given : await matching(run, options);
  if (ids.length === 0) return told(run, { discarded: 0 }, 'nothing to discard', 1);
  const question = `Discard ${count(ids.length, 'dead letter')} at ${run.access.where}?`;
  if (ids.length > 1 && !(await confirmed(run.io, question, options.yes)))
    return told(run, { discarded: 0 }, 'nothing discarded', 1);
  let discarded = 0;
  const failed: { id: string; message: string }[] = [];
  for (const id of ids) {
    try {
      await must(run.access, `POST /api/dead-letters/${encodeURIComponent(id)}/discard`);
      discarded += 1;
    } catch (error) {
      if (!(error instanceof DlqError)) throw error;
      failed.push({ id, message: error.message });
    }
  }
  for (const { id, message } of failed) run.io.stderr.write(`holdfast: ${id}: ${message}\n`);
  return told(run, { discarded, failed }, `discarded ${count(discarded, 'dead letter')}`, failed.length === 0 ? 0 : 1);
}

async function matching(run: DlqRun, options: Sweep): Promise<string[]> {
  someFilter(options);
  const ids: string[] = [];
  for await (const { id } of lettersOf(run, options, Infinity)) ids.push(id);
  return ids;
}

/** `dlq purge`: counts, asks, deletes; in all states unless some are named. */
export async function purge(run: DlqRun, ids: string[], given: Sweep): Promise<number> {
  const filter = someFilter(given, ids, '--state all means everything');
  const options = { ...given, state: given.state ?? ['all'] };
  const { missing, states } = await (ids.length > 0 ? statesOf(run, options, ids) : groupStates(run, options));
  for (const id of missing) run.io.stderr.write(`holdfast: ${clean(id)}: there is no such dead letter\n`);
  const { purged: meant } = await must(run.access, 'POST /api/dead-letters/purge', { filter, dry_run: true });
  if (meant === 0) return told(run, { purged: 0 }, 'nothing to purge', 1);
  const kinds = [...states].map(([state, n]) => `${n} ${state}`).join(', ');
  const question = `Delete ${count(meant, 'dead letter')} (${kinds}) at ${run.access.where} for good, bodies and history included?`;
  if (!(await confirmed(run.io, question, given.yes))) return told(run, { purged: 0 }, 'nothing purged', 1);
  const { purged } = await must(run.access, 'POST /api/dead-letters/purge', { filter });
  const left = purged < meant ? `; ${meant - purged} are being sent, or gone: look again` : '';
  const isWhole = missing.length === 0 && left === '';
  return told(run, { purged }, `purged ${count(purged, 'dead letter')}${left}`, isWhole ? 0 : 1);
}

interface Meant {
  readonly missing: readonly string[];
  /** How many rows in which state. */
  readonly states: ReadonlyMap<string, number>;
}

/** Ids that one query names: its line has a bound. */
const IDS_AT_ONCE = 100;

async function statesOf(run: DlqRun, options: Sweep, ids: readonly string[]): Promise<Meant> {
  const missing = new Set(ids);
  const states = new Map<string, number>();
  for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
    const some = ids.slice(from, from + IDS_AT_ONCE);
    for await (const { id, state } of lettersOf(run, options, Infinity, some)) {
      if (missing.delete(id)) states.set(state, (states.get(state) ?? 0) + 1);
    }
  }
  return { missing: [...missing], states };
}

async function groupStates(run: DlqRun, options: Sweep): Promise<Meant> {
  const { groups } = await must(run.access, `GET /api/dead-letters/groups${queryFrom(options)}`);
  const states = new Map<string, number>();
  for (const group of groups) {
    for (const [state, n] of Object.entries(group.states as Record<string, number>))
      states.set(state, (states.get(state) ?? 0) + n);
  }
  return { missing: [], states };
}

function told({ io, json }: DlqRun, document: unknown, text: string, exitCode = 0): number {
  io.stdout.write(json ? jsonLine(document) : `${text}\n`);
  return exitCode;
}
