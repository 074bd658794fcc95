import { describe, expect, test } from 'vitest';
import { type ExplainOptions, explain } from '../../src/commands/explain.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { CommandIo } from './command-io.ts';

const CONFLICT = JSON.stringify({
  type: 'error.list',
  errors: [{ code: 'conflict', message: 'A contact matching those details already exists with id=5' }],
});
const FILES = {
  '/x/my.yaml': `
endpoints:
  - match: POST /contacts
    errors:
      - { when: { status: 409, message: exists }, verdict: permanent, reason: mine }
`,
  '/x/conflict.json': CONFLICT,
  '/x/company.json': '{"company_id":"7"}',
  '/x/page.html': '<html>',
};

async function explained(method: string, path: string, options: ExplainOptions = {}): Promise<string> {
  const io = new CommandIo(FILES);
  expect(await explain(method, path, options, io, new VirtualClock())).toBe(0);
  expect(io.err).toBe('');
  return io.out;
}

describe('a request alone', () => {
  test('shows the rule with its place, the values of the path, class, timeouts and all error rules in order', async () => {
    const text = await explained('POST', '/contacts/5/notes?x=1');
    expect(text).toMatch(/rule +POST \/contacts\/\{contact_id\}\/notes \(config\/intercom\.yaml:\d+\), contact_id=5/);
    expect(text).toMatch(/class +create/);
    expect(text).toMatch(/timeout +connect 5s, attempt 15s, silence 30s, total 2m/);
    expect(text).toMatch(/429 → throttled \(rate_limit_exceeded\) +config\/intercom\.yaml:\d+/);
  });

  test('that no row names is other', async () => {
    expect(await explained('PATCH', '/nowhere')).toMatch(/rule +other \(no row\)\n +class +create/);
  });
});

describe('with an answer', () => {
  test('names the rules that were tried and the one that holds, your own before the shipped ones', async () => {
    const text = await explained('POST', '/contacts', { config: '/x/my.yaml', status: 409, body: '/x/conflict.json' });
    expect(text).toMatch(/rule .*\/x\/my\.yaml:3, config\/intercom\.yaml:\d+/);
    expect(text).toMatch(/rules +holds +409, message \/exists\/u → permanent \(mine\) +\/x\/my\.yaml:5/);
    expect(text).toMatch(/verdict +permanent, reason mine/);
    expect(text).toMatch(/sent again +no: permanent/);
    expect(text).toMatch(/caller gets +409 from the upstream/);
  });

  test('§3: the server’s wish is the least wait, with jitter on top', async () => {
    const text = await explained('POST', '/contacts', { status: 429, header: ['Retry-After: 7'] });
    expect(text).toMatch(/asked for +a wait of 7s/);
    expect(text).toMatch(/pauses +token/);
    expect(text).toMatch(/sent again +yes, after 7s to 8s \(retry_after\)/);
    expect(text).toMatch(/caller gets +429 from the upstream, Retry-After 7, when no retry succeeds/);
  });

  test('§2: a create whose effect is unknown is not sent again, and its caller is told so', async () => {
    const text = await explained('POST', '/messages', { status: 500 });
    expect(text).toMatch(/effect +unknown/);
    expect(text).toMatch(/sent again +no: not_repeatable/);
    expect(text).toMatch(/caller gets +504 holdfast_outcome_unknown/);
  });

  test('asks idempotent_if of the request’s body', async () => {
    expect(await explained('POST', '/companies', { status: 500 })).toMatch(/class +create for this request/);
    const text = await explained('POST', '/companies', { status: 500, requestBody: '/x/company.json' });
    expect(text).toMatch(/class +idempotent for this request/);
    expect(text).toMatch(/sent again +yes, after 0ms to 1s \(backoff\)/);
  });

  test('shows what would differ after an attempt that may have taken effect', async () => {
    const text = await explained('DELETE', '/contacts/5', { status: 404 });
    expect(text).toMatch(
      /The same after an attempt that may have taken effect\n +rules +holds +404, after an unknown outcome → ok/,
    );
    expect(text).toMatch(/caller gets +200 from/);
    expect(await explained('GET', '/contacts/5', { status: 404 })).not.toContain('The same after');
  });

  test('sees a success that is not what its row promises', async () => {
    const text = await explained('GET', '/contacts/5', { status: 200, body: '/x/page.html' });
    expect(text).toMatch(/failure +broken/);
    expect(text).toMatch(/caller gets +502 holdfast_answer_broken, when no retry succeeds/);
  });

  test('--json prints one object', async () => {
    const text = await explained('DELETE', '/contacts/5', { status: 503, header: ['Retry-After: 2'], json: true });
    expect(JSON.parse(text)).toMatchObject({
      endpoint: 'DELETE /contacts/{contact_id}',
      params: { contact_id: '5' },
      class: 'idempotent',
      answers: [
        {
          after_unknown: false,
          verdict: { class: 'transient', retryAfterMs: 2000 },
          retry: { wait_ms: [2000, 3000] },
          caller: { status: 503, code: null },
        },
        { after_unknown: true },
      ],
    });
  });
});

describe('a fault is one line on stderr, exit 1', () => {
  test('of the configuration', async () => {
    const io = new CommandIo({ '/x/bad.yaml': 'mod: 1' });
    expect(await explain('GET', '/me', { config: '/x/bad.yaml' }, io)).toBe(1);
    expect(io.err).toBe('explain: /x/bad.yaml:1:1: mod: unknown key; did you mean mode?\n');
  });

  test('of a body’s file', async () => {
    const io = new CommandIo();
    expect(await explain('GET', '/me', { status: 500, body: '/nowhere' }, io)).toBe(1);
    expect(io.err).toMatch(/^explain: ENOENT.*\n$/);
  });
});
