import type { ErrorCondition, ErrorRule } from '../core/policy.ts';

/** Lays out a title and rows of a name and a text; rows whose text is null are left out. */
export function rows(title: string, lines: readonly (readonly [string, string | null])[]): string {
  const body = lines.flatMap(([name, text]) => (text === null ? [] : [`  ${name.padEnd(12)}${text}`.trimEnd()]));
  return `${[title, ...body].join('\n')}\n`;
}

/** Writes a time as people write it in the configuration. */
export function describeTime(ms: number): string {
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms >= 1000 ? `${Number((ms / 1000).toFixed(2))}s` : `${Math.round(ms)}ms`;
}

/** Writes a rule on one line. */
export function describeRule({ when, verdict, reason, retryAfterMs, origin }: ErrorRule): string {
  const wait = retryAfterMs === null ? '' : `, waits ${describeTime(retryAfterMs)}`;
  return `${describeCondition(when)} → ${verdict} (${reason}${wait})  ${origin}`;
}

function describeCondition(when: ErrorCondition): string {
  const parts = [
    when.matchesStatus === null ? null : describeStatuses(when.matchesStatus),
    when.codes === null ? null : `code ${list([...when.codes])}`,
    when.message === null ? null : `message ${String(when.message)}`,
    when.body === null ? null : `body ${String(when.body)}`,
    when.failures === null ? null : `failure ${list([...when.failures])}`,
    when.afterUnknown ? 'after an unknown outcome' : null,
  ];
  return parts.filter((part) => part !== null).join(', ');
}

/** A compiled condition answers for one status at a time; asked for all, it is written as the person wrote it. */
function describeStatuses(matches: (status: number) => boolean): string {
  const named: string[] = [];
  for (let hundred = 100; hundred < 600; hundred += 100) {
    const held = Array.from({ length: 100 }, (_, i) => hundred + i).filter(matches);
    if (held.length === 100) named.push(`${hundred / 100}xx`);
    else named.push(...held.map(String));
  }
  return list(named);
}

const LISTED_MAX = 4;

function list(names: readonly string[]): string {
  const rest = names.length - LISTED_MAX;
  return names.slice(0, LISTED_MAX).join(' or ') + (rest > 0 ? ` or ${rest} more` : '');
}
