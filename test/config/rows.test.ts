import { describe, expect, test } from 'vitest';
import type { EndpointPolicy } from '../../src/core/policy.ts';
import { linesOf, settingsOf } from './load-harness.ts';

async function policyOf(yaml: string, request: string): Promise<EndpointPolicy> {
  const [method = '', path = ''] = request.split(' ');
  return (await settingsOf(yaml)).match(method, path).policy;
}

async function attemptMs(yaml: string, request = 'POST /contacts/search'): Promise<number> {
  return (await policyOf(yaml, request)).timeout.attemptMs;
}

function reasons({ errors }: EndpointPolicy): string[] {
  return errors.map(({ reason }) => reason);
}

describe('precedence of a policy’s sections, weakest first', () => {
  // POST /contacts/search ships with 60s attempts, POST /contacts without.
  const DEFAULTS = 'defaults: { timeout: { attempt: 2s } }\n';
  const PROFILE = 'profiles: { mine: { timeout: { attempt: 3s } } }\nprofile: mine\n';
  const STAR = "  - { match: '* /contacts/search', timeout: { attempt: 4s } }\n";
  const ROW = '  - { match: POST /contacts/search, timeout: { attempt: 5s } }\n';

  test('shipped defaults, your defaults, shipped row, profile, your row for *, your row for the method', async () => {
    expect(await attemptMs('', 'POST /contacts')).toBe(15_000);
    expect(await attemptMs(DEFAULTS, 'POST /contacts')).toBe(2000);
    expect(await attemptMs(DEFAULTS)).toBe(60_000);
    expect(await attemptMs(DEFAULTS + PROFILE)).toBe(3000);
    expect(await attemptMs(`${DEFAULTS}${PROFILE}endpoints:\n${STAR}`)).toBe(4000);
    expect(await attemptMs(`${DEFAULTS}${PROFILE}endpoints:\n${ROW}${STAR}`)).toBe(5000);
  });

  test('a part that is not set comes from below, key by key', async () => {
    const { timeout, retry } = await policyOf(
      'defaults: { timeout: { total: 9s } }\nendpoints: [{ match: POST /contacts/search, retry: { jitter: none } }]',
      'POST /contacts/search',
    );
    expect(timeout).toEqual({ connectMs: 5000, attemptMs: 60_000, bodyIdleMs: 30_000, totalMs: 9000 });
    expect(retry).toEqual({ maxRetries: 5, baseDelayMs: 1000, maxDelayMs: 30_000, jitter: 'none', maxWaitMs: 60_000 });
  });

  test('the row’s profile takes the place of the global one; your profile lies over the shipped one of its name', async () => {
    const yaml =
      'profile: realtime\nprofiles: { crm: { retry: { max_retries: 9 } } }\nendpoints: [{ match: POST /contacts, profile: crm }]';
    const [contacts, companies] = [await policyOf(yaml, 'POST /contacts'), await policyOf(yaml, 'POST /companies')];
    expect([contacts.profile, contacts.retry.baseDelayMs, contacts.retry.maxRetries]).toEqual(['crm', 2000, 9]);
    expect([companies.profile, companies.retry.baseDelayMs, companies.retry.maxRetries]).toEqual(['realtime', 200, 2]);
    expect((await policyOf(yaml, 'GET /nowhere')).profile).toBe('realtime');
  });

  test.each([
    ['standard', 1000, 5],
    ['crm', 2000, 5],
    ['sequencer', 500, 5],
    ['realtime', 200, 2],
  ])('the shipped profile %s has a base delay of %d ms and %d retries', async (profile, base, retries) => {
    const { retry } = await policyOf(`profile: ${profile}`, 'GET /me');
    expect([retry.baseDelayMs, retry.maxRetries]).toEqual([base, retries]);
  });

  test('max_retries: unlimited is bounded by the deadline alone', async () => {
    expect((await policyOf('defaults: { retry: { max_retries: unlimited } }', 'GET /me')).retry.maxRetries).toBe(
      Infinity,
    );
  });
});

