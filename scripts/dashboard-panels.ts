/** What the Grafana dashboard shows; scripts/generate-dashboard.ts makes the file of it. */

import { ALL, AT, health, lines, type Panel, query, rate, row, STACKED, stat } from './dashboard-panel.ts';

const now: readonly Panel[] = [
  stat(
    'Error rate',
    'percentunit',
    `(sum(${rate(`holdfast_requests_total{${AT}, status=~"429|5.."}`)}) or vector(0)) / sum(${rate(`holdfast_requests_total{${AT}}`)})`,
    [0.02, 0.1],
  ),
  stat('Calls', 'reqps', `sum(${rate(`holdfast_requests_total{${AT}}`)})`),
  stat(
    'Retries per call',
    'percentunit',
    `(sum(${rate(`holdfast_retries_total{${AT}}`)}) or vector(0)) / sum(${rate(`holdfast_requests_total{${AT}}`)})`,
    [0.05, 0.2],
  ),
  stat('Open circuits', 'none', `sum(holdfast_breaker_state{${AT}} == bool 2) or vector(0)`, [1, 3]),
  stat(
    'Quota used',
    'percentunit',
    `max(1 - holdfast_quota_remaining{${ALL}} / holdfast_quota_limit{${ALL}})`,
    [0.9, 1],
  ),
  stat('Waiting', 'none', `sum(holdfast_waiting{${ALL}})`, [100, 10_000]),
  stat('Dead letters', 'none', `sum(holdfast_dead_letters{${ALL}, state="dead"})`, [1, 50]),
  stat('Oldest in the queue', 's', `max(holdfast_queue_oldest_age_seconds{${ALL}})`, [3600, 43_200]),
];

const calls: readonly Panel[] = [
  lines(
    'Error rate per endpoint, over throughput',
    'percentunit',
    [
      query(
        `sum by (endpoint) (${rate(`holdfast_requests_total{${AT}, status=~"429|5.."}`)}) / sum by (endpoint) (${rate(`holdfast_requests_total{${AT}}`)})`,
        '{{endpoint}}',
      ),
      query(`sum(${rate(`holdfast_requests_total{${AT}}`)})`, 'calls'),
    ],
    {
      description: 'Lines: answers of 429 and 5xx after all retries, as a share. Area: all calls per second.',
      width: 16,
      overrides: [
        {
          matcher: { id: 'byName', options: 'calls' },
          properties: [
            { id: 'unit', value: 'reqps' },
            { id: 'custom.axisPlacement', value: 'right' },
            { id: 'custom.fillOpacity', value: 15 },
            { id: 'custom.lineWidth', value: 0 },
            { id: 'color', value: { mode: 'fixed', fixedColor: 'gray' } },
          ],
        },
      ],
    },
  ),
  lines(
    'Answers by status',
    'reqps',
    [query(`sum by (status) (${rate(`holdfast_requests_total{${AT}}`)})`, '{{status}}')],
    {
      width: 8,
      custom: STACKED,
    },
  ),
  lines(
    'Duration of calls against the upstream’s own',
    's',
    [0.5, 0.95, 0.99].flatMap((quantile) =>
      [
        ['request', 'call'],
        ['attempt', 'upstream'],
      ].map(([what, name]) =>
        query(
          `histogram_quantile(${quantile}, sum by (le) (${rate(`holdfast_${what}_duration_seconds_bucket{${AT}}`)}))`,
          `p${quantile * 100} ${name}`,
        ),
      ),
    ),
    { description: 'What lies between call and upstream is waiting and trying again.', width: 16 },
  ),
  lines(
    'p95 per endpoint',
    's',
    [
      query(
        `histogram_quantile(0.95, sum by (le, endpoint) (${rate(`holdfast_request_duration_seconds_bucket{${AT}}`)}))`,
        '{{endpoint}}',
      ),
    ],
    { width: 8 },
  ),
  lines(
    'Calls per context label',
    'reqps',
    [query(`sum by (key, value) (${rate(`holdfast_context_requests_total{${ALL}}`)})`, '{{key}}={{value}}')],
    { description: 'The keys of Holdfast-Context that telemetry.context_labels names.', custom: STACKED },
  ),
  lines(
    'Failed calls per context label',
    'reqps',
    [
      query(
        `sum by (key, value) (${rate(`holdfast_context_requests_total{${ALL}, verdict!="ok"}`)})`,
        '{{key}}={{value}}',
      ),
    ],
    { custom: STACKED },
  ),
];

const retries: readonly Panel[] = [
  lines(
    'Retries by reason',
    'reqps',
    [query(`sum by (reason) (${rate(`holdfast_retries_total{${AT}}`)})`, '{{reason}}')],
    {
      custom: STACKED,
    },
  ),
  lines(
    'Not sent again, by why not',
    'reqps',
    [query(`sum by (reason) (${rate(`holdfast_retries_withheld_total{${AT}}`)})`, '{{reason}}')],
    { description: 'not_repeatable: a create that may have been applied.', custom: STACKED },
  ),
  lines(
    'Attempts by verdict',
    'reqps',
    [query(`sum by (verdict) (${rate(`holdfast_attempts_total{${AT}}`)})`, '{{verdict}}')],
    { width: 8, custom: STACKED },
  ),
  lines(
    'Lost creates looked for, and what was found',
    'reqps',
    [query(`sum by (result) (${rate(`holdfast_reconciliations_total{${AT}}`)})`, '{{result}}')],
    { width: 8, custom: STACKED },
  ),
  lines(
    'Idempotency',
    'reqps',
    [query(`sum by (result) (${rate(`holdfast_idempotency_total{${AT}}`)})`, '{{result}}')],
    { width: 8, custom: STACKED },
  ),
];

