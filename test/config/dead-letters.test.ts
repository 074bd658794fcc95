import { describe, expect, test } from 'vitest';
import { validate } from '../../src/config/validate.ts';
import { linesOf, load, settingsOf } from './load-harness.ts';

const ALL = ['exhausted', 'permanent', 'unknown', 'interrupted', 'refused'];
const HOOK = 'https://hooks.slack.com/services/T0/B0/planted-secret';

async function keptBy(yaml: string | null, method = 'POST', path = '/contacts'): Promise<string[]> {
  return [...(await settingsOf(yaml)).match(method, path).policy.deadLetter.on];
}

describe('§9: what is kept', () => {
  test('every ending of a write, unless the file says otherwise', async () => {
    expect(await keptBy(null)).toEqual(ALL);
    const { deadLetters, redrive } = await settingsOf(null);
    expect(deadLetters).toEqual({
      retainMs: 30 * 86_400_000,
      maxEntries: 100_000,
      maxBytes: 2 ** 30,
      autoRedrive: false,
    });
    expect(redrive).toEqual({ velocity: 0.1, maxAgeMs: 86_400_000 });
  });

  test('defaults, profile and row lie over each other, and an empty list keeps nothing', async () => {
    expect(await keptBy('defaults: { dead_letter: { on: [unknown] } }')).toEqual(['unknown']);
    expect(await keptBy('profiles: { crm: { dead_letter: { on: [] } } }\nprofile: crm')).toEqual([]);
    const row =
      'defaults: { dead_letter: { on: [unknown] } }\nendpoints: [{ match: POST /contacts, dead_letter: { on: [refused] } }]';
    expect(await keptBy(row)).toEqual(['refused']);
    expect(await keptBy(row, 'POST', '/tags')).toEqual(['unknown']);
  });

  test('`never` on a row keeps nothing, and a stronger row takes it back', async () => {
    const never =
      "endpoints: [{ match: '* /contacts', dead_letter: never }, { match: POST /contacts, dead_letter: { on: [refused] } }]";
    expect(await keptBy('endpoints: [{ match: POST /contacts, dead_letter: never }]')).toEqual([]);
    expect(await keptBy(never)).toEqual(['refused']);
    expect((await settingsOf(never)).match('POST', '/contacts').policy.deadLetter.writesOnly).toBe(true);
  });

  test('the shipped map never keeps a 404 and a 409 conflict of a live caller', async () => {
    const { match } = await settingsOf(null);
    const never = match('POST', '/contacts').policy.errors.filter(({ deadLetter }) => deadLetter === 'never');
    expect(never.map(({ reason }) => reason)).toEqual([
      'archived_contact_exists',
      'contact_exists',
      'ambiguous_contact',
      'conflict',
      'not_found',
    ]);
  });

  test.each([
    [
      'a reason that is none',
      'defaults: { dead_letter: { on: [lost] } }',
      '1:33: defaults.dead_letter.on[0]: not allowed; got lost; allowed: one of exhausted',
    ],
    [
      'another word',
      'endpoints: [{ match: GET /me, dead_letter: always }]',
      '1:44: endpoints[0].dead_letter: not allowed; got always; allowed: never, or a section',
    ],
    [
      'an unknown key of a row',
      'endpoints: [{ match: GET /me, dead_letter: { onn: [] } }]',
      'endpoints[0].dead_letter.onn: unknown key; did you mean on?',
    ],
    ['a velocity beyond the quota', 'redrive: { velocity: 2 }', '1:22: redrive.velocity: not allowed; got 2'],
    ['a retention of nothing', 'dead_letters: { retain: 1s }', '1:25: dead_letters.retain: not allowed; got 1s'],
    [
      'a label that is no key',
      'telemetry: { context_labels: [Work Flow] }',
      'telemetry.context_labels[0]: not allowed',
    ],
  ])('%s is a fault with its place', async (_, yaml, line) => {
    expect((await linesOf(yaml)).join('\n')).toContain(line);
  });
});

describe('§9: notification targets', () => {
  test('take the defaults of their declaration', async () => {
    const { notify } = await settingsOf(`notify: [{ url: '${HOOK}' }]`);
    expect(notify).toEqual([
      {
        name: 'notify[0]',
        url: HOOK,
        proxy: null,
        on: new Set(['dead_letter', 'breaker_open', 'errors', 'credentials']),
        afterMs: 60_000,
        intervalMs: 300_000,
        errorRatio: 0.25,
      },
    ]);
  });

  test('read their URL from a file, or from the environment', async () => {
    const { notify } = await settingsOf("notify:\n  - { url_file: hook }\n  - { url: '${SLACK}' }", {
      env: { SLACK: `${HOOK}2`, HTTPS_PROXY: 'http://proxy:3128' },
      files: { '/etc/hook': `${HOOK}\n` },
    });
    expect(notify.map(({ url }) => url)).toEqual([HOOK, `${HOOK}2`]);
    expect(notify[0]?.proxy).toBe('http://proxy:3128');
  });

  test('a change of the webhook changes the hash of the configuration, and is shown nowhere', async () => {
    const first = await settingsOf(`notify: [{ url: '${HOOK}' }]`);
    const second = await settingsOf(`notify: [{ url: '${HOOK}x' }]`);
    expect(first.hash).not.toBe(second.hash);
    expect(JSON.stringify(first.shown)).not.toContain('planted-secret');
    expect(first.shown).toMatchObject({ notify: [{ url: '[set]' }] });
  });

  test.each([
    [
      'no URL',
      'notify: [{ url: hooks.slack.com/planted-secret }]',
      '1:17: notify[0].url: is no URL of a webhook; allowed: an http or https URL',
    ],
    ['a word for an entry', `notify: ['${HOOK}']`, '1:10: notify[0]: not allowed; allowed: an entry such as'],
    ['neither url nor file', 'notify: [{ after: 5s }]', 'notify[0]: names no webhook; allowed: url, or url_file'],
    [
      'both',
      `notify: [{ url: '${HOOK}', url_file: hook }]`,
      'notify[0].url_file: names a webhook that `url` names already',
    ],
    [
      'a file that is not there',
      'notify: [{ url_file: gone }]',
      'notify[0].url_file: names a file that cannot be read: there is no such file',
    ],
    ['a file without a URL', 'notify: [{ url_file: hook }]', 'notify[0].url_file: names a file that holds no URL'],
    [
      'a topic that is none',
      `notify: [{ url: '${HOOK}', on: [dead_leter] }]`,
      'notify[0].on[0]: not allowed; allowed: one of dead_letter',
    ],
  ])('%s is a fault that keeps the secret', async (_, yaml, line) => {
    const lines = (await linesOf(yaml, { files: { '/etc/hook': 'planted-secret' } })).join('\n');
    expect(lines).toContain(line);
    expect(lines).not.toContain('planted-secret');
    expect((await load(yaml)).ok).toBe(false);
  });

  test('the declaration accepts what the page shows', () => {
    const nowhere = { source: 'x', line: null, column: null, got: null };
    const written = { notify: [{ url: HOOK, on: ['errors'], after: '5m', interval: '1h', error_ratio: 0.5 }] };
    expect(validate(written, { placeOf: () => nowhere, placeOfKey: () => nowhere }).faults).toEqual([]);
  });
});
