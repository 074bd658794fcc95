import { describe, expect, test } from 'vitest';
import type { ProbeRecipe, ReconcileEntry } from '../../src/core/policy.ts';
import { linesOf, settingsOf } from './load-harness.ts';

const NOTES = 'POST /contacts/{contact_id}/notes';

function entry(yaml: string, match = NOTES): string {
  return `version: 1\nendpoints:\n  - match: ${match}\n    class: create\n    reconcile:\n      - ${yaml}\n`;
}

async function recipesOf(yaml: string | null, method = 'POST', path = '/contacts/7/notes') {
  return (await settingsOf(yaml)).match(method, path).policy.reconcile;
}

function targetOf({ request }: ReconcileEntry): string {
  return request.target
    .map((part) => (part.kind === 'text' ? part.text : part.kind === 'name' ? `{${part.name}}` : '{$}'))
    .join('');
}

describe('§7: reconcile entries', () => {
  test('stand before the shipped ones', async () => {
    const recipes = await recipesOf(
      entry(
        `{ probe: search, request: { method: POST, path: /contacts/search, body: '{"a": body}' }, landed: data, after: 1m }`,
      ),
    );
    expect(recipes.map(({ kind, origin }) => `${kind} ${origin.replace(/.*\//, '').replace(/:\d+/, '')}`)).toEqual([
      'search holdfast.yaml',
      'direct intercom.yaml',
    ]);
    expect(recipes[0]).toMatchObject({ looksAtMs: [60_000], resendIfAbsent: false, status: 200, anyAge: false });
    expect(recipes[1]).toMatchObject({ looksAtMs: [500, 2000, 5000, 10_000], resendIfAbsent: true });
  });

  test('take the place of the shipped ones with replace', async () => {
    const yaml = `version: 1\nendpoints:\n  - { match: '${NOTES}', class: create, replace: true }\n`;
    expect(await recipesOf(yaml)).toEqual([]);
  });

  test('fill names of the path by position, whatever their row calls them', async () => {
    const [own, shipped] = await recipesOf(
      entry('{ probe: direct, request: "GET /contacts/{who}/notes", landed: data }', 'POST /contacts/{who}/notes'),
    );
    expect([own, shipped].map((each) => targetOf(each as ReconcileEntry))).toEqual([
      '/contacts/{contact_id}/notes',
      '/contacts/{contact_id}/notes?per_page=50',
    ]);
  });

  test('fill groups of the error, and expressions', async () => {
    const [first] = await recipesOf(
      entry(`{ on_error: { status: 409, message: 'id=(?<id>\\w+)' }, request: 'GET /contacts/{id}?x={$.a.b}' }`),
    );
    expect(targetOf(first as ReconcileEntry)).toBe('/contacts/{id}?x={$}');
  });

  test('resend after a time belongs to the queue', async () => {
    const [lead] = (await recipesOf(null, 'POST', '/contacts')).filter(({ kind }) => kind === 'search');
    expect((lead as ProbeRecipe).resendIfAbsent).toBe(900_000);
  });

  test('only creates have them', async () => {
    const settings = await settingsOf(null);
    for (const { operationClass, reconcile } of settings.policies)
      if (operationClass !== 'create') expect(reconcile).toEqual([]);
    const upsert = 'version: 1\nendpoints:\n  - { match: "POST /contacts/{id}/notes", class: idempotent }\n';
    expect(await recipesOf(upsert)).toEqual([]);
  });

  test.each([
    ['{ probe: direct, request: GET /tags }', /landed, for a probe/],
    ['{ request: GET /tags, landed: data }', /on_error or probe/],
    ['{ probe: direct, on_error: { status: 409 }, request: GET /tags, landed: data }', /not both/],
    ['{ probe: directly, request: GET /tags, landed: data }', /one of direct, search/],
    ['{ probe: direct, request: tags, landed: data }', /a read such as/],
    ['{ probe: direct, request: GET /tags, landed: data, resend_if_absent: 1s }', /a duration from 1m to 24h/],
    ['{ probe: direct, request: GET /tags, landed: data, later: 1s }', /later: unknown key/],
  ])('%s is refused', async (yaml, fault) => {
    const lines = await linesOf(entry(yaml));
    expect(lines.join('\n')).toMatch(fault);
    expect(lines[0]).toMatch(/^6:\d+: endpoints\[0\]\.reconcile\[0\]/);
  });

  test.each([
    [
      'GET /contacts/{contact}/notes',
      'data',
      'request',
      /names \{contact\}.*allowed: \{contact_id\}; did you mean contact_id/,
    ],
    ['GET /tags', 'data[', 'landed', /is not valid JSONata/],
    ['GET /tags', 'data[at < $now()]', 'landed', /must not use \$now/],
    ['GET /tags?a={$eval(x)}', 'data', 'request', /must not use \$eval/],
    ['GET /tags?a={x', 'data', 'request', /brace/],
    ['DELETE /tags/{contact_id}', 'data', 'request', /must read/],
    ['{ method: POST, path: /tags }', 'data', 'request', /is no read: its class is idempotent/],
  ])('%s with %s is refused where it stands', async (request, landed, key, fault) => {
    const yaml = `probe: direct\n        request: ${request.startsWith('{ ') ? request : `'${request}'`}\n        landed: '${landed}'`;
    const lines = await linesOf(entry(yaml));
    expect(lines.join('\n')).toMatch(fault);
    const line = key === 'landed' ? 8 : 7;
    expect(lines.join('\n')).toMatch(new RegExp(`^${line}:\\d+: endpoints\\[0\\]\\.reconcile\\[0\\]\\.${key}:`, 'm'));
  });

  test('for another class they are a fault', async () => {
    const yaml = `version: 1\nendpoints:\n  - match: PUT /contacts/{contact_id}\n    reconcile:\n      - { probe: direct, request: GET /tags, landed: data }\n`;
    expect((await linesOf(yaml)).join('\n')).toMatch(/^5:\d+: endpoints\[0\]\.reconcile: is for creates/);
  });
});

