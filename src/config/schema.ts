/** The declaration of the configuration file, key by key. A key enters together with the code that obeys it. */

import { z } from 'zod';
import {
  address,
  choice,
  duration,
  example,
  file,
  flag,
  integer,
  integerValue,
  key,
  listOf,
  number,
  section,
  size,
  structure,
  text,
  textValue,
  word,
} from './keys.ts';
import { REGIONS } from './regions.ts';
import { policySections } from './schema-policy.ts';
import { endpointRow } from './schema-rows.ts';

const CREDENTIALS = 'passthrough, { bearer_file: F } or { bearer_env: NAME }';
const credentials = z.union(
  [
    z.literal('passthrough'),
    z.strictObject({ bearer_file: textValue('the path of a file') }),
    z.strictObject({ bearer_env: textValue('the name of an environment variable', /^[A-Za-z_][A-Za-z0-9_]{0,127}$/) }),
  ],
  { error: CREDENTIALS },
);

const clientAccess = z.union([z.literal('open'), z.strictObject({ token_file: file('The token, in a file.') })], {
  error: 'open, or { token_file: F }',
});

const upstream = section(
  {
    url: text('Scheme, host and port of the API, without a path.', REGIONS.us, 'a URL such as https://api.intercom.io'),
    region: example(choice('One of Intercom’s regions, instead of `url`.', null, ['us', 'eu', 'au']), 'eu'),
    connections: integer('Connections to the upstream, and so calls on the wire at once.', 128, 1, 10_000),
    proxy: text(
      'An HTTP proxy for the way to the upstream; when unset, HTTPS_PROXY and NO_PROXY decide.',
      null,
      'a URL such as http://proxy:3128',
    ),
    ca_file: file('Certificate authorities to trust for the upstream, PEM, besides the built-in ones.'),
    breaker: section(
      {
        failures: integer('Opens after this many connection-level failures with no answer between.', 5, 1, 1000),
        window: duration('How old they may be.', '10s', '100ms', '1h'),
        open_for: duration('How long it stays open before a probe; this doubles each time.', '1s', '1ms', '1h'),
        max_open_for: duration('The longest it stays open; at least `open_for`.', '30s', '1ms', '24h'),
      },
      'The circuit breaker of the whole host, for when nothing answers there: DNS, TCP, TLS (docs/layers/breaker.md).',
    ),
    credentials: key(
      credentials,
      'Whose token goes to the upstream: the caller’s, or one of our own from a file or variable.',
      'passthrough',
    ),
  },
  'Where the API is and how it is reached.',
);

const limits = section(
  {
    in_flight: integer('Calls being worked on at once; beyond it 503.', 1024, 1, 1_000_000),
    waiting: integer(
      'Calls that wait: for a slot, at a breaker, for the retry budget. They count here, not in `in_flight`; beyond it 503.',
      20_000,
      0,
      1_000_000,
    ),
    per_endpoint: key(
      integerValue(1, 1_000_000),
      'Calls of one endpoint at once; more wait their turn. Unset, no such limit (docs/layers/bulkhead.md).',
      null,
    ),
    request_body: size('The largest request body; beyond it 413.', '20MiB', '1B', '64GiB'),
    buffered: size(
      'All bodies held in memory together; beyond it new ones stream, or are refused with 503.',
      '64MiB',
      '64KiB',
      '64GiB',
    ),
    repeatable_body: size(
      'The largest request body that is kept for a retry; a larger one streams and is sent once.',
      '1MiB',
      '0B',
      '1GiB',
    ),
    error_body: size('How much of an error is read in order to classify it.', '64KiB', '1KiB', '16MiB'),
    stored_answer: size('The largest answer that is held until it is known to be whole.', '1MiB', '1KiB', '1GiB'),
  },
  'Sizes and counts of the whole process.',
);

const profile = z.strictObject(policySections, { error: structure('a profile: sections such as retry, timeout') });
const profileName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

const TARGET = 'an entry such as { url: https://hooks.slack.com/services/…, on: [dead_letter, breaker_open] }';
const TOPICS = ['dead_letter', 'breaker_open', 'errors', 'credentials'] as const;

const notifyTarget = z.strictObject(
  {
    // Not narrower here: a fault would show what was given.
    url: key(z.string({ error: 'a URL' }), 'The webhook: http or https, Slack-shaped JSON is posted there. A secret.'),
    url_file: file('The webhook’s URL, in a file, instead of `url`.'),
    on: key(listOf(word(TOPICS), TOPICS.length, `a list of ${TOPICS.join(', ')}`), 'What it is told.', TOPICS),
    after: duration('How long a breaker must be open, or errors last, before it is told.', '60s', '1s', '24h'),
    interval: duration('One message per group in this time.', '5m', '10s', '24h'),
    error_ratio: number('Share of failed calls, of 20 or more, that counts as errors.', 0.25, 0.01, 1),
  },
  { error: structure(TARGET) },
);

