/**
 * The log: one JSON line per event, written by pino. Two rules: credentials are redacted on every path, failures
 * included (semantics §12), and nothing here blocks the event loop, so lines are batched and flushed once a second and
 * on the way out.
 */

import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** A pino logger with our fields. */
export type Log = PinoLogger;

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

/** Creates the log over a destination; `main.ts` gives standard output, tests an array. */
export function createLog(options: LogOptions, destination: DestinationStream): Log {
  const names = [...SECRET_FIELDS, ...options.redact];
  const paths = names.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]);
  return pino(
    {
      level: options.level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: '[redacted]' },
    },
    destination,
  );
}