describe('a row of yours over a shipped one', () => {
  test('your error entries stand before the shipped row’s, those before the generic ones', async () => {
    const shipped = reasons(await policyOf('', 'POST /contacts'));
    const generic = reasons(await policyOf('', 'GET /nowhere'));
    expect(shipped.slice(0, 2)).toEqual(['archived_contact_exists', 'contact_exists']);
    expect(shipped.slice(2)).toEqual(generic);
    const yaml = `
endpoints:
  - match: '* /contacts'
    errors: [{ when: { status: 418 }, verdict: permanent, reason: star }]
  - match: POST /contacts
    errors: [{ when: { code: [teapot, kettle] }, verdict: permanent }, { when: { status: [5xx, 409] }, verdict: permanent }]
`;
    expect(reasons(await policyOf(yaml, 'POST /contacts'))).toEqual(['teapot', 'status_5xx', 'star', ...shipped]);
    expect(reasons(await policyOf(yaml, 'GET /contacts'))).toEqual(['star', ...generic]);
  });

  test('keeps class, conditions and promise of the shipped row, and says where it comes from', async () => {
    const policy = await policyOf('endpoints:\n  - match: POST /companies\n    profile: crm\n', 'POST /companies');
    expect(policy).toMatchObject({
      operationClass: 'create',
      answer: { kind: 'json' },
      known: true,
      name: 'POST /companies',
    });
    expect(policy.idempotentIf?.source).toBe('$boolean(company_id)');
    expect(policy.origin).toMatch(/^\/etc\/holdfast\.yaml:2, config\/intercom\.yaml:\d+$/);
  });

  test('replace: true takes the shipped row away, the generic map stays', async () => {
    const policy = await policyOf(
      'endpoints: [{ match: POST /contacts/search, replace: true }]',
      'POST /contacts/search',
    );
    expect([policy.operationClass, policy.timeout.attemptMs, policy.answer.kind]).toEqual(['create', 15_000, 'any']);
    expect(reasons(policy)).toEqual(reasons(await policyOf('', 'GET /nowhere')));
  });

  test('may call the names of the path otherwise: the shipped ones stay in metrics and templates', async () => {
    const yaml =
      "endpoints: [{ match: 'DELETE /contacts/{who}', answer: { id: '{who}', note: '{who} is gone', n: 1 } }]";
    const { policy, params } = (await settingsOf(yaml)).match('DELETE', '/contacts/5');
    expect(policy.name).toBe('DELETE /contacts/{contact_id}');
    expect(params).toEqual({ contact_id: '5' });
    expect(policy.answer).toEqual({
      kind: 'template',
      template: { id: '{contact_id}', note: '{contact_id} is gone', n: 1 },
    });
  });

  test('for * without a class takes it from the method; with one, for every method that no row names', async () => {
    const yaml = "endpoints: [{ match: '* /new/{id}' }, { match: '* /all', class: read }]";
    const { match } = await settingsOf(yaml);
    const classOf = (request: string): string =>
      match(request.split(' ')[0] ?? '', request.split(' ')[1] ?? '').policy.operationClass;
    expect(
      ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'PATCH', 'PURGE'].map((method) => classOf(`${method} /new/1`)),
    ).toEqual(['read', 'read', 'idempotent', 'idempotent', 'create', 'create', 'create']);
    expect(classOf('POST /all')).toBe('read');
    expect(match('POST', '/new/1').policy.name).toBe('* /new/{id}');
  });
});

describe('requests that no row names', () => {
  test.each([
    ['GET', 'read'],
    ['HEAD', 'read'],
    ['PUT', 'idempotent'],
    ['DELETE', 'idempotent'],
    ['POST', 'create'],
    ['PATCH', 'create'],
    ['OPTIONS', 'create'],
    ['__proto__', 'create'],
  ])('%s is other, class %s', async (method, operationClass) => {
    const { policy, params } = (await settingsOf(null)).match(method, '/nowhere/1');
    expect(policy).toMatchObject({ name: 'other', known: false, operationClass, answer: { kind: 'any' } });
    expect(params).toEqual({});
  });
});

test('every shipped operation is matched by its own row, with HEAD where it is a GET', async () => {
  const { policies, match } = await settingsOf(null);
  const known = policies.filter((policy) => policy.known);
  expect(known).toHaveLength(231);
  for (const policy of known) {
    const [method = '', template = ''] = policy.name.split(' ');
    const path = template.replaceAll(/\{[^}]*\}/g, 'zz9');
    expect(match(method, path).policy).toBe(policy);
    if (method === 'GET') expect(match('HEAD', path).policy).toBe(policy);
  }
});

test('every shipped row passes the checks that rows of a file do: no create is repeated blindly', async () => {
  const { readFile } = await import('node:fs/promises');
  const { parse, stringify } = await import('yaml');
  const map = parse(await readFile('config/intercom.yaml', 'utf8')) as { operations: { replace?: boolean }[] };
  const rows = map.operations.map((row) => ({ ...row, replace: true }));
  expect(await linesOf(stringify({ endpoints: rows }, { aliasDuplicateObjects: false }))).toEqual([]);
});

test('mode: observe reaches every policy', async () => {
  const { policies } = await settingsOf('mode: observe');
  expect(new Set(policies.map(({ mode }) => mode))).toEqual(new Set(['observe']));
});

test('231 rows and 200 of yours are compiled within 50 ms once warm', async () => {
  const rows = Array.from(
    { length: 200 },
    (_, i) => `  - { match: 'POST /own${i}/{id}', timeout: { attempt: ${i + 1}s } }`,
  );
  const yaml = `endpoints:\n${rows.join('\n')}\n`;
  const compile = (await import('../../src/config/compile.ts')).compileSettings;
  const { loadShipped } = await import('../../src/config/shipped.ts');
  const { validate } = await import('../../src/config/validate.ts');
  const { readSource } = await import('../../src/config/source.ts');
  const { source } = readSource('x.yaml', yaml, {});
  const { config, rowIndexes } = validate(source.data, source);
  const parts = {
    shipped: await loadShipped(),
    config,
    rowIndexes,
    places: source,
    env: {},
    adminToken: null,
    notifyUrls: [],
    resolve: (f: string) => f,
    source: 'x',
  };
  const times: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    const from = performance.now();
    await compile(parts);
    times.push(performance.now() - from);
  }
  expect(Math.min(...times)).toBeLessThan(50);
});