const contextKey = textValue('a key of Holdfast-Context, such as workflow', /^[a-z*][a-z0-9_.*-]{0,63}$/);

/** The configuration file. */
export const configFile = z.strictObject(
  {
    version: key(z.literal(1, { error: '1' }), 'The version of this format.', 1),
    listen: address('Where clients reach the proxy.', '127.0.0.1:8080'),
    mode: choice('`observe` classifies, counts and logs what would be done, and changes nothing.', 'enforce', [
      'enforce',
      'observe',
    ]),
    admin: section(
      {
        listen: address('Where health, metrics and the API are served.', '127.0.0.1:8081'),
        token_file: file('The admin token, in a file; needed when `listen` is not on loopback.'),
      },
      'The admin plane.',
    ),
    clients: key(
      clientAccess,
      'Who may use the proxy: `open`, or whoever sends the token of a file in Holdfast-Authorization. Unset is open, and refused where strangers could use our credentials.',
      null,
    ),
    tls: section(
      { cert_file: file('The certificate chain, PEM.'), key_file: file('Its private key, PEM.') },
      'TLS for the proxy’s listener; plain HTTP when unset.',
    ),
    upstream,
    data: file('The folder of the ledger, one per instance, made when it is missing (docs/ledger.md). Default ./data.'),
    data_key_file: file(
      'The key that seals what the ledger holds, 32 bytes. Unset: holdfast.key in `data`, made at the first start.',
    ),
    limits,
    defaults: section(policySections, 'What every endpoint inherits; a profile or a row overrides any part.'),
    profiles: example(
      key(
        z.record(textValue('a name of letters, digits, - and _', profileName), profile),
        'Named sets of overrides. Shipped: standard, crm (2s base delay), sequencer (500ms), realtime (200ms, 2 retries), patient (waits through outages, for clients without a timeout).',
      ),
      { crm: { retry: { base_delay: '3s' } } },
    ),
    profile: text('The profile of every endpoint that names no other.', 'standard', 'the name of a profile'),
    endpoints: example(
      key(
        listOf(endpointRow, 2000, 'a list of rows'),
        'Rows of your own, laid over the shipped rows for the same requests (docs/error-maps.md).',
      ),
      [
        {
          match: 'POST /contacts',
          profile: 'crm',
          timeout: { attempt: '20s' },
          errors: [
            { when: { status: 422, message: 'custom attribute' }, verdict: 'permanent', reason: 'bad_attribute' },
          ],
        },
      ],
    ),
    events: section(
      {
        stamp_created_at: flag(
          'POST /events without `created_at` gets the time of the call: Intercom then drops a second sending. The one change that is made to a body.',
          true,
        ),
      },
      'Data events.',
    ),
    dead_letters: section(
      {
        retain: duration('How long they are kept.', '30d', '1h', '3650d'),
        max_entries: integer(
          'How many are kept; beyond it the oldest go, `permanent` ones first.',
          100_000,
          1,
          10_000_000,
        ),
        max_bytes: size('How much room they may take; beyond it the oldest go.', '1GiB', '1MiB', '1024GiB'),
        auto_redrive: flag('A breaker that closes sends again what its open time made.', false),
      },
      'The dead letters of the ledger (docs/dead-letters.md).',
    ),
    redrive: section(
      {
        velocity: number('Share of the token’s quota that a redrive uses.', 0.1, 0.001, 1),
        max_age: duration(
          'Creates that customers see (replies, messages) and are older are not sent again without force.',
          '24h',
          '1m',
          '30d',
        ),
      },
      'How dead letters are sent again, unless a redrive says otherwise.',
    ),
    notify: example(
      key(
        listOf(notifyTarget, 10, 'a list of targets'),
        'Webhooks that are told when somebody should look (docs/notifications.md).',
        [],
      ),
      [{ url: '${SLACK_WEBHOOK}', on: ['dead_letter', 'breaker_open'], after: '60s' }],
    ),
    log: section(
      {
        level: choice('The least severe line that is written.', 'info', [
          'trace',
          'debug',
          'info',
          'warn',
          'error',
          'fatal',
          'silent',
        ]),
        redact: key(
          listOf(textValue('the name of a field'), 100, 'a list of field names'),
          'Further field names whose values never reach the log.',
          [],
        ),
      },
      'The log: JSON lines on standard output.',
    ),
    telemetry: section(
      {
        context_labels: key(
          listOf(contextKey, 5, 'a list of keys of Holdfast-Context, such as [workflow]'),
          'Calls are counted by the values of these keys: holdfast_context_requests_total, 50 values each, the rest as `other`.',
          [],
        ),
      },
      'What is told to monitoring.',
    ),
  },
  { error: structure('a section: keys and values') },
);

/** The configuration as it was written: nothing filled in, `null` for unset. */
export type ConfigFile = z.infer<typeof configFile>;
/** The sections of a policy as they were written. */
export type PolicySections = z.infer<typeof profile>;