const stampedBy = async (yaml: string | null) =>
  (await settingsOf(yaml)).policies.flatMap(({ name, stamp }) => (stamp === null ? [] : [name]));

describe('§7: the shipped recipes', () => {
  /** What nothing shows: exports and Fin's messages, summaries, text messages. */
  const NOT_FOUND = [
    'POST /events/summaries',
    'POST /export/content/data',
    'POST /export/reporting_data/enqueue',
    'POST /fin/reply',
    'POST /fin/start',
    'POST /phone_call_redirects',
  ];
  /** Upserts, which are creates only without their key. */
  const UPSERTS = [
    'POST /ai/external_pages',
    'POST /companies',
    'POST /custom_object_instances/{custom_object_type_identifier}',
  ];

  test('speak of every create that can be seen', async () => {
    const { policies } = await settingsOf(null);
    const creates = policies.filter(({ operationClass, known }) => known && operationClass === 'create');
    const without = creates.filter(({ reconcile }) => !reconcile.some(({ kind }) => kind !== 'on_error'));
    expect(without.map(({ name }) => name).sort()).toEqual([...NOT_FOUND, ...UPSERTS].sort());
    expect(creates).toHaveLength(35 + UPSERTS.length);
  });

  test('ask reads of the map only', async () => {
    const { policies, match } = await settingsOf(null);
    for (const { name, reconcile } of policies) {
      for (const recipe of reconcile) {
        for (const request of [recipe.request, recipe.full]) {
          if (request === null) continue;
          const [path = ''] = request.target
            .map((part) => (part.kind === 'text' ? part.text : 'x'))
            .join('')
            .split('?');
          expect(match(request.method, path).policy, name).toMatchObject({ known: true, operationClass: 'read' });
        }
      }
    }
  });

  test('events alone are stamped, unless that is switched off', async () => {
    expect(await stampedBy(null)).toEqual(['POST /events']);
    expect(await stampedBy('version: 1\nevents: { stamp_created_at: false }\n')).toEqual([]);
  });
});
