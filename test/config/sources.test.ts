import { describe, expect, test } from 'vitest';
import { linesOf, load, settingsOf } from './load-harness.ts';

async function portsOf(...given: Parameters<typeof settingsOf>): Promise<unknown[]> {
  const { listen, admin, log } = await settingsOf(...given);
  return [listen.port, admin.listen.port, log.level];
}

async function proxyOf(yaml: string, env: Record<string, string>): Promise<string | null> {
  return (await settingsOf(yaml, { env })).upstream.proxy;
}

describe('precedence', () => {
  test('flags beat the environment, the environment beats the file, the file beats the defaults', async () => {
    const yaml = 'listen: 127.0.0.1:1\nadmin: { listen: 127.0.0.1:2 }\nlog: { level: warn }\n';
    const env = { HOLDFAST_LISTEN: '127.0.0.1:11', HOLDFAST_ADMIN_LISTEN: '127.0.0.1:12', HOLDFAST_LOG_LEVEL: 'error' };
    expect(await portsOf(null)).toEqual([8080, 8081, 'info']);
    expect(await portsOf(yaml)).toEqual([1, 2, 'warn']);
    expect(await portsOf(yaml, { env })).toEqual([11, 12, 'error']);
    expect(await portsOf(yaml, { env, flags: { listen: '127.0.0.1:21' } })).toEqual([21, 12, 'error']);
    expect(await portsOf(null, { env, flags: { admin: '127.0.0.1:22' } })).toEqual([11, 22, 'error']);
  });

  test('an upstream from outside takes the place of url and of region', async () => {
    const env = { HOLDFAST_UPSTREAM_URL: 'http://127.0.0.1:9' };
    for (const yaml of ['upstream: { region: eu }', 'upstream: { url: https://a.example }', 'upstream:', '{}']) {
      expect((await settingsOf(yaml, { env })).upstream.origin).toBe('http://127.0.0.1:9');
    }
    expect((await settingsOf('upstream: { region: eu }')).upstream.origin).toBe('https://api.eu.intercom.io');
    expect((await settingsOf('upstream: { url: "HTTPS://A.example:443/" }')).upstream.origin).toBe('https://a.example');
  });

  test('an empty variable is not set', async () => {
    const env = { HOLDFAST_LISTEN: '', HOLDFAST_ADMIN_TOKEN: '', HTTPS_PROXY: '' };
    const settings = await settingsOf(null, { env });
    expect([settings.listen.port, settings.admin.token, settings.upstream.proxy]).toEqual([8080, null, null]);
  });

  test('a fault in a flag or a variable names it', async () => {
    expect(await linesOf('mode: observe', { env: { HOLDFAST_LISTEN: '80' } })).toEqual([
      expect.stringMatching(/^environment HOLDFAST_LISTEN: listen: not allowed; got 80; allowed: host:port/),
    ]);
    expect(await linesOf(null, { flags: { upstream: 'https://x/api' } })).toEqual([
      expect.stringMatching(/^flag --upstream: upstream.url: holds a path/),
    ]);
    expect(await linesOf(null, { flags: { listen: '' } })).toEqual([
      expect.stringMatching(/^flag --listen: listen: not allowed; got ""/),
    ]);
  });

  test('null and nothing mean unset, in the file and in sections', async () => {
    const plain = await settingsOf(null);
    const yaml =
      'listen:\nupstream: null\nlimits: { in_flight: }\ntls: { cert_file: null, key_file: }\nendpoints:\nprofiles:\nclients: null\n';
    const settings = await settingsOf(yaml);
    expect(settings.hash).toBe(plain.hash);
    expect(settings.tls).toBeNull();
    expect((await settingsOf('')).hash).toBe(plain.hash);
  });
});

