import { type DlqAccess, DlqError } from './dlq-access.ts';
import type { Io } from './io.ts';

/** Which dead letters: what most `dlq` commands take. */
export interface DlqFilter {
  readonly endpoint?: string;
  readonly cause?: string;
  readonly state?: string[];
  readonly context?: string[];
  readonly since?: string;
  readonly until?: string;
  readonly redrive?: string;
  readonly match?: string;
}

/** What a command works with. */
export interface DlqRun {
  readonly access: DlqAccess;
  readonly io: Io;
  readonly json: boolean;
}

/** A filter as the API takes it in a body; ids come from the arguments. */
export function filterFrom(options: DlqFilter, ids: readonly string[] = []): Record<string, unknown> {
  const { endpoint, cause, state, context, since, until, redrive: redriveId, match } = options;
  const members = { endpoint, cause, state, context, since, until, redrive: redriveId, match };
  const given = Object.entries(members).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(given), ...(ids.length === 0 ? {} : { id: ids }) };
}

/** A filter that means something; throws `DlqError` for none. */
export function someFilter(
  options: DlqFilter,
  ids: readonly string[] = [],
  everything = '--state open means all that are open',
): Record<string, unknown> {
  const filter = filterFrom(options, ids);
  if (Object.keys(filter).length === 0)
    throw new DlqError(`give ids or a filter, such as --cause exhausted; ${everything}`, 2);
  return filter;
}

/** The same as a query, with a question mark; empty for none. */
export function queryFrom(options: DlqFilter, more: Readonly<Record<string, string | readonly string[]>> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...filterFrom(options), ...more })) {
    for (const each of Array.isArray(value) ? value : [value]) query.append(name, String(each));
  }
  return query.size === 0 ? '' : `?${query.toString()}`;
}

/** Asks a person; throws `DlqError` where nobody can be asked. */
export async function confirmed(io: Io, question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes === true) return true;
  if (io.ask === undefined) throw new DlqError(`${question} Nobody can be asked here: say --yes`, 2);
  return /^y(es)?$/i.test((await io.ask(`${question} [y/N] `)).trim());
}
