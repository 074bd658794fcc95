/**
 * The server's wish: how long to stay away, read from an answer's head (semantics §3). Intercom sends
 * `X-RateLimit-Reset` and usually no `Retry-After`; gateways before it send `Retry-After` in both forms. Dates and epochs
 * are measured against the answer's own `Date`, not our clock, so that a wrong clock of ours neither hammers nor sleeps
 * for hours. Garbage is no wish; a wish in the past is zero; nothing exceeds a day.
 */

import { parseHttpDate } from './http-date.ts';
import { headerListOf, headerOf, type RawHeaders } from './raw-headers.ts';

/** Where a wish was read. `one_window`: a 429 named nothing, and Intercom's window is 10 s. */
type WishSource = 'retry_after' | 'rate_limit' | 'rate_limit_reset' | 'one_window';

/** How long the server asks to stay away. */
export interface ServerWish {
  /** From the receipt of the answer; 0 to one day. */
  readonly waitMs: number;
  readonly source: WishSource;
}

/** What a 429 without any header is worth: one window of Intercom's (10 s). */
export const ONE_WINDOW_MS = 10_000;

/** No wish is longer: beyond this a header is wrong or its caller has long given up. */
export const LONGEST_WISH_MS = 86_400_000;

/**
 * Reads the wish of an answer. `receivedAtMs` is epoch ms by our clock and is used when the answer has no valid `Date`.
 * The reset headers stand on every answer and are a wish only when the call was `throttled`. Null: no wish.
 */
export function serverWish(headers: RawHeaders, receivedAtMs: number, throttled: boolean): ServerWish | null {
  const date = headerOf(headers, 'date');
  const serverNowMs = (date === null ? null : parseHttpDate(date, receivedAtMs)) ?? receivedAtMs;
  const retryAfter = retryAfterMs(headerOf(headers, 'retry-after'), serverNowMs);
  if (retryAfter !== null) return { waitMs: bounded(retryAfter), source: 'retry_after' };
  if (!throttled) return null;
  const rateLimit = rateLimitMs(headerListOf(headers, 'ratelimit')) ?? secondsMs(headerOf(headers, 'ratelimit-reset'));
  if (rateLimit !== null) return { waitMs: bounded(rateLimit), source: 'rate_limit' };
  const reset = resetMs(headerOf(headers, 'x-ratelimit-reset'), serverNowMs);
  if (reset !== null) return { waitMs: bounded(reset), source: 'rate_limit_reset' };
  return { waitMs: ONE_WINDOW_MS, source: 'one_window' };
}

function bounded(waitMs: number): number {
  return Math.min(Math.max(waitMs, 0), LONGEST_WISH_MS);
}

/** RFC 9110 §10.2.3: delay-seconds or HTTP-date. Fractions are taken, since gateways send them. */
function retryAfterMs(value: string | null, serverNowMs: number): number | null {
  if (value === null) return null;
  const seconds = secondsMs(value);
  if (seconds !== null) return seconds;
  const date = parseHttpDate(value, serverNowMs);
  return date === null ? null : date - serverNowMs;
}

const NUMBER = /^[ \t]*(\d+(?:\.\d+)?)[ \t]*$/;
const LONGEST_NUMBER = 64;

function numberOf(value: string | null | undefined): number | null {
  if (value === null || value === undefined || value.length > LONGEST_NUMBER) return null;
  const match = NUMBER.exec(value);
  return match ? Number(match[1]) : null;
}

function secondsMs(value: string | null): number | null {
  const seconds = numberOf(value);
  return seconds === null ? null : seconds * 1000;
}

/** `X-RateLimit-Reset`: epoch ms, epoch seconds or a delta in seconds, told apart by size. */
function resetMs(value: string | null, serverNowMs: number): number | null {
  const reset = numberOf(value);
  if (reset === null) return null;
  if (reset >= 1e12) return reset - serverNowMs;
  if (reset >= 1e9) return reset * 1000 - serverNowMs;
  return reset * 1000;
}

const QUOTED = /"(?:[^"\\]|\\.)*"/g;
const LONGEST_RATE_LIMIT = 1024;

/**
 * draft-ietf-httpapi-ratelimit-headers: `"burst";r=0;t=5, "day";r=9;t=3600`, and its older `limit=9, remaining=0,
 * reset=5`. Only policies that are used up, or do not say, hold back; the longest of them counts.
 */
function rateLimitMs(value: string | null): number | null {
  if (value === null || value.length > LONGEST_RATE_LIMIT) return null;
  const plain = value.replace(QUOTED, 'policy');
  const older = /(?:^|[,;\s])reset\s*=\s*(\d{1,15})(?![\d.])/.exec(plain);
  if (older) return Number(older[1]) * 1000;
  let longest: number | null = null;
  for (const member of plain.split(',')) {
    const remaining = parameter(member, 'r');
    const seconds = parameter(member, 't');
    if (seconds === null || (remaining !== null && remaining > 0)) continue;
    longest = Math.max(longest ?? 0, seconds * 1000);
  }
  return longest;
}

function parameter(member: string, name: string): number | null {
  for (const part of member.split(';')) {
    const [key, value] = part.split('=', 2);
    if (key?.trim().toLowerCase() === name) return numberOf(value);
  }
  return null;
}