const breakers: readonly Panel[] = [
  {
    type: 'state-timeline',
    title: 'Circuit breakers',
    description: 'host is the whole upstream. An open circuit that nobody calls stays open until a call probes.',
    queries: [query(`max by (endpoint) (holdfast_breaker_state{${AT}})`, '{{endpoint}}')],
    width: 16,
    height: 8,
    defaults: {
      mappings: [
        {
          type: 'value',
          options: {
            0: { text: 'closed', color: 'green', index: 0 },
            1: { text: 'half-open', color: 'orange', index: 1 },
            2: { text: 'open', color: 'red', index: 2 },
          },
        },
      ],
    },
  },
  lines(
    'Trips',
    'none',
    [
      query(
        `sum by (endpoint) (increase(holdfast_breaker_transitions_total{${AT}, to="open"}[$__rate_interval]))`,
        '{{endpoint}}',
      ),
    ],
    { width: 8, custom: { drawStyle: 'bars', fillOpacity: 60 } },
  ),
];

const quota: readonly Panel[] = [
  lines(
    'Quota used and left, per token',
    'none',
    [
      query(`holdfast_quota_limit{${ALL}} - holdfast_quota_remaining{${ALL}}`, 'used {{token}}'),
      query(`holdfast_quota_remaining{${ALL}}`, 'left {{token}}'),
      query(`holdfast_quota_foreign{${ALL}}`, 'used by others {{token}}'),
    ],
    { width: 8, description: 'In the window that runs (10 s). Used by others: who else has this token?' },
  ),
  lines(
    'Waits for a slot, p95 by priority',
    's',
    [
      query(
        `histogram_quantile(0.95, sum by (le, priority) (${rate(`holdfast_pacing_wait_seconds_bucket{${ALL}}`)}))`,
        'u={{priority}}',
      ),
    ],
    { width: 8, description: 'Only of the calls that waited.' },
  ),
  lines(
    'Calls inside',
    'none',
    [
      query(`sum(holdfast_in_flight{${ALL}})`, 'worked on'),
      query(`sum(holdfast_waiting{${ALL}})`, 'waiting'),
      query(`sum(${rate(`holdfast_shed_total{${ALL}}`)})`, 'shed per second'),
    ],
    { width: 8 },
  ),
  lines(
    '429s of the upstream',
    'reqps',
    [query(`sum by (endpoint) (${rate(`holdfast_throttled_total{${AT}}`)})`, '{{endpoint}}')],
    {
      width: 8,
      description: 'With pacing the exception.',
    },
  ),
  lines(
    'Pauses, seconds left',
    's',
    [query(`clamp_min(holdfast_paused_until_seconds{${ALL}} - time(), 0)`, '{{token}}')],
    { width: 8 },
  ),
  lines(
    'Errors that no map names',
    'none',
    [
      query(
        `sum by (endpoint, status) (increase(holdfast_unmapped_errors_total{${AT}}[$__rate_interval]))`,
        '{{endpoint}} {{status}}',
      ),
    ],
    { width: 8, description: 'The log has the entry to paste: event unmapped_error.' },
  ),
];

const dead: readonly Panel[] = [
  lines(
    'New dead letters by cause',
    'none',
    [query(`sum by (cause) (increase(holdfast_dead_letters_total{${AT}}[$__rate_interval]))`, '{{cause}}')],
    { width: 8, custom: { ...STACKED, drawStyle: 'bars' } },
  ),
  lines('Dead letters kept, by state', 'none', [query(`sum by (state) (holdfast_dead_letters{${ALL}})`, '{{state}}')], {
    width: 8,
    custom: STACKED,
  }),
  lines(
    'Queue',
    'none',
    [
      query(`sum(holdfast_queue_depth{${ALL}})`, 'calls'),
      query(`max(holdfast_queue_oldest_age_seconds{${ALL}})`, 'age of the oldest'),
    ],
    {
      width: 8,
      overrides: [
        {
          matcher: { id: 'byName', options: 'age of the oldest' },
          properties: [
            { id: 'unit', value: 's' },
            { id: 'custom.axisPlacement', value: 'right' },
          ],
        },
      ],
    },
  ),
  health('Ledger writable', `min(holdfast_store_healthy{${ALL}})`),
  health('Configuration in force', `min(holdfast_config_last_reload_successful{${ALL}})`),
];

/** In the order of the page: by rows, from the left. */
export const PANELS: readonly Panel[] = [
  ...now,
  row('Calls'),
  ...calls,
  row('Retries, lost creates, idempotency'),
  ...retries,
  row('Circuit breakers'),
  ...breakers,
  row('Quota and waits'),
  ...quota,
  row('Dead letters and queue'),
  ...dead,
];
