/**
 * Why calls fail, as a person would count it: endpoint, status or failure, code, and the upstream's words without what
 * differs from call to call. Fourteen hundred rows of `422 field_required: company_name` are one cause, and so are as many
 * of "A contact already exists with id=…". The words are cut into tokens in one pass, and each token is kept or becomes
 * `…` by what it looks like: a list of replacing patterns over free text is neither linear on hostile input nor the same
 * for two orders of the list. Names of fields must survive, so a quoted word is kept when it looks like one. Two causes
 * that differ in nothing but values fall together; that is the price, and the rows of the group show it.
 */

import { createHash } from 'node:crypto';
import type { AttemptRecord } from './exchange.ts';
import type { Outcome } from './outcome.ts';

/** What a cause is made of. */
export interface CauseFacts {
  /** The name of the rule. */
  readonly endpoint: string;
  /** Null when there was no answer. */
  readonly status: number | null;
  /** How it failed without an answer; null when there was one. */
  readonly failure: string | null;
  /** The upstream's code, else the verdict's reason. */
  readonly code: string | null;
  /** The upstream's message, any length; null when it gave none. */
  readonly message: string | null;
}

/** A cause. */
export interface CauseGroup {
  /** Twelve hex digits: the same for the same cause, in every process. */
  readonly id: string;
  /** `POST /contacts 422 field_required: company_name is required`; at most 300 characters, printable, one line. */
  readonly label: string;
}

/** What is known of a call that ended: its last attempt, unless it was refused without one. */
export function causeFacts(endpoint: string, attempts: readonly AttemptRecord[], outcome: Outcome): CauseFacts {
  const last = attempts.at(-1);
  if (last === undefined) {
    return { endpoint, status: null, failure: 'refused', code: outcome.verdict.reason, message: null };
  }
  const { status, failure, reason, code, excerpt } = last;
  return {
    endpoint,
    status: failure === null ? status : null,
    failure,
    code: code ?? reason,
    message: excerpt ?? null,
  };
}

const MESSAGE_READ_MAX = 4000;
const WORDS_MAX = 160;
const CODE_MAX = 80;
const LABEL_MAX = 300;
const VALUE = '…';

/** The cause that these facts speak of. Never throws; takes time linear in the message, of which 4,000 characters count. */
export function causeGroup({ endpoint, status, failure, code, message }: CauseFacts): CauseGroup {
  const what = status === null ? (failure ?? 'refused') : String(status);
  const name = code === null || code === what || code === `status_${status}` ? '' : codeOf(code.slice(0, CODE_MAX));
  const said = message === null ? '' : words(message, WORDS_MAX);
  const id = createHash('sha256')
    .update(JSON.stringify([endpoint, what, name, said]))
    .digest('hex')
    .slice(0, 12);
  const because = [name, said].filter((part) => part !== '').join(': ');
  return { id, label: `${endpoint} ${what} ${because}`.trimEnd().slice(0, LABEL_MAX) };
}

/** A code is a name already, unless somebody puts ids into it. */
function codeOf(code: string): string {
  return /^[a-z][a-z_.-]*\d{0,3}$/i.test(code) && !isHexWord(code) ? code : words(code, CODE_MAX);
}

/** Quoted text; an apostrophe inside a word opens nothing. Bounded, so that a lone quote costs little. */
const QUOTED =
  /"([^"]{1,1000})"|(?<![\p{L}\p{N}])'([^']{1,1000})'(?![\p{L}\p{N}])|`([^`]{1,1000})`|“([^“”]{1,1000})”|‘([^‘’]{1,1000})’|«([^«»]{1,1000})»/gu;
/** What stands between brackets and list marks. */
const TOKEN = /[^()[\]{}<>,;|]+/gu;
const NAMES_A_FIELD =
  /\b(?:fields?|attributes?|param(?:eter)?s?|property|properties|keys?|arguments?|columns?)[\s:]{0,3}$/i;
const COMMON_FIELDS = new Set(
  'body email id language name phone role state status subject tags title type website'.split(' '),
);
const MONTH_OR_DAY =
  /^(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)(?:uary|ruary|ch|il|ust|ember|tember|ober|s|nes|rs|ur)?(?:day)?$/i;

/** What a message says without its values, at most 160 characters. */
export function wordsOf(message: string): string {
  return words(message, WORDS_MAX);
}

/** The words of a text without its values. `most` bounds the result, not what is read. */
function words(text: string, most: number): string {
  const read = text.slice(0, MESSAGE_READ_MAX).replaceAll(/[^\P{C}\s]/gu, '');
  const unquoted = read.replaceAll(QUOTED, (_, ...found: (string | number | undefined)[]) => {
    const inner = found.slice(0, 6).find((each) => each !== undefined) as string;
    const before = read.slice(Math.max((found[6] as number) - 20, 0), found[6] as number);
    return namesField(inner, before) ? inner : ` ${VALUE} `;
  });
  const kept: string[] = [];
  for (const piece of unquoted.split(/\s+/)) {
    // Addresses may hold brackets and commas.
    if (piece.includes('@') || piece.includes('://')) keep(kept, VALUE);
    else for (const [token] of piece.matchAll(TOKEN)) keep(kept, shownOf(token));
  }
  const line = kept.join(' ');
  if (line.length <= most) return line;
  const end = line.lastIndexOf(' ', most);
  return line.slice(0, end > 0 ? end : most);
}

/** Values in a row are one, as many as there are; a month or a day beside one is part of it. */
function keep(kept: string[], shown: string): void {
  const last = kept.at(-1);
  if (shown !== VALUE) {
    if (last !== VALUE || !MONTH_OR_DAY.test(shown)) kept.push(shown);
    return;
  }
  while (kept.length > 0 && MONTH_OR_DAY.test(kept.at(-1) as string)) kept.pop();
  if (kept.at(-1) !== VALUE) kept.push(VALUE);
}

/** One token: itself, a value, or a name with its value taken out (`id=…`). */
function shownOf(token: string): string {
  const bare = token.replace(/^[\p{P}\p{S}]{1,8}/u, '').replace(/[\p{P}\p{S}]{1,8}$/u, '');
  if (bare === '' || bare.length > 40) return VALUE;
  if (/^[\p{L}\p{M}_'’/-]+$/u.test(bare)) return isHexWord(bare) ? VALUE : bare;
  const named = /^([a-z][a-z_]{0,30})[=:]/i.exec(bare);
  if (named !== null) return `${named[1]}=${VALUE}`;
  return isFieldName(bare) ? bare : VALUE;
}

/** Whether quoted text is the name of a field, and not what stands in one. */
function namesField(inner: string, before: string): boolean {
  if (isFieldName(inner) || COMMON_FIELDS.has(inner)) return true;
  return /^[a-z]{1,40}$/i.test(inner) && NAMES_A_FIELD.test(before);
}

/** `company_name`, `custom_attributes.plan`, `address_line_2`. */
function isFieldName(text: string): boolean {
  return text.length <= 64 && text.includes('_') && /^(?:[a-z]+[_.])+[a-z]*\d{0,2}$/i.test(text);
}

/** `deadbeefcafe`: no word is that long and has these letters only. */
function isHexWord(text: string): boolean {
  const plain = text.replaceAll('-', '');
  return plain.length >= 8 && /^[0-9a-f]+$/i.test(plain);
}
