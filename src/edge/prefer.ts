/** `Prefer` (RFC 7240): what it asks of us. Unknown and malformed preferences are ignored, never an error (§2). */

import type { HandOverWish } from '../core/queue-ticket.ts';

/** The preferences that Holdfast knows. */
export interface Preferences {
  readonly respondAsync: boolean;
  /** `wait`, ms; null when it is absent. */
  readonly waitMs: number | null;
}

/** A longer wait is no wait any more: nobody keeps a connection open for it. */
const WAIT_MS_MAX = 600_000;
/**
 * One preference without the space around it: a name, perhaps a value, perhaps parameters, which none of ours has. No two
 * parts that may be space follow each other: 16 KiB of spaces took half a second.
 */
const PREFERENCE = /^([!#$%&'*+\-.^_`|~\w]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[!#$%&'*+\-.^_`|~\w]+))?\s*(?:;.*)?$/;

/** Reads all fields joined by commas. The first of two equal names counts (RFC 7240 §2). */
export function parsePrefer(value: string): Preferences {
  const found = new Map<string, string>();
  for (const member of membersOf(value)) {
    const match = PREFERENCE.exec(member.trim());
    const name = match?.[1]?.toLowerCase();
    if (name !== undefined && !found.has(name)) found.set(name, (match?.[2] ?? '').replace(/^"|"$/g, ''));
  }
  const wait = found.get('wait') ?? '';
  const waitMs = /^\d{1,9}$/.test(wait) ? Math.min(Number(wait) * 1000, WAIT_MS_MAX) : null;
  return { respondAsync: found.get('respond-async') === '', waitMs };
}

/** A wish to be handed over; null without `respond-async`. */
export function handOverWish({ respondAsync, waitMs }: Preferences): HandOverWish | null {
  return respondAsync ? { waitMs } : null;
}

/** Split at the commas that stand outside of quoted strings. */
function membersOf(value: string): string[] {
  const members: string[] = [];
  let from = 0;
  let quoted = false;
  for (let at = 0; at < value.length; at++) {
    const char = value[at];
    if (quoted && char === '\\') at += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) {
      members.push(value.slice(from, at));
      from = at + 1;
    }
  }
  members.push(value.slice(from));
  return members;
}
