/**
 * The few words of an error answer that stand in the history of a call: enough to see the cause, too few to be a copy.
 * The whole answer is not kept, because an answer can echo the request; for the same reason what looks like a credential
 * is taken out, and the caller's own wherever it stands.
 */

import type { ErrorFacts } from './error-body.ts';
import { SECRET_FIELDS } from './operation.ts';
import type { RawHeaders } from './raw-headers.ts';

const EXCERPT_MAX = 512;
const CODE_MAX = 100;
/** The name of a scheme and what stands behind it, unless that is such a name itself. */
const SCHEME =
  /\b((?:Bearer|Basic|Token)(?:\s{1,4}|\s?[:=]\s{0,4})["']?)(?!(?:Bearer|Basic|Token)[\s:=])([\w.~+/=:-]{6,})/gi;
/** "Access Token Invalid", "token: page_token": letters of one case, not many, that can be said. Opaque tokens are none of that. */
const WORD = /^(?:[A-Z]?[a-z]{1,14}|[a-z]{2,14}(?:_[a-z]{2,14}){1,3}|[A-Z]{1,14})[.:]{0,3}$/;
const UNSPEAKABLE = /[^aeiouy_.:]{5}/i;
/** Intercom's tokens are base64 of `tok:…`. */
const INTERCOM_TOKEN = /\bdG9r[\w+/=-]{8,}/g;
/** A shorter "credential" would take ordinary words out. */
const SECRET_CHARS_MIN = 6;

/** What the history keeps of an error. Both null when the answer said nothing. */
export interface Excerpt {
  /** The first code, at most 100 characters. */
  readonly code: string | null;
  /** The first message, else the beginning of the text without markup; at most 512 characters, one line. */
  readonly excerpt: string | null;
}

/** Takes the excerpt of an error. `headers` are those of the request, whose credentials and cookies must not come back. */
export function excerptOf(error: ErrorFacts, headers: RawHeaders): Excerpt {
  const said = error.messages[0] ?? (error.shape === 'html' || error.shape === 'text' ? plain(error.text) : '');
  const line = withoutSecrets(said.slice(0, EXCERPT_MAX * 4), headers)
    .replaceAll(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, EXCERPT_MAX);
  return { code: error.codes[0]?.slice(0, CODE_MAX) ?? null, excerpt: line === '' ? null : line };
}

function plain(text: string): string {
  return text
    .slice(0, EXCERPT_MAX * 8)
    .replaceAll(/<(?:style|script)\b[^<]*/gi, ' ')
    .replaceAll(/<[^<>]*>?/g, ' ');
}

function withoutSecrets(text: string, headers: RawHeaders): string {
  const secrets = secretsOf(headers);
  let own = text;
  for (const secret of secrets) own = own.replaceAll(secret, '…');
  return own
    .replaceAll(SCHEME, (all, name: string, value: string) => (isWord(value, secrets) ? all : `${name}…`))
    .replaceAll(INTERCOM_TOKEN, '…');
}

/** A part of what was sent is no word, whatever it looks like. */
function isWord(value: string, secrets: readonly string[]): boolean {
  if (!WORD.test(value) || UNSPEAKABLE.test(value)) return false;
  const said = value.replace(/[.:]+$/, '').toLowerCase();
  return !secrets.some((secret) => secret.toLowerCase().includes(said));
}

/** The values of the fields that are never kept: without a scheme, and of cookies one by one. */
function secretsOf(headers: RawHeaders): string[] {
  const secrets: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const value = headers[i + 1] as string;
    if (!SECRET_FIELDS.has(name)) continue;
    if (name === 'cookie') secrets.push(...value.split(';').map((pair) => pair.slice(pair.indexOf('=') + 1).trim()));
    else secrets.push(value.replace(/^\S+\s+/, ''));
  }
  return secrets.filter(({ length }) => length >= SECRET_CHARS_MIN).sort((a, b) => b.length - a.length);
}
