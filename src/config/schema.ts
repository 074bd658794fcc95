/** The declaration of the configuration file, key by key. A key enters together with the code that obeys it. */

import { z } from 'zod';
import {
  address,
  choice,
  duration,
  example,
  file,
  integer,
  integerValue,
  key,
  listOf,
  section,
  size,
  structure,
  text,
  textValue,
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
    data: file(
      'Where the ledger lives: one folder per instance, made when it is missing (docs/ledger.md). Default ./data.',
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
  },
  { error: structure('a section: keys and values') },
);

/** The configuration as it was written: nothing filled in, `null` for unset. */
export type ConfigFile = z.infer<typeof configFile>;
/** The sections of a policy as they were written. */
export type PolicySections = z.infer<typeof profile>;
