import type { ErrorCondition, ErrorRule } from '../core/policy.ts';
import type { Explanation } from './explain-answer.ts';
import { describeSearch } from './explain-recipes.ts';
import { describeTime } from './explain-time.ts';

/** Lays out a title and rows of a name and a text; rows whose text is null are left out. */
export function rows(title: string, lines: readonly (readonly [string, string | null])[]): string {
  const body = lines.flatMap(([name, text]) => (text === null ? [] : [`  ${name.padEnd(12)}${text}`.trimEnd()]));
  return `${[title, ...body].join('\n')}\n`;
}

/** Writes a rule on one line. */
export function describeRule({ when, verdict, reason, retryAfterMs, origin }: ErrorRule): string {
  const wait = retryAfterMs === null ? '' : `, waits ${describeTime(retryAfterMs)}`;
  return `${describeCondition(when)} → ${verdict} (${reason}${wait})  ${origin}`;
}

/** Lays out what the proxy would do. Rules that speak of something else are counted; with `all` they are listed. */
export function describeAnswer(title: string, explanation: Explanation, { all = false }: { all?: boolean }): string {
  const { exchange, outcome, waitMs, decision, search, reply } = explanation;
  const { verdict } = outcome;
  const record = exchange.attempts.at(-1);
  const again =
    waitMs !== null
      ? `yes, after ${describeTime(waitMs[0])} to ${describeTime(waitMs[1])} (${decision.retry ? decision.waitReason : ''}), as the budget allows`
      : `no: ${decision.retry || decision.withheld === null ? verdict.class : (WITHHELD[decision.withheld] ?? decision.withheld)}`;
  const retryAfter = reply.headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'retry-after');
  const from = reply.code ?? `from the upstream${reply.cutOff ? ', cut off where it broke off' : ''}`;
  return rows(title, [
    ...describeTried(explanation, all),
    ['verdict', `${verdict.class}, reason ${verdict.reason}`],
    ['class', `${exchange.operationClass ?? exchange.policy.operationClass} for this request`],
    ['effect', verdict.effect],
    ['repeatable', verdict.repeatable ? 'yes' : 'no'],
    ['asked for', verdict.retryAfterMs === null ? null : `a wait of ${describeTime(verdict.retryAfterMs)}`],
    ['pauses', verdict.pauses === 'nothing' ? null : verdict.pauses],
    ['failure', record?.failure ?? null],
    ['sent again', again],
    ['looked for', search === null ? null : describeSearch(search)],
    [
      'caller gets',
      `${reply.status} ${from}${retryAfter === -1 ? '' : `, Retry-After ${reply.headers[retryAfter + 1]}`}${waitMs === null ? '' : ', when no retry succeeds'}${search === null || search.recipe === null ? '' : ', when no look says better'}`,
    ],
    ['', reply.message],
  ]);
}

/** What the names alone do not say. */
const WITHHELD: Readonly<Record<string, string>> = {
  not_repeatable: 'not_repeatable, a second one could take effect twice',
};

function describeTried({ exchange, tried, decided }: Explanation, all: boolean): [string, string | null][] {
  const { status = null, failure = null } = exchange.attempts.at(-1) ?? {};
  const speaksOfIt = ({ when }: ErrorRule): boolean =>
    (status !== null && when.matchesStatus?.(status) === true) ||
    (failure !== null && when.failures?.has(failure) === true);
  const listed = tried.filter((rule, i) => all || (decided && i === tried.length - 1) || speaksOfIt(rule));
  const folded = tried.length - listed.length;
  const lines = [
    ...(folded === 0 ? [] : [`no     ${folded} that speak of something else; --all lists them`]),
    ...listed.map((rule) => `${decided && rule === tried.at(-1) ? 'holds ' : 'no    '} ${describeRule(rule)}`),
    ...(decided ? [] : ['none of them holds: the phase and the status decide']),
  ];
  return lines.map((line, i) => [i === 0 ? 'rules' : '', line]);
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
