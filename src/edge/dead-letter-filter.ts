/** Filters of dead letters, as queries and bodies of the admin API give them. */

import { z } from 'zod';
import { type DeadFilter, OPEN_DEAD_STATES } from '../core/dead-letters.ts';
import type { OperationState } from '../core/operation.ts';
import { ApiRefusal } from './admin-route.ts';

const STATES = ['dead', 'unknown', 'redriving', 'sent', 'succeeded', 'rejected', 'discarded', 'superseded'] as const;
const REASONS = ['exhausted', 'permanent', 'unknown', 'interrupted', 'refused'] as const;
const TEXT_MAX = 1000;
const IDS_MAX = 1000;

const text = z.string().min(1).max(TEXT_MAX);
const oneOrMore = <T extends z.ZodType>(each: T) => z.union([each, z.array(each).min(1).max(IDS_MAX)]);

const stateName = z.enum([...STATES, 'open', 'all']);
const STATES_ALLOWED = `allowed is open, all, ${STATES.join(', ')}`;

/** The members that a filter has, in a query and in a body alike. */
export const filterMembers = {
  endpoint: text.optional().describe('The name of a rule, such as POST /contacts.'),
  cause: text
    .regex(
      new RegExp(`^(?:${REASONS.join('|')}|[0-9a-f]{12})$`),
      `allowed is ${REASONS.join(', ')}, or the id of a group, 12 hexadecimal digits`,
    )
    .optional()
    .describe('A reason (exhausted, permanent, unknown, interrupted, refused), or the id of a group.'),
  state: z
    .union([stateName, z.array(stateName).min(1).max(IDS_MAX)], { error: STATES_ALLOWED })
    .optional()
    .describe(`open (default): dead, unknown, redriving and sent; all; or states by name: ${STATES.join(', ')}.`),
  context: oneOrMore(text).optional().describe('key=value of Holdfast-Context; given several times, all must hold.'),
  since: text.optional().describe('Died at this time or later: ISO 8601, or a duration back from now such as 24h.'),
  until: text.optional().describe('Died before this time, written likewise.'),
  id: oneOrMore(text).optional().describe('These only.'),
  redrive: text.optional().describe('Those that this redrive took up last.'),
  match: text.optional().describe('Text that target, context, body or answer contain, in any case.'),
};

/** A filter in a body. */
export const filterSchema = z.strictObject(filterMembers);

/** What `filterMembers` gives. */
export type WrittenFilter = z.infer<typeof filterSchema>;

/** The filter; throws `ApiRefusal`. `nowMs` is epoch ms. */
export function filterOf(written: WrittenFilter, nowMs: number): DeadFilter {
  const { endpoint, cause, state, context, since, until, id, redrive, match } = written;
  const states = statesOf(listOf(state));
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(cause === undefined ? {} : { cause }),
    ...(states === null ? {} : { states }),
    ...(context === undefined ? {} : { context: Object.fromEntries(listOf(context).map(contextOf)) }),
    ...(since === undefined ? {} : { sinceMs: timeOf('since', since, nowMs) }),
    ...(until === undefined ? {} : { untilMs: timeOf('until', until, nowMs) }),
    ...(id === undefined ? {} : { ids: listOf(id) }),
    ...(redrive === undefined ? {} : { redriveId: redrive }),
    ...(match === undefined ? {} : { match }),
  };
}

function listOf<T>(given: T | T[] | undefined): T[] {
  return given === undefined ? [] : Array.isArray(given) ? given : [given];
}

/** Null for all. */
function statesOf(given: readonly string[]): readonly OperationState[] | null {
  if (given.includes('all')) return null;
  const named = given.flatMap((state) => (state === 'open' ? OPEN_DEAD_STATES : [state as OperationState]));
  return named.length === 0 ? OPEN_DEAD_STATES : [...new Set(named)];
}

/** `workflow=enrich`, or as in the header, `workflow="enrich"`. */
function contextOf(given: string): [string, string] {
  const at = given.indexOf('=');
  if (at < 1) throw new ApiRefusal(400, `context: got ${JSON.stringify(given)}, allowed is key=value.`);
  const value = given.slice(at + 1);
  return [given.slice(0, at), /^".*"$/s.test(value) ? value.slice(1, -1) : value];
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function timeOf(name: string, given: string, nowMs: number): number {
  const back = /^(\d{1,6})([smhd])$/.exec(given);
  if (back !== null) return nowMs - Number(back[1]) * (UNIT_MS[back[2] as string] as number);
  const at = /^\d{4}-\d{2}-\d{2}/.test(given) ? Date.parse(given) : Number.NaN;
  if (Number.isFinite(at)) return at;
  throw new ApiRefusal(400, `${name}: got ${JSON.stringify(given)}, allowed is ISO 8601 or a duration such as 24h.`);
}
