/**
 * The axes of the fault matrix: what the simulator does, to which operation, at which attempts, and what the semantics
 * say of one such attempt (§1 class and reason, §2 kind, sent and effect, §3 wish), or of one such create (§7). What follows
 * from that for a whole call is in matrix.oracle.ts. Nothing here or there imports the code under test.
 */

import type { FaultInput } from '../../src/simulator/faults/kinds.ts';

export type Effect = 'none' | 'applied' | 'unknown';

/** One attempt, as the semantics read it. */
export interface Meaning {
  readonly class: 'ok' | 'throttled' | 'transient' | 'permanent';
  readonly reason: string;
  /** §2: `sent: no` never left; a head that was seen is `yes`. */
  readonly sent: 'no' | 'maybe' | 'yes';
  /** Null when no head came. */
  readonly status: number | null;
  readonly failure: 'connect' | 'timeout' | 'reset' | 'truncated' | 'broken' | null;
  /** On a write; a read has none. */
  readonly effect: Effect;
  /** What really happens upstream: nothing, at once, or after all attempts of the call. */
  readonly lands: 'no' | 'yes' | 'late';
  /** §3: how long the server asks to stay away, ms; null when it does not. */
  readonly wishMs: number | null;
  /** The upstream's own code in an answer that is passed on. */
  readonly code: string | null;
}

export interface FaultCase {
  readonly name: string;
  /** Null: the listener is closed at the struck attempts. */
  readonly fault: FaultInput | null;
  readonly meaning: Meaning;
  /**
   * Strikes connections and not requests: it cannot follow a fault that leaves the connection open. `meaning` is for the
   * case that the reset came before the request could be written; the other one is `WRITTEN_BEFORE_RESET`.
   */
  readonly onAccept?: true;
  /** Breaks an error off before its code; others leave the code, and not all of the message. */
  readonly leavesNoCode?: true;
}

const ANSWERED = { sent: 'yes', failure: null, lands: 'no', wishMs: null, code: null } as const;
const FAILED = { class: 'transient', status: null, lands: 'no', wishMs: null, code: null } as const;

const unreachable: Meaning = { ...FAILED, reason: 'connect', sent: 'no', failure: 'connect', effect: 'none' };
const timeout: Meaning = { ...FAILED, reason: 'timeout', sent: 'maybe', failure: 'timeout', effect: 'unknown' };
const reset: Meaning = { ...FAILED, reason: 'reset', sent: 'maybe', failure: 'reset', effect: 'unknown' };
const brokenOff: Meaning = {
  ...FAILED,
  reason: 'truncated',
  sent: 'yes',
  status: 200,
  failure: 'truncated',
  effect: 'applied',
  lands: 'yes',
};
const fine: Meaning = { ...ANSWERED, class: 'ok', reason: 'ok', status: 200, effect: 'applied', lands: 'yes' };
const throttled: Meaning = {
  ...ANSWERED,
  class: 'throttled',
  reason: 'rate_limit_exceeded',
  status: 429,
  effect: 'none',
  code: 'rate_limit_exceeded',
};

function error(status: number, effect: Effect, code: string | null = 'server_error'): Meaning {
  return { ...ANSWERED, class: 'transient', reason: `status_${status}`, status, effect, code };
}

function broken(reason: string, effect: Effect): Meaning {
  return { ...FAILED, reason, sent: 'yes', status: 200, failure: 'broken', effect };
}

/** §2: which of the two it is depends on whether undici had begun to write, and on nothing else. */
export const WRITTEN_BEFORE_RESET = reset;

/**
 * Later than every attempt of a call whose attempts do not hang, within the timeout of one that does, and within the
 * horizon of every search.
 */
export const LATE_BY_MS = 8000;
const late = { effect: 'late', late_by: `${LATE_BY_MS}ms` } as const;

/** Longer than `max_wait` of the matrix. */
export const TOO_LONG_MS = 120_000;

/** §2: turned away at the door, by its code. What precedes a fault at a later attempt: every operation is sent again. */
export const TURNED_AWAY: FaultCase = {
  name: '503 service_unavailable',
  fault: { kind: 'status', status: 503 },
  meaning: error(503, 'none', 'service_unavailable'),
};

