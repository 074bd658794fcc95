/**
 * Reconcile: when to look for a create whose outcome is unknown, and what a look proves (semantics §7). The plan is a list
 * of moments after the loss, because one look right after it proves nothing: the effect may land seconds later. Only
 * a look at the end of the horizon that worked and found nothing means absent; one that failed, or whose match may belong to
 * somebody else, is made again a few times. The obvious other choice, looking with an exponential backoff until the
 * deadline, would end early for callers in a hurry and promise a different horizon to each of them.
 */

import type { ProbeRecipe, ReconcileEntry } from './policy.ts';

/** Of a probe that does not lag, ms after the loss. The last one is the horizon. */
export const DIRECT_LOOKS_MS: readonly number[] = [500, 2000, 5000, 10_000];
/** Of a search index that does. */
export const SEARCH_LOOKS_MS: readonly number[] = [500, 2000, 5000, 15_000, 30_000];
/** Of a conflict, ms after it: the object is named, so nothing lags. */
export const CONFLICT_LOOKS_MS: readonly number[] = [1, 500, 2000, 5000];

/** Looks beyond the plan, while the last one has not shown anything, and the time between them. */
export const EXTRA_LOOKS_MAX = 6;
const EXTRA_EVERY_MS = 5000;

/**
 * What one look has shown. `contested`: there is a match, and it may be the answer of an identical call that is still on
 * its way. `several`: more matches than calls. `failed`: nothing at all.
 */
export type LookResult = 'landed' | 'absent' | 'several' | 'contested' | 'failed';

/** The reason of a verdict on a create in doubt when no entry of the map speaks of it. */
export const UNDETECTABLE = 'undetectable';

/** One look for a lost create, as the history keeps it. */
export interface LookRecord {
  /** From 1. */
  readonly n: number;
  /** Wall time, epoch ms. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** `GET /contacts/7/notes`: what was asked. */
  readonly request: string;
  /** Null when there was no answer. */
  readonly status: number | null;
  readonly result: LookResult;
}

/** How far a search for one lost create has come. Times are ms since the loss. */
export interface Search {
  /** Moments that are still to come, ascending. */
  readonly dueMs: readonly number[];
  /** Looks beyond the plan that are left. */
  readonly extraLeft: number;
}

/** What follows: wait until `atMs` after the loss and look, or the end. */
export type SearchStep =
  | { readonly kind: 'look'; readonly atMs: number; readonly search: Search }
  | { readonly kind: 'landed' | 'absent' | 'undecided' };

/**
 * Begins. `elapsedMs` is what has passed since the loss: for an operation of an earlier run the moments gone by become
 * one look at once.
 */
export function beginSearch(looksAtMs: readonly number[], elapsedMs: number): Search {
  const ahead = looksAtMs.filter((atMs) => atMs > elapsedMs);
  const dueMs = elapsedMs > 0 ? [elapsedMs, ...ahead] : ahead;
  return { dueMs, extraLeft: EXTRA_LOOKS_MAX };
}

/** The step after a look; null before the first one. `nowMs` is since the loss. */
export function nextStep(search: Search, last: LookResult | null, nowMs: number): SearchStep {
  if (last === 'landed') return { kind: 'landed' };
  if (last === 'several') return { kind: 'undecided' };
  const [atMs, ...dueMs] = search.dueMs;
  if (atMs !== undefined) return { kind: 'look', atMs, search: { ...search, dueMs } };
  if (last === 'absent') return { kind: 'absent' };
  if (search.extraLeft === 0) return { kind: 'undecided' };
  return {
    kind: 'look',
    atMs: nowMs + EXTRA_EVERY_MS,
    search: { ...search, extraLeft: search.extraLeft - 1 },
  };
}

/** What a look has found, before it is judged. */
export interface Sight {
  /** Matches that are young enough and nobody's answer. */
  readonly free: number;
  /** Identical calls that are on the wire and may have made one of them. */
  readonly onWire: number;
  /** Identical calls that are being looked for, this one included: what they made is the same for all of them. */
  readonly sought: number;
  /** The list goes on behind the page that was seen. */
  readonly cut: boolean;
}

/** Judges a look that worked. */
export function judgeSight({ free, onWire, sought, cut }: Sight): LookResult {
  if (free === 0) return cut ? 'failed' : 'absent';
  if (onWire > 0) return 'contested';
  return free > sought ? 'several' : 'landed';
}

/** Whether what was found absent may be sent once more, as far as its recipe goes. */
export function mayResend(recipe: ProbeRecipe, looks: number, sentAtMs: number, nowMs: number): boolean {
  const { resendIfAbsent } = recipe;
  if (typeof resendIfAbsent === 'boolean') return resendIfAbsent;
  return looks > 1 && nowMs - sentAtMs >= resendIfAbsent;
}

/**
 * For the durable queue: when an operation that stayed unknown is looked for again (epoch ms), and whether that run may
 * send it when it is absent once more. Null: never, it is kept for a person. `looks` are those that found nothing.
 */
