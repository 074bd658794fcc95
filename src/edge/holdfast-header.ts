/**
 * The `Holdfast` header field: a structured dictionary (RFC 9651) that stands on every answer. Written by hand because
 * it is hot; a test holds it against the structured-headers package.
 */

import type { Effect, VerdictClass } from '../core/verdict.ts';

const TOKEN = /^[A-Za-z*][A-Za-z0-9:/!#$%&'*+\-.^_`|~]*$/;
const REASONS_KEPT = 1000;
const serialized = new Map<string, string>();

/** A token where the grammar allows one, else a string; what no string may hold becomes `?`. */
function item(value: string): string {
  let text = serialized.get(value);
  if (text === undefined) {
    text = TOKEN.test(value)
      ? value
      : `"${value.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, (character) => `\\${character}`)}"`;
    if (serialized.size >= REASONS_KEPT) serialized.clear();
    serialized.set(value, text);
  }
  return text;
}

/** What the field says. */
export interface HoldfastFacts {
  readonly from: 'upstream' | 'replay' | 'reconcile' | 'cache' | 'proxy';
  readonly attempts: number;
  readonly verdict: VerdictClass;
  readonly effect: Effect;
  /** Left out when it is `ok`. */
  readonly reason: string;
  /** All waits, ms; left out when zero. */
  readonly waitedMs: number;
  /** Why it was not sent again; left out when null. */
  readonly withheld: string | null;
  /** The operation that the answer speaks of; left out when null. */
  readonly operation: string | null;
  /** The dead letter that the call became; left out when null. */
  readonly deadLetter?: string | null;
}

/** The field's value. */
export function holdfastHeader(facts: HoldfastFacts): string {
  let value = `from=${facts.from}, attempts=${facts.attempts}, verdict=${facts.verdict}, effect=${facts.effect}`;
  if (facts.reason !== 'ok') value += `, reason=${item(facts.reason)}`;
  const waitedMs = Math.round(facts.waitedMs);
  if (waitedMs > 0) value += `, waited=${waitedMs}`;
  if (facts.withheld !== null) value += `, withheld=${item(facts.withheld)}`;
  if (typeof facts.deadLetter === 'string') value += `, dead-letter="${facts.deadLetter}"`;
  if (facts.operation !== null) value += `, operation="${facts.operation}"`;
  return value;
}
