/** What the ledger is for, end to end: lost answers, late effects, and callers that come again. */

import { describe, expect, it } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { ask } from '../simulator/support.ts';
import { type Answer, type Rig, startRig } from './reconcile-rig.ts';

const LEADS = 1000;
const WORKERS = 50;
const YEAR_HOURS = 8760;

type Fault = RuleInput['fault'];

/** One in 33 answers of the writes is lost, in turn in every one of these ways. */
function losing(faults: readonly Fault[]): RuleInput[] {
  return ['POST /contacts', 'PUT /contacts/{contact_id}', 'POST /events'].flatMap((match, i) =>
    faults.map((fault, j) => ({ match, probability: 0.03 / faults.length, seed: 100 * i + j, fault })),
  );
}

const LOST: readonly Fault[] = [
  { kind: 'status', status: 500, effect: 'applied' },
  { kind: 'status', status: 502, effect: 'applied', body: 'html' },
  { kind: 'status', status: 504, effect: 'applied' },
  { kind: 'reset', effect: 'applied' },
  { kind: 'hang', effect: 'applied' },
  { kind: 'truncated', framing: 'clean' },
];

const LATE: readonly Fault[] = [
  { kind: 'status', status: 500, effect: 'late', late_by: '500ms' },
  { kind: 'status', status: 504, effect: 'late', late_by: '3s' },
  { kind: 'reset', effect: 'late', late_by: '1500ms' },
  { kind: 'reset', effect: 'late', late_by: '3s' },
];

/** Create, update, event; the answers that were no success. */
async function lead({ send }: Rig, n: number, role = 'lead'): Promise<Answer[]> {
  const created = await send('POST /contacts', { role, email: `lead-${n}@example.com`, name: `Lead ${n}` });
  if (created.status !== 200) return [created];
  const id = created.json.id as string;
  const updated = await send(`PUT /contacts/${id}`, { name: `Lead number ${n}` });
  const event = await send('POST /events', { id, event_name: 'imported', metadata: { n } });
  const wrong = created.json.email === `lead-${n}@example.com` && updated.json?.id === id ? [] : [updated];
  return [...wrong, ...[updated, event].filter(({ status }) => status > 299)];
}

async function importAll(rig: Rig): Promise<Answer[]> {
  const failed: Answer[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < LEADS) failed.push(...(await lead(rig, next++)));
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
  return failed;
}

