import { describe, expect, test } from 'vitest';
import { linesOf, load, settingsOf } from './load-harness.ts';

describe('one clear line for each fault, with line, column, value, what is allowed and what was meant', () => {
  test.each<[string, string, string]>([
    ['an unknown key', 'upstrem: {}', '1:1: upstrem: unknown key; did you mean upstream?'],
    ['an unknown key like none', 'frobnicate: 1', 'frobnicate: unknown key; allowed: version, listen, mode'],
    ['one inside a section', 'limits:\n  in_fligth: 3', '2:3: limits.in_fligth: unknown key; did you mean in_flight?'],
    ['one inside a union', 'clients: { tokn_file: x }', 'clients.tokn_file: unknown key; did you mean token_file?'],
    [
      'one inside a condition',
      'endpoints:\n  - match: GET /me\n    errors:\n      - { when: { status: 404, cod: x }, verdict: ok }',
      '4:32: endpoints[0].errors[0].when.cod: unknown key; did you mean code?',
    ],
    ['a key of the prototype', '__proto__: 1', '__proto__: unknown key'],
    [
      'a bad duration',
      'defaults: { timeout: { total: 5 } }',
      '1:31: defaults.timeout.total: not allowed; got 5; allowed: a duration from 1ms to 24h',
    ],
    [
      'a duration out of bounds',
      'defaults: { retry: { base_delay: 2d } }',
      'got 2d; allowed: a duration from 1ms to 1h',
    ],
    [
      'a retry budget’s window beyond what is counted',
      'defaults: { retry_budget: { window: 2m } }',
      'got 2m; allowed: a duration from 1s to 60s',
    ],
    ['a bad size', 'limits: { error_body: 5MB }', 'got 5MB; allowed: a size from 1KiB to 16MiB'],
    ['a ratio beyond 1', 'defaults: { retry_budget: { ratio: 20 } }', 'got 20; allowed: a number from 0 to 1'],
    ['a word that is none', 'mode: observ', '1:7: mode: not allowed; got observ; allowed: one of enforce, observe'],
    ['a number for an address', 'listen: 8080', '1:9: listen: not allowed; got 8080; allowed: host:port'],
    ['a list for a section', 'upstream: [1]', '1:11: upstream: not allowed; allowed: a section'],
    ['a text for the whole file', 'hello', '1:1: not allowed'],
    [
      'a wrong region',
      'upstream: { region: us-east }',
      'upstream.region: not allowed; got us-east; allowed: one of us, eu, au',
    ],
    [
      'both url and region',
      'upstream: { url: https://a.example, region: eu }',
      '1:45: upstream.region: names a host that upstream.url names already',
    ],
    [
      'a path in the url',
      'upstream: { url: https://a.example/v2 }',
      '1:18: upstream.url: holds a path, a query or a fragment; got https://a.example/v2',
    ],
    ['a query in the url', 'upstream: { url: "https://a.example?" }', 'holds a path, a query or a fragment'],
    ['a password in the url', 'upstream: { url: "https://u:secret@a.example" }', 'got "https://[redacted]@a.example"'],
    ['a url that is none', 'upstream: { url: api.intercom.io }', 'upstream.url: is no http or https URL'],
    ['a proxy that is none', 'upstream: { proxy: "socks5://x:1" }', '1:20: upstream.proxy: is no http or https URL'],
    [
      'a missing match',
      'endpoints: [{ class: read }]',
      '1:13: endpoints[0].match: is required; allowed: a method (or *)',
    ],
    ['a bad match', 'endpoints: [{ match: contacts }]', 'endpoints[0].match: is no request line; got contacts'],
    [
      'the same row twice',
      "endpoints: [{ match: 'GET /x/{a}' }, { match: 'GET /x/{b}' }]",
      'endpoints[1].match: is the row of endpoints[0] once more',
    ],
    [
      'an empty condition',
      'endpoints: [{ match: GET /me, errors: [{ when: {}, verdict: ok }] }]',
      'allowed: at least one of status',
    ],
    [
      'a status that is none',
      'endpoints: [{ match: GET /me, errors: [{ when: { status: 6xx }, verdict: ok }] }]',
      'got 6xx; allowed: a status (409)',
    ],
    [
      'a pattern that is none',
      "endpoints: [{ match: GET /me, errors: [{ when: { body: '(a' }, verdict: ok }] }]",
      'endpoints[0].errors[0].when.body: Invalid regular expression',
    ],
    [
      'a dangerous pattern',
      "endpoints: [{ match: GET /me, errors: [{ when: { body: '(a+)+b' }, verdict: ok }] }]",
      'can backtrack without end',
    ],
    [
      'an unknown profile',
      'profile: sequencr',
      '1:10: profile: no such profile; got sequencr; allowed: standard, crm, sequencer, realtime',
    ],
    [
      'a breaker that would never open',
      'profiles: { slow: { breaker: { min_requests: 30 } } }',
      'profiles.slow.breaker.min_requests: is more than `last`: it would never open; got 30; allowed: at most 20',
    ],
    [
      'a breaker that opens for longer than the longest',
      'endpoints: [{ match: GET /me, breaker: { open_for: 1h } }]',
      'endpoints[0].breaker.open_for: is longer than max_open_for; got 1h',
    ],
    [
      'a breaker of the host that does',
      'upstream: { breaker: { open_for: 5m } }',
      '1:34: upstream.breaker.open_for: is longer than max_open_for (30s); got 5m',
    ],
    ['one in a row', 'endpoints: [{ match: GET /me, profile: crn }]', 'did you mean crm?'],
    ['a profile with a bad name', 'profiles: { "a b": {} }', 'profiles.a b: not a name; got a b'],
    ['half a TLS', 'tls: { cert_file: c.pem }', 'tls: key_file is missing'],
    [
      'a condition that is none',
      "endpoints: [{ match: POST /x, idempotent_if: 'a and' }]",
      'endpoints[0].idempotent_if: is not valid JSONata',
    ],
    [
      'a condition that asks the time',
      "endpoints: [{ match: POST /x, guarded_by: '$now() > x' }]",
      'must not use $now',
    ],
    [
      'a template that names no part',
      "endpoints: [{ match: 'DELETE /x/{id}', answer: { a: '{ident}' } }]",
      'endpoints[0].answer.a: names no part of the path',
    ],
    ['broken YAML', 'listen: [1', '1:11: Flow sequence in block collection'],
    ['a tab', 'upstream:\n\tproxy: x', '2:1: '],
    ['a key twice', 'mode: enforce\nmode: observe', '2:1: Map keys must be unique'],
    ['two documents', 'mode: enforce\n---\nmode: observe', 'Source contains multiple documents'],
    [
      'a variable that is not set',
      'mode: ${MODE}',
      '1:7: the environment variable MODE is not set; allowed: ${MODE:-default}',
    ],
    ['a variable without quotes in { }', 'log: { level: ${LEVEL} }', 'allowed: quotes around "${NAME}"'],
    [
      'an unreadable file',
      'tls: { cert_file: gone.pem, key_file: gone.key }',
      '1:19: tls.cert_file: names a file that cannot be read: there is no such file; got gone.pem',
    ],
    [
      'a credential variable that is not set',
      'upstream: { credentials: { bearer_env: TOKEN } }',
      'upstream.credentials.bearer_env: names an environment variable that is not set; got TOKEN',
    ],
  ])('%s', async (_, yaml, line) => {
    const result = await load(yaml);
    expect(result.ok).toBe(false);
    const lines = await linesOf(yaml);
    expect(lines.join('\n')).toContain(line);
    for (const each of lines) expect(each).not.toContain('\n');
  });

  test('a configuration file that is not there', async () => {
    const { loadSettings } = await import('../../src/config/load.ts');
    const { readFile } = await import('node:fs/promises');
    const result = await loadSettings({
      file: '/nowhere/x.yaml',
      env: {},
      flags: {},
      readFile: (f) => readFile(f, 'utf8'),
    });
    expect(result).toMatchObject({
      ok: false,
      faults: [{ message: 'cannot be read: there is no such file', source: '/nowhere/x.yaml' }],
    });
  });
});

