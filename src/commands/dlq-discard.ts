import { DlqError, must } from './dlq-access.ts';
import { lettersOf } from './dlq-read.ts';
import { confirmed, type DlqFilter, type DlqRun, someFilter } from './dlq-run.ts';
import { count, jsonLine } from './dlq-view.ts';

type Sweep = DlqFilter & { readonly yes?: boolean };

/** `dlq discard`: one without a question, many with one. */
export async function discard(run: DlqRun, given: string[], options: Sweep): Promise<number> {
  const ids = given.length > 0 ? given : await matching(run, options);
  if (ids.length === 0) return told(run, { discarded: 0 }, 'nothing to discard');
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

/** `dlq purge`: counts, asks, deletes. */
export async function purge(run: DlqRun, ids: string[], options: Sweep): Promise<number> {
  const filter = someFilter(options, ids);
  const { purged: meant } = await must(run.access, 'POST /api/dead-letters/purge', { filter, dry_run: true });
  if (meant === 0) return told(run, { purged: 0 }, 'nothing to purge');
  const question = `Delete ${count(meant, 'dead letter')} at ${run.access.where} for good, bodies and history included?`;
  if (!(await confirmed(run.io, question, options.yes))) return told(run, { purged: 0 }, 'nothing purged', 1);
  const { purged } = await must(run.access, 'POST /api/dead-letters/purge', { filter });
  return told(run, { purged }, `purged ${count(purged, 'dead letter')}`);
}

function told({ io, json }: DlqRun, document: unknown, text: string, exitCode = 0): number {
  io.stdout.write(json ? jsonLine(document) : `${text}\n`);
  return exitCode;
}