export const FAULTS: readonly FaultCase[] = [
  { name: 'outage', fault: null, meaning: unreachable },
  { name: 'refuse: reset as soon as accepted', fault: 'refuse', onAccept: true, meaning: unreachable },

  { name: 'hang', fault: 'hang', meaning: timeout },
  { name: 'hang after effect', fault: { kind: 'hang', effect: 'applied' }, meaning: { ...timeout, lands: 'yes' } },
  { name: 'hang, effect later', fault: { kind: 'hang', ...late }, meaning: { ...timeout, lands: 'yes' } },
  { name: 'reset before effect', fault: 'reset', meaning: reset },
  { name: 'reset after effect', fault: { kind: 'reset', effect: 'applied' }, meaning: { ...reset, lands: 'yes' } },
  { name: 'reset, late effect', fault: { kind: 'reset', ...late }, meaning: { ...reset, lands: 'late' } },

  ...[500, 502, 504].flatMap((status): FaultCase[] => [
    { name: `${status}`, fault: { kind: 'status', status }, meaning: error(status, 'unknown') },
    {
      name: `${status} after effect`,
      fault: { kind: 'status', status, effect: 'applied' },
      meaning: { ...error(status, 'unknown'), lands: 'yes' },
    },
  ]),
  {
    name: '500, late effect',
    fault: { kind: 'status', status: 500, ...late },
    meaning: { ...error(500, 'unknown'), lands: 'late' },
  },
  {
    name: '502 in HTML',
    fault: { kind: 'status', status: 502, body: 'html' },
    meaning: error(502, 'unknown', null),
  },
  {
    name: '500 empty',
    fault: { kind: 'status', status: 500, body: 'empty' },
    meaning: error(500, 'unknown', null),
  },
  TURNED_AWAY,
  {
    name: '503 in HTML',
    fault: { kind: 'status', status: 503, body: 'html' },
    meaning: error(503, 'unknown', null),
  },
  {
    name: '503 in HTML after effect',
    fault: { kind: 'status', status: 503, body: 'html', effect: 'applied' },
    meaning: { ...error(503, 'unknown', null), lands: 'yes' },
  },
  {
    name: '503 with Retry-After in seconds',
    fault: { kind: 'status', status: 503, body: 'html', retry_after: '2s' },
    meaning: { ...error(503, 'none', null), wishMs: 2000 },
  },
  {
    name: '503 with Retry-After as date',
    fault: { kind: 'status', status: 503, body: 'html', retry_after: '2s', retry_after_form: 'date' },
    meaning: { ...error(503, 'none', null), wishMs: 2000 },
  },
  { name: '408', fault: { kind: 'status', status: 408 }, meaning: error(408, 'unknown', 'request_timeout') },
  {
    name: '408 after effect',
    fault: { kind: 'status', status: 408, effect: 'applied' },
    meaning: { ...error(408, 'unknown', 'request_timeout'), lands: 'yes' },
  },
  {
    name: 'validation inside a 500',
    fault: 'invalid',
    meaning: {
      ...error(500, 'none', 'parameter_invalid'),
      class: 'permanent',
      reason: 'input_refused',
    },
  },

  { name: 'truncated, Content-Length', fault: 'truncated', meaning: brokenOff },
  { name: 'truncated, chunked', fault: { kind: 'truncated', framing: 'chunked' }, meaning: brokenOff },
  {
    name: 'truncated JSON that ends cleanly',
    fault: { kind: 'truncated', framing: 'clean' },
    meaning: { ...broken('broken_cut', 'applied'), lands: 'yes' },
  },
  { name: 'stall inside the body', fault: 'stall', meaning: brokenOff },
  { name: 'drip, too slow', fault: { kind: 'drip', every: '1s' }, meaning: brokenOff, leavesNoCode: true },
  { name: 'drip, in time', fault: { kind: 'drip', bytes: 256, every: '100ms' }, meaning: fine },
  { name: 'slow, in time', fault: { kind: 'delay', by: '1s' }, meaning: fine },
  {
    name: 'HTML in a 200, no effect',
    fault: { kind: 'html', effect: 'none' },
    meaning: broken('broken_not_json', 'unknown'),
  },
  {
    name: 'HTML in a 200 after effect',
    fault: 'html',
    meaning: { ...broken('broken_not_json', 'unknown'), lands: 'yes' },
  },
  {
    name: 'empty 200, no effect',
    fault: { kind: 'empty', effect: 'none' },
    meaning: broken('broken_empty', 'unknown'),
  },
  { name: 'empty 200 after effect', fault: 'empty', meaning: { ...broken('broken_empty', 'unknown'), lands: 'yes' } },

  ...(['seconds', 'date', 'reset'] as const).map(
    (hint): FaultCase => ({
      name: `429, ${hint === 'reset' ? 'X-RateLimit-Reset' : `Retry-After in ${hint}`}`,
      fault: { kind: 'throttle', hint, wait: '2s' },
      meaning: { ...throttled, wishMs: 2000 },
    }),
  ),
  {
    name: '429 that names no time: one window',
    fault: { kind: 'throttle', hint: 'none' },
    meaning: { ...throttled, wishMs: 10_000 },
  },
  ...(['seconds', 'reset'] as const).map(
    (hint): FaultCase => ({
      name: `429 that asks for more than max_wait, ${hint}`,
      fault: { kind: 'throttle', hint, wait: `${TOO_LONG_MS}ms` },
      meaning: { ...throttled, wishMs: TOO_LONG_MS },
    }),
  ),
];

