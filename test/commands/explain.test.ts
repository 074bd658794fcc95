import { describe, expect, test } from 'vitest';
import { type ExplainOptions, explain, explainCommand } from '../../src/commands/explain.ts';
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
  '/x/user.json': '{"email":"a@example.com"}',
};

async function explained(method: string, path: string, options: ExplainOptions = {}): Promise<string> {
  const io = new CommandIo(FILES);
  expect(await explain(method, path, options, io, new VirtualClock())).toBe(0);
  expect(io.err).toBe('');
  return io.out;
}

async function ran(...args: string[]): Promise<string> {
  const io = new CommandIo(FILES);
  await explainCommand(io, (code) => expect(code).toBe(0)).parseAsync(args, { from: 'user' });
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

  test('folds the rules that speak of another status into one line, unless --all lists them', async () => {
    const folded = await explained('POST', '/contacts', { status: 503 });
    expect(folded).toMatch(/rules +no +\d+ that speak of something else; --all lists them\n/);
    expect(folded).toMatch(/holds +503 → transient/);
    expect(folded).not.toMatch(/no +429 →/);
    const all = await explained('POST', '/contacts', { status: 503, all: true });
    expect(all).toMatch(/no +429 →/);
    expect(all).not.toContain('--all');
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

describe('with a failure', () => {
  test('§2: a create whose answer was lost is not sent again, and its caller is told so', async () => {
    const text = await explained('POST', '/contacts', { failure: 'reset' });
    expect(text).toMatch(/verdict +transient, reason reset/);
    expect(text).toMatch(/effect +unknown/);
    expect(text).toMatch(/sent again +no: not_repeatable, a second one could take effect twice/);
    expect(text).toMatch(/caller gets +504 holdfast_outcome_unknown\n.*may or may not have been applied: look before/);
    expect(text).not.toContain('The same after');
  });

  test('the caller of a guarded create is told that sending it again finds out', async () => {
    const text = await explained('POST', '/contacts', { failure: 'timeout', requestBody: '/x/user.json' });
    expect(text).toMatch(
      /caller gets +504 holdfast_outcome_unknown, when no retry succeeds, when no look says better\n.*The upstream refuses a second one: sent again/,
    );
  });

  test.each(['connect', 'dns', 'tls'] as const)(
    '§2: %s is before the wire, so that a create is sent again',
    async (failure) => {
      const text = await explained('POST', '/contacts', { failure });
      expect(text).toMatch(/effect +none/);
      expect(text).toMatch(/sent again +yes/);
      expect(text).toMatch(/caller gets +502 holdfast_upstream_unreachable, when no retry succeeds/);
    },
  );

  test('truncated is an answer that broke off: its status counts, 200 when none is given', async () => {
    const text = await explained('POST', '/contacts', { failure: 'truncated' });
    expect(text).toMatch(/^Answer 200, truncated$/m);
    expect(text).toMatch(/effect +applied/);
    expect(text).toMatch(/caller gets +502 holdfast_answer_broken/);
    const refused = await explained('POST', '/contacts', { failure: 'truncated', status: 429 });
    expect(refused).toMatch(/holds +429 → throttled/);
  });

  test('a body that flows through ends for the caller where the upstream’s broke off', async () => {
    const text = await explained('GET', '/calls/5/recording', { failure: 'truncated' });
    expect(text).toMatch(/caller gets +200 from the upstream, cut off where it broke off/);
  });

  test('names the rule that speaks of it', async () => {
    const text = await explained('GET', '/companies/scroll', { failure: 'reset' });
    expect(text).toMatch(/holds +failure timeout or reset .* → permanent \(scroll_broken\)/);
  });

  test('a timed-out attempt has used up its share of the deadline', async () => {
    const io = new CommandIo({ '/x/short.yaml': 'defaults: { timeout: { attempt: 10s, total: 10s } }' });
    const options = { config: '/x/short.yaml', failure: 'timeout' } as const;
    expect(await explain('GET', '/contacts/5', options, io, new VirtualClock())).toBe(0);
    expect(io.out).toMatch(/sent again +no: deadline/);
  });

  test('that leaves no answer cannot have a status: one line, exit 2', async () => {
    const io = new CommandIo();
    expect(await explain('GET', '/me', { failure: 'reset', status: 500 }, io)).toBe(2);
    expect(io.err).toBe('explain: with --failure reset no answer came: leave --status, --header, --body out\n');
  });
});

describe('the command line', () => {
  test('takes the method in lower case, and a header more than once', async () => {
    const text = await ran('post', '/contacts', '--status', '429', '--header', 'X-A: 1', '--header', 'Retry-After: 7');
    expect(text).toMatch(/^POST \/contacts\n/);
    expect(text).toMatch(/asked for +a wait of 7s/);
  });

  test('its help shows no empty defaults', () => {
    expect(explainCommand(new CommandIo(), () => {}).helpInformation()).not.toContain('default');
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
    expect(io.err).toBe('explain: /nowhere cannot be read: there is no such file\n');
  });
});