test('all faults are found in one run, in the order of the file', async () => {
  const yaml = `
listen: 0.0.0.0:8080
upstream: { credentials: { bearer_env: NOPE }, conections: 4 }
defaults: { retry: { max_retries: lots } }
profile: crn
endpoints:
  - match: GET /me
    timeot: {}
  - match: POST /contacts/{id}/notes
    errors:
      - { when: { status: 500 }, verdict: transient }
      - { when: { status: 422, message: '(a+)+b' }, verdict: permanent }
log: { level: '\${NOLEVEL}' }
`;
  const { faults } = await load(yaml);
  expect(faults.map(({ line, path }) => `${line} ${path}`)).toEqual([
    '2 listen',
    '3 upstream.credentials.bearer_env',
    '3 upstream.conections',
    '4 defaults.retry.max_retries',
    '5 profile',
    '8 endpoints[0].timeot',
    '11 endpoints[1].errors[0].verdict',
    '12 endpoints[1].errors[1].when.message',
    '13 ',
  ]);
});

describe('a start is refused', () => {
  test('with an admin plane beyond loopback and no token', async () => {
    const yaml = 'admin: { listen: 0.0.0.0:8081 }';
    expect(await linesOf(yaml)).toEqual([
      expect.stringContaining('1:18: admin.listen: is not on loopback, and there is no admin token'),
    ]);
    expect((await settingsOf(yaml, { env: { HOLDFAST_ADMIN_TOKEN: 't0ken' } })).admin.token).toBe('t0ken');
  });

  test('with own credentials behind a listener beyond loopback, unless clients is written out', async () => {
    const env = { TOKEN: 'x' };
    const yaml = 'listen: 0.0.0.0:1\nupstream: { credentials: { bearer_env: TOKEN } }\n';
    expect(await linesOf(yaml, { env })).toEqual([
      expect.stringContaining('listen: lets everyone who reaches it use the credentials'),
    ]);
    expect((await settingsOf(`${yaml}clients: open`, { env })).clients).toEqual({ kind: 'open' });
    const files = { '/etc/clients': 'secret\n' };
    expect((await settingsOf(`${yaml}clients: { token_file: clients }`, { env, files })).clients).toEqual({
      kind: 'token_file',
      file: '/etc/clients',
    });
  });

  test.each([
    ['{ status: 500 }', true],
    ['{ status: 5xx }', true],
    ['{ status: [404, 504] }', true],
    ['{ status: 408 }', true],
    ['{ message: again }', true],
    ['{ failure: reset }', true],
    ['{ status: 404 }', false],
    ['{ status: [429, 503] }', false],
    ['{ failure: [connect, dns] }', false],
  ])('§2: by a create that is repeated on %s without any way to know: %j', async (when, refused) => {
    const row = (more: string): string =>
      `endpoints:\n  - match: POST /messages\n    errors: [{ when: ${when}, verdict: transient }]\n${more}`;
    const blind = expect.stringContaining('endpoints[0].errors[0].verdict: asks for a repeat of a create');
    expect(await linesOf(row(''))).toEqual(refused ? [blind] : []);
    expect(await linesOf(row('    guarded_by: $boolean(external_id)\n'))).toEqual([]);
    expect(await linesOf(row('    class: idempotent\n'))).toEqual([]);
    expect(await linesOf(row('').replace('transient', 'permanent'))).toEqual([]);
  });

  test('by a token that no header can carry, or an empty one', async () => {
    const files = { '/etc/empty': '\n', '/etc/two': 'a b' };
    expect(await linesOf('admin: { token_file: empty }', { files })).toEqual([
      expect.stringContaining('holds no token'),
    ]);
    const [line] = await linesOf('upstream: { credentials: { bearer_file: two } }', { files });
    expect(line).toContain('holds a token with spaces');
    expect(line).not.toContain('a b');
  });
});

describe('warnings hinder nothing', () => {
  test.each([
    ['endpoints: [{ match: GET /contct }]', 'is no operation of the shipped map'],
    ["endpoints: [{ match: GET /me, idempotent_if: 'a' }]", 'has no effect: the class of the row is read'],
    ['endpoints: [{ match: POST /messages, guarded_for: 5m }]', 'has no effect without guarded_by'],
    ['upstream: { url: http://api.intercom.io }', 'sends tokens to Intercom in clear'],
  ])('%s', async (yaml, message) => {
    const result = await load(yaml);
    expect(result.ok).toBe(true);
    expect(result.faults).toEqual([
      expect.objectContaining({ severity: 'warning', message: expect.stringContaining(message) as unknown }),
    ]);
  });
});