/** What stands there before the call. */
export interface Seeded {
  readonly contactId: string;
  /** Sets the cell apart from all others. */
  readonly mark: string;
}

/** §7: how a create of unknown outcome is known, and the simulator's names of what is asked for it. */
export interface Known {
  readonly by: 'guard' | 'direct probe' | 'search probe';
  readonly asked: readonly string[];
}

export interface Operation {
  readonly name: string;
  /** The simulator's name of it, and what its rules match. */
  readonly route: string;
  readonly class: 'read' | 'idempotent' | 'create';
  /** Null: it is no create. */
  readonly known: Known | null;
  /** §6: it comes with a key, and then once more. */
  readonly keyed?: true;
  readonly target: (seeded: Seeded) => string;
  readonly body: ((seeded: Seeded) => object) | null;
  /** `type` of a success. */
  readonly type: string;
}

const contact = ({ contactId }: Seeded): string => `/contacts/${contactId}`;
const note = {
  route: 'POST /contacts/{contact_id}/notes',
  class: 'create',
  known: { by: 'direct probe', asked: ['GET /contacts/{contact_id}/notes'] },
  target: (seeded: Seeded) => `${contact(seeded)}/notes`,
  body: () => ({ body: 'called back' }),
  type: 'note',
} as const;
const NOT_CREATED = { class: 'idempotent', known: null } as const;
const READ = { class: 'read', known: null } as const;

export const OPERATIONS: readonly Operation[] = [
  { name: 'read', route: 'GET /contacts/{contact_id}', ...READ, target: contact, body: null, type: 'contact' },
  {
    name: 'search (a POST that reads)',
    route: 'POST /contacts/search',
    ...READ,
    target: () => '/contacts/search',
    body: ({ mark }) => ({ query: { field: 'email', operator: '=', value: `seeded-${mark}@example.com` } }),
    type: 'list',
  },
  {
    name: 'update (PUT)',
    route: 'PUT /contacts/{contact_id}',
    ...NOT_CREATED,
    target: contact,
    body: () => ({ name: 'Ada' }),
    type: 'contact',
  },
  {
    name: 'company upsert (an idempotent POST)',
    route: 'POST /companies',
    ...NOT_CREATED,
    target: () => '/companies',
    body: ({ mark }) => ({ company_id: `c-${mark}`, name: 'Analytical Engines' }),
    type: 'company',
  },
  {
    name: 'DELETE',
    route: 'DELETE /contacts/{contact_id}',
    ...NOT_CREATED,
    target: contact,
    body: null,
    type: 'contact',
  },
  {
    name: 'create a lead',
    route: 'POST /contacts',
    class: 'create',
    known: { by: 'search probe', asked: ['POST /contacts/search', 'GET /contacts/{contact_id}'] },
    target: () => '/contacts',
    body: ({ mark }) => ({ role: 'lead', email: `lead-${mark}@example.com` }),
    type: 'contact',
  },
  {
    name: 'create a user',
    route: 'POST /contacts',
    class: 'create',
    known: {
      by: 'guard',
      asked: ['GET /contacts/{contact_id}', 'GET /contacts/find_by_external_id/{external_id}'],
    },
    target: () => '/contacts',
    body: ({ mark }) => ({ role: 'user', external_id: `u-${mark}`, email: `user-${mark}@example.com` }),
    type: 'contact',
  },
  { name: 'create a note', ...note },
  { name: 'create a note under a key', ...note, keyed: true },
];

/** What retry sends; a create that was found absent is sent once more. */
export const ATTEMPTS_MAX = 3;

/** Which attempts the fault strikes; those before the first struck one are turned away with a 503. */
export interface Schedule {
  readonly name: string;
  readonly struck: readonly number[];
}

export const SCHEDULES: readonly Schedule[] = [
  { name: 'at the first attempt', struck: [1] },
  { name: 'at the second attempt', struck: [2] },
  { name: 'at the last attempt', struck: [3] },
  { name: 'at every attempt', struck: [1, 2, 3, 4] },
];
