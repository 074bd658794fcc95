import type { ErrorCondition, ErrorRule } from '../core/policy.ts';
import { ms } from './compile-policy.ts';
import type { Path } from './faults.ts';
import { compilePattern } from './patterns.ts';
import type { ErrorEntry } from './schema-rows.ts';

/** Reports what is wrong with a part of an entry. */
export type Report = (path: Path, message: string, allowed: string | null) => void;

type When = ErrorEntry['when'];

/** Compiles one entry of an error map. A pattern that does not compile is reported and matches nothing. */
export function compileEntry(entry: ErrorEntry, origin: string, report: Report): ErrorRule {
  return {
    when: compileCondition(entry.when, (path, message, allowed) => report(['when', ...path], message, allowed)),
    verdict: entry.verdict,
    reason: entry.reason ?? reasonOf(entry.when) ?? entry.verdict,
    retryAfterMs: entry.retry_after ? ms(entry.retry_after) : null,
    pauses: entry.pauses ?? null,
    deadLetter: entry.dead_letter ?? null,
    origin,
  };
}

/** Compiles a condition; a pattern that does not compile is reported and matches nothing. */
export function compileCondition(when: When, report: Report): ErrorCondition {
  const pattern = (name: 'message' | 'body'): RegExp | null => {
    const source = when[name];
    if (!source) return null;
    const compiled = compilePattern(source);
    if (compiled.ok) return compiled.pattern;
    report([name], compiled.message, compiled.allowed);
    return /(?!)/u;
  };
  return {
    matchesStatus: statusMatcher(listOf(when.status)),
    codes: setOf(when.code),
    message: pattern('message'),
    body: pattern('body'),
    failures: setOf(when.failure),
    afterUnknown: when.after_unknown ?? false,
  };
}

function statusMatcher(given: readonly (number | string)[]): ErrorCondition['matchesStatus'] {
  if (given.length === 0) return null;
  const statuses = new Set(given.filter((each) => typeof each === 'number'));
  const hundreds = new Set(given.filter((each) => typeof each === 'string').map((each) => Number(each[0])));
  return (status) => statuses.has(status) || hundreds.has(Math.floor(status / 100));
}

/** The first code, else the status or failure that the condition names; null when it names none. */
function reasonOf(when: When): string | null {
  const [code] = listOf(when.code);
  if (code !== undefined) return code;
  const [status] = listOf(when.status);
  if (status !== undefined) return `status_${status}`;
  return listOf(when.failure)[0] ?? null;
}

function listOf<T>(given: T | readonly T[] | null | undefined): readonly T[] {
  if (given === null || given === undefined) return [];
  return (Array.isArray as (value: unknown) => value is readonly T[])(given) ? given : [given];
}

function setOf<T>(given: T | readonly T[] | null | undefined): ReadonlySet<T> | null {
  const list = listOf(given);
  return list.length === 0 ? null : new Set(list);
}

const UNPROVEN_STATUSES = [408, 500, 502, 504];
const UNPROVEN_FAILURES = ['timeout', 'reset', 'truncated', 'broken'] as const;

/**
 * Whether the rule asks for a repeat on an answer that leaves the effect of a write unknown (semantics §2). A rule that
 * names neither status nor failure can meet any.
 */
export function repeatsBlindly({ when, verdict }: ErrorRule): boolean {
  if (verdict !== 'transient' && verdict !== 'throttled') return false;
  const { matchesStatus, failures } = when;
  if (matchesStatus !== null) return UNPROVEN_STATUSES.some(matchesStatus);
  return failures === null || UNPROVEN_FAILURES.some((failure) => failures.has(failure));
}
