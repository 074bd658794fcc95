/**
 * What an answer says about its window: `X-RateLimit-Limit`, `-Remaining`, `-Reset`. All three, sane, or nothing: a
 * part of them cannot be counted against, and the quota machine knows how to live without. The reset may be epoch
 * seconds, epoch milliseconds or a delta, told apart by size as in `retry-after.ts`; here it becomes the server's epoch
 * ms, because it is also the window's identity and must be the same on every answer of one window.
 */

import { headerOf, type RawHeaders } from './raw-headers.ts';

/** One answer's word about its window. */
export interface RateLimit {
  /** Calls per window, at least 1. */
  readonly limit: number;
  /** 0..limit. */
  readonly remaining: number;
  /** When the window refills, epoch ms by the server's clock. */
  readonly resetMs: number;
}

const NUMBER = /^ *(-?\d{1,16})(?:\.\d+)? *$/;
const HIGHEST_LIMIT = 1e9;

/** Reads the three fields; `serverNowMs` (the answer's `Date`, else our best guess) turns a delta into an epoch. */
export function rateLimitOf(headers: RawHeaders, serverNowMs: number): RateLimit | null {
  const limit = integer(headerOf(headers, 'x-ratelimit-limit'));
  if (limit === null || limit < 1 || limit > HIGHEST_LIMIT) return null;
  const remaining = integer(headerOf(headers, 'x-ratelimit-remaining'));
  const reset = integer(headerOf(headers, 'x-ratelimit-reset'));
  if (remaining === null || reset === null || reset < 0) return null;
  return { limit, remaining: Math.min(Math.max(remaining, 0), limit), resetMs: epochMs(reset, serverNowMs) };
}

function epochMs(reset: number, serverNowMs: number): number {
  if (reset >= 1e12) return reset;
  if (reset >= 1e9) return reset * 1000;
  return serverNowMs + reset * 1000;
}

function integer(value: string | null): number | null {
  const match = value === null ? null : NUMBER.exec(value);
  return match === null ? null : Number(match[1]);
}
