/** The request headers that Holdfast itself understands (contract, "Data plane"): parsed here, never forwarded. */

import { parseDictionary } from 'structured-headers';
import { badRequest, type Refusal } from './refusal.ts';

/** Urgency of a request that names none (RFC 9218 §4.1). */
export const DEFAULT_PRIORITY = 3;

const TIMEOUT = badRequest(
  'holdfast_timeout',
  'Holdfast-Timeout must be a duration of more than zero such as "500ms", "30s" or "5m".',
);
const CONTEXT = badRequest(
  'holdfast_context',
  'Holdfast-Context must be a structured dictionary of plain values such as: workflow="enrich", lead="123".',
);

const KEY = badRequest(
  'idempotency_key',
  'Idempotency-Key must be one key of 1 to 255 printable ASCII characters, bare or in double quotes.',
);

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `Holdfast-Timeout`, ms. */
export function parseTimeout(value: string): number | Refusal {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(value.trim());
  const ms = match === null ? 0 : Number(match[1]) * (UNIT_MS[match[2] as string] as number);
  return ms > 0 ? ms : TIMEOUT;
}

/** `Holdfast-Context`: a structured dictionary whose members are items; parameters are dropped. */
export function parseContext(value: string): Readonly<Record<string, string>> | Refusal {
  const context: Record<string, string> = {};
  try {
    for (const [key, [member]] of parseDictionary(value)) {
      if (Array.isArray(member) || member instanceof ArrayBuffer) return CONTEXT;
      context[key] = String(member);
    }
  } catch {
    return CONTEXT;
  }
  return context;
}

/** The urgency of `Priority`, 0 to 7; what is malformed or unknown counts as absent (RFC 9218 §4). */
export function parsePriority(value: string): number {
  try {
    const urgency = parseDictionary(value).get('u')?.[0];
    return typeof urgency === 'number' && Number.isInteger(urgency) && urgency >= 0 && urgency <= 7
      ? urgency
      : DEFAULT_PRIORITY;
  } catch {
    return DEFAULT_PRIORITY;
  }
}

const KEY_CHARS_MAX = 255;

/**
 * `Idempotency-Key`, quoted (draft-ietf-httpapi-idempotency-key-header, a structured string) or bare. Two of them, a
 * list, parameters, control characters and lengths outside 1..255 are refused: a key that two sides read differently
 * protects nobody.
 */
export function parseIdempotencyKey(value: string): string | Refusal {
  const text = value.trim();
  const key = text.startsWith('"') ? unquoted(text) : /[",;]/.test(text) ? null : text;
  const fits = key !== null && key.length >= 1 && key.length <= KEY_CHARS_MAX && /^[\x20-\x7e]+$/.test(key);
  return fits ? key : KEY;
}

function unquoted(text: string): string | null {
  const match = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text);
  return match === null ? null : (match[1] as string).replace(/\\(["\\])/g, '$1');
}
