/**
 * The log: one JSON line per event, written by pino. Two rules: credentials are redacted on every path, failures
 * included (semantics §12), and nothing here blocks the event loop, so lines are batched and flushed once a second and
 * on the way out. Redaction is a walk of our own and not pino's `redact`: with paths for every depth that cost 55 µs
 * per line, as much as all the rest of a call (`node bench/profile.ts`).
 */

import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** A pino logger with our fields. */
export interface Log extends PinoLogger {
  /**
   * Writes a line at info, the same as `info` does, whatever the level: the caller has asked `isLevelEnabled`. For the one
   * line that every exchange writes: by hand where all values are plain, at a fifth of the cost.
   */
  readonly line: (fields: Readonly<Record<string, unknown>>) => void;
}

/** Names of fields whose values never reach the log, wherever they stand. Lower-case. */
const SECRET_FIELDS = [
  'authorization',
  'proxy-authorization',
  'holdfast-authorization',
  'cookie',
  'set-cookie',
  'token',
  'access_token',
  'password',
  'secret',
  'client_secret',
  'x-api-key',
];

/** What of a log can be set by configuration. */
export interface LogOptions {
  readonly level: string;
  /** Further field names to redact, beside the built-in ones. */
  readonly redact: readonly string[];
}

/** What JSON escapes. */
const NEEDS_ESCAPE = /["\\]|[^\x20-\ud7ff\ue000-\uffff]/;
const REDACTED = '[redacted]';
/** Lines are flat; what callers put into `Holdfast-Context` is one level below. */
const DEPTH_MAX = 4;

/** Creates the log over a destination; `main.ts` gives standard output, tests an array. */
export function createLog(options: LogOptions, destination: DestinationStream): Log {
  const secret = new Set([...SECRET_FIELDS, ...options.redact.map((name) => name.toLowerCase())]);
  const timestamp = timestamps();
  const log = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'message',
      timestamp,
      formatters: { level: (label) => ({ level: label }), log: (line) => redacted(line, secret, 0) },
    },
    destination,
  );
  const plain = plainLines(secret);
  const line: Log['line'] = (fields) => {
    const text = plain(fields);
    if (text === null) log.info(fields);
    else destination.write(`{"level":"info"${timestamp()}${text}}\n`);
  };
  return Object.assign(log, { line });
}

/** The members of a line whose values are all plain, each after a comma; null for any other. */
function plainLines(secret: ReadonlySet<string>): (fields: Readonly<Record<string, unknown>>) => string | null {
  const names = new Map<string, string>();
  const isSecret = new Set<string>();
  const nameOf = (name: string): string => {
    if (secret.has(name.toLowerCase())) isSecret.add(name);
    const text = `,${JSON.stringify(name)}:`;
    names.set(name, text);
    return text;
  };
  return (fields) => {
    let text = '';
    for (const name in fields) {
      const value = fields[name];
      const member = names.get(name) ?? nameOf(name);
      if (isSecret.size > 0 && isSecret.has(name)) return null;
      if (typeof value === 'string')
        text += NEEDS_ESCAPE.test(value) ? member + JSON.stringify(value) : `${member}"${value}"`;
      else if (typeof value === 'number' && Number.isFinite(value)) text += member + value;
      else if (typeof value === 'boolean' || value === null) text += member + value;
      else return null;
    }
    return text;
  };
}

/** ISO 8601 with ms. The text of a second is made once: `toISOString` costs as much as writing a small line. */
function timestamps(): () => string {
  let second = -1;
  let prefix = '';
  return () => {
    const now = Date.now();
    const ms = now % 1000;
    if (now - ms !== second) {
      second = now - ms;
      prefix = `,"time":"${new Date(second).toISOString().slice(0, 20)}`;
    }
    return `${prefix}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z"`;
  };
}

/** The same object when it holds no secret; otherwise a copy without them, since callers keep what they logged. */
function redacted(
  fields: Record<string, unknown>,
  secret: ReadonlySet<string>,
  depth: number,
): Record<string, unknown> {
  let copy: Record<string, unknown> | null = null;
  for (const name in fields) {
    const value = fields[name];
    let shown = value;
    if (secret.has(name.toLowerCase())) shown = REDACTED;
    else if (isPlain(value)) shown = depth < DEPTH_MAX ? redacted(value, secret, depth + 1) : '[too deep]';
    if (shown !== value) {
      copy ??= Array.isArray(fields) ? (fields.slice() as unknown as Record<string, unknown>) : { ...fields };
      copy[name] = shown;
    }
  }
  return copy ?? fields;
}

/** Errors and the like have serializers of their own; their fields are not ours to copy. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}