describe('a pipeline of 1,000 leads through an upstream that loses 3 % of its answers', () => {
  it.each([
    ['after the effect', LOST],
    ['before the effect, which lands up to 3 s later', LATE],
  ] as const)('%s: all are done, none twice, and nobody was told otherwise', { timeout: 90_000 }, async (_, faults) => {
    const rig = await startRig({ rules: losing(faults) }, undefined, 5);
    const failed = await importAll(rig);
    await rig.pass(5000);
    const { duplicates, operations, faults: struck } = rig.simulator.stats();
    expect(failed.map(({ status, text }) => `${status} ${text}`)).toEqual([]);
    expect(Object.values(struck).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(50);
    expect(duplicates).toBe(0);
    expect(operations['POST /contacts']?.effects).toBe(LEADS);
    expect(operations['POST /events']?.effects).toBe(LEADS);
  });
});

describe('600 turns of a mixed workload, where one in twelve calls meets a fault of any kind', () => {
  const READ = 'GET /tags';
  const ALL = [READ, 'POST /contacts', 'PUT /contacts/{contact_id}', 'POST /events'];
  const FAULTS: readonly Fault[] = [
    { kind: 'status', status: 503 },
    { kind: 'reset', effect: 'none' },
    { kind: 'status', status: 500, effect: 'applied' },
    { kind: 'reset', effect: 'applied' },
  ];

  it('§7: looks cost at most half a call per fault', { timeout: 90_000 }, async () => {
    const rules = ALL.flatMap((match, i) =>
      FAULTS.map((fault, j) => ({ match, probability: 0.08 / FAULTS.length, seed: 100 * i + j, fault })),
    );
    const rig = await startRig({ rules }, undefined, 5);
    const failed: Answer[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < 600) {
        failed.push(...(await lead(rig, next++, 'user')));
        for (let reads = 0; reads < 3; reads++) {
          const read = await rig.send(READ);
          if (read.status !== 200) failed.push(read);
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    const { operations, faults } = rig.simulator.stats();
    const struck = Object.values(faults).reduce((sum, count) => sum + count, 0);
    const looks = Object.entries(operations)
      .filter(([operation]) => !ALL.includes(operation))
      .reduce((sum, [, { requests }]) => sum + requests, 0);
    // What is lost is looked for and sent again once: an event that is lost twice in a row stays unknown.
    expect(failed.filter(({ status }) => status !== 504)).toEqual([]);
    expect(failed.length).toBeLessThan(10);
    expect(struck).toBeGreaterThan(200);
    expect(looks).toBeGreaterThan(0);
    expect(looks / struck).toBeLessThanOrEqual(0.5);
  });
});

describe('a contact that has existed for a year', () => {
  it('§7: an attempt that was reset before it ran, and then 409: the caller gets the 409', async () => {
    const rig = await startRig({ clock: { offset: `-${YEAR_HOURS}h` } });
    const contact = { external_id: 'old', role: 'user' };
    await ask(rig.simulator.url, 'POST /contacts', contact);
    rig.simulator.setScenario({
      rules: [{ match: 'POST /contacts', nth: 1, fault: { kind: 'reset', effect: 'none' } }],
    });
    const got = await rig.send('POST /contacts', contact);
    expect(got.status).toBe(409);
    expect(got.json.errors[0].code).toBe('conflict');
    expect(rig.simulator.stats().operations['POST /contacts']).toEqual({ requests: 3, effects: 1 });
  });

  it('§7: one that an earlier attempt of the same call made is its success', async () => {
    const rig = await startRig();
    rig.simulator.fault({ match: 'POST /contacts', times: 1, fault: { kind: 'reset', effect: 'applied' } });
    const got = await rig.send('POST /contacts', { email: 'new@example.com' });
    expect(got).toMatchObject({ status: 200, json: { email: 'new@example.com', role: 'user' } });
    expect(got.holdfast).toMatchObject({ from: 'reconcile', effect: 'applied' });
    expect(rig.simulator.effects()).toHaveLength(1);
  });

  it('§7: an archived one is a 409 that stays one', async () => {
    const rig = await startRig({ clock: { offset: `-${YEAR_HOURS}h` } });
    const { id } = (await ask(rig.simulator.url, 'POST /contacts', { external_id: 'x' })).json;
    await ask(rig.simulator.url, `POST /contacts/${id}/archive`);
    rig.simulator.setScenario({
      rules: [{ match: 'POST /contacts', nth: 1, fault: { kind: 'reset', effect: 'none' } }],
    });
    const got = await rig.send('POST /contacts', { external_id: 'x' });
    expect(got.status).toBe(409);
    expect(got.json.errors[0].message).toContain('archived');
  });
});

describe('two equal notes, 2 s apart, while nobody knows what became of the first', () => {
  const note = { body: 'Called, no answer', admin_id: '814860' };
  const LATE_NOTE: Fault = { kind: 'reset', effect: 'late', late_by: '8s' };

  async function noted(fault: Fault): Promise<{ rig: Rig; line: string; notes: () => number }> {
    const rig = await startRig();
    const { id } = (await ask(rig.simulator.url, 'POST /contacts', { external_id: 'lead' })).json;
    rig.simulator.fault({ match: 'POST /contacts/{contact_id}/notes', times: 1, fault });
    const notes = (): number => rig.simulator.effects().filter(({ operation }) => operation.endsWith('/notes')).length;
    return { rig, line: `POST /contacts/${id}/notes`, notes };
  }

  it.each<[string, Fault]>([
    ['that lands late', LATE_NOTE],
    ['that never lands', { kind: 'reset', effect: 'none' }],
  ])('§6: both callers wait, the first with one %s: two notes', async (_, fault) => {
    const { rig, line, notes } = await noted(fault);
    const first = rig.send(line, note);
    await rig.pass(2000);
    const second = rig.send(line, note);
    const got = await Promise.all([first, second]);
    expect(got.map(({ status, text }) => (status === 200 ? 200 : text))).toEqual([200, 200]);
    expect(new Set(got.map(({ json }) => json.id)).size).toBe(2);
    await rig.pass(5000);
    expect(notes()).toBe(2);
  });

  it('§6: the first caller got an error and sends again: one note, which it gets', async () => {
    const { rig, line, notes } = await noted(LATE_NOTE);
    const first = await rig.send(line, note, { 'holdfast-timeout': '5s' });
    expect(first.status).toBe(504);
    expect(first.json.errors[0].code).toBe('holdfast_outcome_unknown');
    const again = await rig.send(line, note);
    expect(again.status, again.text).toBe(200);
    await rig.pass(5000);
    expect(notes()).toBe(1);
    expect(again.json.id).toBe(rig.simulator.effects().at(-1)?.id);
    // Once per such caller: the next one means another note.
    expect((await rig.send(line, note)).json.id).not.toBe(again.json.id);
    expect(notes()).toBe(2);
  });

  it('§6: the first caller went away unanswered and comes again: one note, which it gets', async () => {
    const { rig, line, notes } = await noted(LATE_NOTE);
    const [method, target] = line.split(' ') as [string, string];
    const gone = new AbortController();
    const first = fetch(rig.holdfast.url + target, {
      method,
      headers: { authorization: 'Bearer test', 'content-type': 'application/json' },
      body: JSON.stringify(note),
      signal: gone.signal,
    }).catch(() => null);
    await rig.pass(4000);
    gone.abort();
    await first;
    await rig.pass(500);
    const again = await rig.send(line, note);
    expect(again.status, again.text).toBe(200);
    await rig.pass(5000);
    expect(notes()).toBe(1);
  });
});
