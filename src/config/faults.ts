/** What is wrong with a configuration, said so that it can be put right: where, what, got, allowed, what was meant. */

/** One fault. */
export interface Fault {
  /** A warning hinders nothing; `check --strict` counts it. */
  readonly severity: 'error' | 'warning';
  /** The file, `environment HOLDFAST_LISTEN`, or `flag --listen`. */
  readonly source: string;
  /** From 1; null when the fault has no place in a file. */
  readonly line: number | null;
  readonly column: number | null;
  /** `endpoints[2].timeout.attempt`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** The offending value as written; null when nothing is there. */
  readonly got: string | null;
  readonly allowed: string | null;
  /** The name that was probably meant. */
  readonly nearest: string | null;
}

/** A step from the root of the configuration to a value. */
export type Path = readonly PropertyKey[];

/** The place of a value. */
export interface Place {
  readonly source: string;
  readonly line: number | null;
  readonly column: number | null;
  /** The value as written; null when nothing is there. */
  readonly got: string | null;
}

/** Makes a fault; the parts that are not given are null. */
export function fault(
  place: Place,
  path: Path,
  message: string,
  more: Partial<Pick<Fault, 'severity' | 'got' | 'allowed' | 'nearest'>> = {},
): Fault {
  return {
    severity: 'error',
    source: place.source,
    line: place.line,
    column: place.column,
    path: showPath(path),
    message,
    got: place.got,
    allowed: null,
    nearest: null,
    ...more,
  };
}

/** Writes a path as `endpoints[2].match`. */
export function showPath(path: Path): string {
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${String(step)}`))
    .join('');
}

/** Writes a fault as one line: `file:3:5: error: upstream.url: …`. */
export function formatFault(given: Fault): string {
  const place = [given.source, given.line, given.column].filter((part) => part !== null).join(':');
  const kind = given.severity === 'warning' ? ' warning:' : '';
  const path = given.path === '' ? '' : ` ${given.path}:`;
  const got = given.got === null ? '' : `; got ${given.got}`;
  const allowed = given.allowed === null ? '' : `; allowed: ${given.allowed}`;
  const near = given.nearest === null ? '' : `; did you mean ${given.nearest}?`;
  return `${place}:${kind}${path} ${given.message}${got}${allowed}${near}`;
}

const GOT_MAX = 80;

/** Writes a value for a message: one line, cut, and without the password of a URL. */
export function showValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const plain = text
    .replaceAll(/\/\/[^/@\s]*@/g, '//[redacted]@')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return plain.length > GOT_MAX ? `${plain.slice(0, GOT_MAX)}…` : plain === '' ? '""' : plain;
}

/** Why a file could not be read, from what `node:fs` throws; ends `F cannot be read: …`. */
export function whyUnreadable(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
  };
  return known[code ?? ''] ?? message ?? String(error);
}
