/**
 * The sections that the defaults, a profile and a row all take, one declaration each. A new section (a breaker, a quota)
 * is one entry of `policySections` and one line in `compile-policy.ts`.
 */

import { z } from 'zod';
import {
  choice,
  duration,
  flag,
  integer,
  integerValue,
  key,
  listOf,
  number,
  section,
  textValue,
  word,
} from './keys.ts';

const timeout = section(
  {
    connect: duration('From dispatch until the request is written: DNS, TCP and TLS.', '5s', '1ms', '5m'),
    attempt: duration(
      'One attempt, from dispatch until its answer has begun, or is whole where it is held.',
      '15s',
      '1ms',
      '1h',
    ),
    body_idle: duration('The longest silence inside a body, in either direction.', '30s', '1ms', '1h'),
    total: duration('The whole call, retries and waits included.', '120s', '1ms', '24h'),
  },
  'How long things may take.',
);

const maxRetries = z.union([integerValue(0, 1000), z.literal('unlimited')], {
  error: 'a whole number from 0 to 1000, or unlimited',
});

const retry = section(
  {
    max_retries: key(maxRetries, 'Attempts after the first; `unlimited` is bounded by `timeout.total`.', 5),
    base_delay: duration('The backoff before the first retry; it doubles from there.', '1s', '1ms', '1h'),
    max_delay: duration('The longest backoff.', '30s', '1ms', '1h'),
    jitter: choice('How the backoff is spread (AWS Architecture Blog).', 'full', [
      'full',
      'equal',
      'decorrelated',
      'none',
    ]),
    max_wait: duration(
      'The longest single wait; a longer wish of the server ends the call at once.',
      '60s',
      '0s',
      '24h',
    ),
  },
  'When a failed attempt is sent again, for calls that may be.',
);

const retryBudget = section(
  {
    ratio: number('Retries allowed per client request.', 0.2, 0, 1),
    window: duration('The time over which requests and retries are counted.', '10s', '1s', '60s'),
    floor_per_second: integer('Retries per second that are always allowed.', 1, 0, 10_000),
  },
  'How much of the traffic may be retries, per class of operations and for the whole process.',
);

const breaker = section(
  {
    failure_ratio: number('Opens at this share of failures, or more.', 0.5, 0.01, 1),
    min_requests: integer('Opens with at least this many outcomes; at most `last`.', 10, 1, 1000),
    last: integer('How many outcomes count.', 20, 1, 1000),
    window: duration('How old they may be.', '60s', '1s', '1h'),
    open_for: duration(
      'How long it stays open before a probe; with `fail` this doubles each time.',
      '30s',
      '1ms',
      '1h',
    ),
    max_open_for: duration('The longest it stays open; at least `open_for`.', '5m', '1ms', '24h'),
    half_open_probes: integer('Calls that must succeed to close it, and how many of them run at once.', 2, 1, 100),
    when_open: choice('What a call does that meets it open: `fail` with 503 at once, or `wait`.', 'fail', [
      'fail',
      'wait',
    ]),
    max_wait: duration('With `wait`, the longest wait; unset, the deadline alone.', null, '0s', '24h'),
  },
  'The circuit breaker of each endpoint (docs/layers/breaker.md).',
);

const pacing = section(
  {
    enabled: flag('Calls go at the pace that the quota of their token allows.', true),
    max_wait: duration('The longest wait for a slot; a longer one is refused at once.', '60s', '0s', '24h'),
    reserve: number('The share of each window that is kept for calls of Priority u=0 to u=2.', 0, 0, 1),
  },
  'Pacing by the rate limit (docs/layers/pacing.md).',
);

const DERIVE = 'a list of JSONata expressions over the request body, such as [external_id, email]';

const idempotency = section(
  {
    ttl: duration('How long a finished call with an Idempotency-Key is replayed.', '24h', '1m', '30d'),
    wait: duration('How long a second call waits for the first under the same key; then 409.', '45s', '0s', '1h'),
    hold: duration(
      'How long a create whose caller got no answer waits for that caller to send it again.',
      '10m',
      '0s',
      '24h',
    ),
    require: flag('Writes without an Idempotency-Key are refused with 400.', false),
    derive: key(
      z.array(textValue(DERIVE), { error: DERIVE }).min(1, { error: DERIVE }).max(10, { error: DERIVE }),
      'Makes the key for callers that send none, of these parts of the body; a missing part means no key.',
      null,
    ),
  },
  'One operation per Idempotency-Key, and holds for lost answers (docs/layers/idempotency.md).',
);

const DEAD_REASONS = ['exhausted', 'permanent', 'unknown', 'interrupted', 'refused'] as const;
const REASONS = `a list of ${DEAD_REASONS.join(', ')}`;

const deadLetterKeys = {
  on: key(
    listOf(word(DEAD_REASONS), DEAD_REASONS.length, REASONS),
    'The endings that are kept; an empty list keeps nothing.',
    DEAD_REASONS,
  ),
  writes_only: flag('Calls that only read are not kept.', true),
};
const DEAD_LETTER = 'Which calls that failed for good are kept as dead letters (docs/dead-letters.md).';
const deadLetter = section(deadLetterKeys, DEAD_LETTER);

/** The section of a row: the word `never` stands for an empty list. */
export const rowDeadLetter = key(
  z.union([z.literal('never'), z.strictObject(deadLetterKeys)], {
    error: 'never, or a section such as { on: [exhausted, unknown] }',
  }),
  `${DEAD_LETTER} \`never\`: none.`,
);

/** The sections of a policy. */
export const policySections = {
  timeout,
  retry,
  retry_budget: retryBudget,
  breaker,
  pacing,
  idempotency,
  dead_letter: deadLetter,
};