export function laterLook(
  entries: readonly ReconcileEntry[],
  looks: number,
  sentAtMs: number,
  nowMs: number,
): { readonly dueAtMs: number; readonly maySend: boolean } | null {
  const delays = entries.flatMap((entry) =>
    entry.kind !== 'on_error' && typeof entry.resendIfAbsent === 'number' ? [entry.resendIfAbsent] : [],
  );
  if (delays.length === 0) return null;
  return { dueAtMs: Math.max(sentAtMs + Math.max(...delays), nowMs), maySend: looks > 0 };
}

/** What the upstream's clock may differ from ours while nothing is known of it. */
const SKEW_UNKNOWN_MS = 5000;
/** `created_at` is in whole seconds, cut off. */
const SECOND_MS = 1000;

/** The earliest `created_at` (epoch ms, the upstream's clock) of something that was first sent at `sentAtMs` of ours. */
export function earliestMs(
  sentAtMs: number,
  skew: { readonly seconds: number; readonly errorSeconds: number } | null,
): number {
  if (skew === null) return sentAtMs - SKEW_UNKNOWN_MS;
  return sentAtMs + (skew.seconds - skew.errorSeconds) * 1000 - SECOND_MS;
}

/** Epoch ms of a `created_at`: epoch seconds, or ISO 8601; null for anything else. */
export function createdAtMs(match: unknown): number | null {
  const value = isObject(match) ? match['created_at'] : undefined;
  if (typeof value === 'number') return value * 1000;
  if (typeof value !== 'string') return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value);
  return Number.isFinite(ms) ? ms : null;
}

/** The `id` of a match as text; null when it has none. */
export function idOf(match: unknown): string | null {
  return idAt(match, ['id']);
}

/**
 * Whether a list goes on behind this page with what may still be wanted: there are further pages, and everything on this
 * one is younger than the send (newest first; epoch ms). Then a page without a match shows nothing.
 */
export function hidesTheRest(document: unknown, sinceMs: number): boolean {
  if (!isObject(document)) return false;
  const pages = isObject(document['pages']) ? document['pages'] : document;
  const [page, total] = [Number(pages['page'] ?? 1), Number(pages['total_pages'] ?? 0)];
  if (!pages['next'] && page >= total) return false;
  const entries = Object.values(document).find((value) => Array.isArray(value)) as readonly unknown[] | undefined;
  const ages = (entries ?? []).map(createdAtMs).filter((ms) => ms !== null);
  return ages.length > 0 && ages.every((ms) => ms >= sinceMs);
}

/**
 * The id of what a create made, read out of its answer: what `store.claimed` compares, so that no other lost create takes
 * the same object for its own. Null when the answer has none. `path` is the policy's `answerId`.
 */
export function answerIdOf(path: readonly string[], answer: Uint8Array): string | null {
  try {
    return idAt(JSON.parse(new TextDecoder().decode(answer)), path);
  } catch {
    return null;
  }
}

function idAt(document: unknown, path: readonly string[]): string | null {
  let value: unknown = document;
  for (const name of path) {
    if (Array.isArray(value)) value = value.at(-1);
    value = isObject(value) ? value[name] : undefined;
  }
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
}

/**
 * Whether a found value is the wanted one: nothing was wanted, or both are the same text without markup, or all parts are
 * the same. A number is its text, for ids come as both; one thing is the list of it.
 */
export function isSame(found: unknown, wanted: unknown): boolean {
  if (wanted === undefined || wanted === null) return true;
  if (Array.isArray(found) || Array.isArray(wanted)) {
    const [has, wants] = [found, wanted].map((each) => (Array.isArray(each) ? (each as unknown[]) : [each]));
    return has?.length === wants?.length && has?.every((each, i) => isSame(each, wants?.[i])) === true;
  }
  if (isObject(wanted)) {
    return isObject(found) && Object.entries(wanted).every(([name, value]) => isSame(found[name], value));
  }
  return found !== undefined && found !== null && plain(found) === plain(wanted);
}

function plain(value: unknown): string {
  return textOf(typeof value === 'string' ? value : JSON.stringify(value));
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };
const TEXT_MAX = 100_000;

/** A body without markup, entities and differences of white space: what two bodies must have in common to be one. */
export function textOf(html: unknown): string {
  if (typeof html !== 'string') return '';
  return html
    .slice(0, TEXT_MAX)
    .replaceAll(/<[a-zA-Z/!][^<>]*>/g, ' ')
    .replaceAll(/&(#x[0-9a-fA-F]{1,6}|#\d{1,7}|[a-z]{2,4});/g, (whole, name: string) => entity(name) ?? whole)
    .replaceAll(/\s+/g, ' ')
    .trim();
}

function entity(name: string): string | undefined {
  if (!name.startsWith('#')) return ENTITIES[name];
  const code = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
  return code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