describe('variables in values', () => {
  test('plain values are typed after they were filled in, quoted ones stay text', async () => {
    const env = { N: '7', LEVEL: 'debug', EMPTY: '' };
    const settings = await settingsOf(
      'upstream: { connections: "${X:-5}" }\nlog:\n  level: ${LEVEL}\nlimits:\n  in_flight: ${N}\nmode: ${EMPTY}\n',
      { env },
    ).catch((error: Error) => error.message);
    expect(settings).toContain('upstream.connections: not allowed; got "${X:-5}"');
    const good = await settingsOf('log:\n  level: ${LEVEL}\nlimits:\n  in_flight: ${N}\nmode: ${EMPTY:-observe}\n', {
      env,
    });
    expect([good.log.level, good.limits.inFlight, good.mode]).toEqual(['debug', 7, 'observe']);
  });

  test('a variable never changes the structure, and its value is not shown in a fault', async () => {
    const env = { X: 'enforce\nlisten: 0.0.0.0:1', SECRET: 'hunter2' };
    expect((await load('mode: ${X}', { env })).ok).toBe(false);
    const [line] = await linesOf('mode: ${SECRET}', { env });
    expect(line).toContain('got ${SECRET}');
    expect(line).not.toContain('hunter2');
  });

  test('$${NAME} is literal, keys are left alone, and text around variables stays', async () => {
    const env = { A: 'x' };
    const yaml = "log: { redact: ['$${A}', 'pre-${A}-${B:-y}-post', '${not a name}'] }";
    expect((await settingsOf(yaml, { env })).log.redact).toEqual(['${A}', 'pre-x-y-post', '${not a name}']);
    expect(await linesOf('${A}: 1', { env })).toEqual([expect.stringContaining('${A}: unknown key')]);
  });

  test('anchors and aliases work, a bomb of them is refused', async () => {
    const rows =
      'endpoints:\n  - { match: GET /me, timeout: &t { attempt: 3s } }\n  - { match: GET /admins, timeout: *t }\n';
    const { match } = await settingsOf(rows);
    expect(match('GET', '/admins').policy.timeout.attemptMs).toBe(3000);
    const levels = Array.from(
      { length: 9 },
      (_, i) =>
        `a${i}: &a${i} [${Array(9)
          .fill(i === 0 ? 'x' : `*a${i - 1}`)
          .join(', ')}]`,
    );
    expect((await linesOf(levels.join('\n'))).join()).toContain('Excessive alias count');
  });
});

describe('secrets', () => {
  test('are read from files beside the configuration and stand nowhere in what is shown', async () => {
    const files = { '/etc/secrets/admin': ' adm1n-token\n', '/run/bearer': 'b3arer' };
    const yaml =
      'admin: { token_file: secrets/admin }\nupstream: { credentials: { bearer_file: /run/bearer }, proxy: "http://u:pr0xy@p:1" }\n';
    const settings = await settingsOf(yaml, { files });
    expect(settings.admin.token).toBe('adm1n-token');
    expect(settings.upstream.credentials).toEqual({ kind: 'bearer_file', file: '/run/bearer' });
    expect(settings.upstream.proxy).toBe('http://u:pr0xy@p:1/');
    const shown = JSON.stringify(settings.shown);
    expect(shown).not.toMatch(/adm1n|b3arer|pr0xy/);
    expect(shown).toContain('"token":"[set]"');
  });

  test('the environment’s admin token beats the file’s', async () => {
    const files = { '/etc/t': 'from-file' };
    const env = { HOLDFAST_ADMIN_TOKEN: 'from-env' };
    expect((await settingsOf('admin: { token_file: t }', { files, env })).admin.token).toBe('from-env');
  });
});

describe('HTTPS_PROXY and NO_PROXY', () => {
  const HTTPS_PROXY = 'http://proxy:3128';

  test('are honoured for an https upstream, lower case first, and a proxy of the file is stronger', async () => {
    expect(await proxyOf('', { HTTPS_PROXY })).toBe('http://proxy:3128/');
    expect(await proxyOf('', { HTTPS_PROXY, https_proxy: 'http://other:1' })).toBe('http://other:1/');
    expect(await proxyOf('upstream: { proxy: "http://own:2" }', { HTTPS_PROXY, NO_PROXY: '*' })).toBe('http://own:2/');
    expect(await proxyOf('upstream: { url: "http://127.0.0.1:9" }', { HTTPS_PROXY })).toBeNull();
  });

  test.each([
    ['*', null],
    ['api.intercom.io', null],
    ['intercom.io', null],
    ['.intercom.io', null],
    ['localhost, .INTERCOM.io:443', null],
    ['api.intercom.io:8443', 'http://proxy:3128/'],
    ['com.io', 'http://proxy:3128/'],
    ['ercom.io', 'http://proxy:3128/'],
    ['', 'http://proxy:3128/'],
  ])('NO_PROXY=%j', async (NO_PROXY, proxy) => {
    expect(await proxyOf('', { HTTPS_PROXY, NO_PROXY })).toBe(proxy);
  });

  test('a broken one is a fault that names the variable', async () => {
    expect(await linesOf('', { env: { HTTPS_PROXY: 'proxy' } })).toEqual([
      expect.stringMatching(/^environment HTTPS_PROXY: is no http or https URL; got proxy/),
    ]);
  });
});

test('the hash tells configurations apart and is the same for the same', async () => {
  const hashes = await Promise.all(
    ['', '{}', 'mode: observe', 'limits: { in_flight: 3 }'].map(async (yaml) => (await settingsOf(yaml)).hash),
  );
  expect(hashes[0]).toBe(hashes[1]);
  expect(new Set(hashes).size).toBe(3);
  expect(hashes[0]).toMatch(/^[0-9a-f]{12}$/);
});
