/**
 * The kinds of keys that the configuration is declared with. One call declares a key: its type, bounds, default and
 * sentence; validation, JSON Schema, the docs table and the commented default file are all made from it. `null`, or
 * nothing behind the colon, always means unset. Defaults stand in the metadata and are not filled in by the parser,
 * because a row, a profile and the defaults are laid over each other first, and only what was written may cover.
 */

import { z } from 'zod';
import { ADDRESS_PATTERN, DURATION_PATTERN, parseAddress, parseDuration, parseSize, SIZE_PATTERN } from './units.ts';

/** A key that may be left out. */
export type Key<T extends z.ZodType> = z.ZodOptional<z.ZodNullable<T>>;

/** What everybody else needs to know about a key. */
export interface KeyMeta {
  readonly description: string;
  readonly default?: unknown;
  /** What is allowed, in words; `yaml-language-server` shows it too. */
  readonly patternErrorMessage?: string;
  readonly [keyword: string]: unknown;
}

/** Declares a key of any schema; `fallback` undefined means that there is no default to show. */
export function key<T extends z.ZodType>(schema: T, says: string, fallback?: unknown): Key<T> {
  const meta: KeyMeta = fallback === undefined ? { description: says } : { description: says, default: fallback };
  return schema.nullable().optional().meta(meta);
}

/** Adds an example to a key that has no default to show. */
export function example<T extends z.ZodType>(declared: T, shown: unknown): T {
  return declared.meta({ ...declared.meta(), examples: [shown] });
}

/** Declares a section: a group of keys, unknown ones refused. */
export function section<S extends z.ZodRawShape>(shape: S, says: string): Key<z.ZodObject<S, z.core.$strict>> {
  return key(z.strictObject(shape, { error: structure('a section: keys and values, indented') }), says);
}

/** Declares a duration between two others, both as written. */
export function duration(says: string, fallback: string | null, least: string, most: string): Key<z.ZodString> {
  return key(durationValue(least, most), says, fallback);
}

/** A duration without a default. */
export function durationValue(least: string, most: string): z.ZodString {
  const allowed = `a duration from ${least} to ${most}, such as 250ms, 30s, 5m or 24h`;
  return bounded(DURATION_PATTERN, parseDuration, least, most, allowed);
}

/** Declares a size between two others, both as written. */
export function size(says: string, fallback: string, least: string, most: string): Key<z.ZodString> {
  const allowed = `a size from ${least} to ${most}, such as 64KiB or 10MiB`;
  return key(bounded(SIZE_PATTERN, parseSize, least, most, allowed), says, fallback);
}

/** Declares a whole number. */
export function integer(says: string, fallback: number, least: number, most: number): Key<z.ZodNumber> {
  return key(integerValue(least, most), says, fallback);
}

/** A whole number without a default. */
export function integerValue(least: number, most: number): z.ZodInt {
  const allowed = `a whole number from ${least} to ${most}`;
  return z.int({ error: allowed }).min(least, { error: allowed }).max(most, { error: allowed });
}

/** Declares a number with fractions. */
export function number(says: string, fallback: number, least: number, most: number): Key<z.ZodNumber> {
  const allowed = `a number from ${least} to ${most}`;
  return key(z.number({ error: allowed }).min(least, { error: allowed }).max(most, { error: allowed }), says, fallback);
}

/** Declares one of a few words. */
export function choice<const W extends readonly [string, ...string[]]>(
  says: string,
  fallback: W[number] | null,
  words: W,
): Key<z.ZodEnum<z.core.util.ToEnum<W[number]>>> {
  return key(word(words), says, fallback ?? undefined);
}

/** One of a few words, without a default. */
export function word<const W extends readonly [string, ...string[]]>(
  words: W,
): z.ZodEnum<z.core.util.ToEnum<W[number]>> {
  return z.enum(words, { error: words.length === 1 ? words[0] : `one of ${words.join(', ')}` });
}

/** Declares a yes or no. */
export function flag(says: string, fallback: boolean): Key<z.ZodBoolean> {
  return key(z.boolean({ error: 'true or false' }), says, fallback);
}

/** Declares an address to listen on. */
export function address(says: string, fallback: string): Key<z.ZodString> {
  const allowed = 'host:port with a port up to 65535, such as 127.0.0.1:8080 or [::]:8080';
  const schema = z
    .string({ error: allowed })
    .regex(ADDRESS_PATTERN, { error: allowed, abort: true })
    .refine((given) => parseAddress(given) !== null, { error: allowed })
    .meta({ patternErrorMessage: allowed });
  return key(schema, says, fallback);
}

/** Declares a text that must not be empty. */
export function text(says: string, fallback: string | null, allowed: string): Key<z.ZodString> {
  return key(textValue(allowed), says, fallback);
}

/** A text that must not be empty, without a default. */
export function textValue(allowed: string, pattern: RegExp = /^[^\0\r\n]{1,4096}$/): z.ZodString {
  return z.string({ error: allowed }).regex(pattern, { error: allowed }).meta({ patternErrorMessage: allowed });
}

/** Declares a file path; relative ones start at the configuration file's folder. */
export function file(says: string): Key<z.ZodString> {
  return text(says, null, 'the path of a file');
}

/** A list with at most `most` items. */
export function listOf<T extends z.ZodType>(item: T, most: number, allowed: string): z.ZodArray<T> {
  return z.array(item, { error: allowed }).max(most, { error: `at most ${most} entries` });
}

/**
 * A message for a wrong structure only: for an unknown key zod calls the same function, and its own message names the
 * key.
 */
export function structure(allowed: string) {
  return (issue: { code?: string }): string | undefined => (issue.code === 'invalid_type' ? allowed : undefined);
}

function bounded(
  pattern: RegExp,
  parse: (text: string) => number | null,
  least: string,
  most: string,
  allowed: string,
): z.ZodString {
  const [from, to] = [parse(least), parse(most)];
  if (from === null || to === null) throw new TypeError(`Bounds of a key must be written as its values: ${allowed}`);
  const within = (given: string): boolean => {
    const value = parse(given);
    return value !== null && value >= from && value <= to;
  };
  return z
    .string({ error: allowed })
    .regex(pattern, { error: allowed, abort: true })
    .refine(within, { error: allowed })
    .meta({ patternErrorMessage: allowed });
}
