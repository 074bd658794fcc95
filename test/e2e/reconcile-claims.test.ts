/** What a look must not take for the lost create: its equals, and nothing when a list goes on behind its first page. */

import { describe, expect, it } from 'vitest';
import { createNamed, targetOf } from '../simulator/creates.ts';
import { ask } from '../simulator/support.ts';
import { type Rig, startRig } from './reconcile-rig.ts';

const NOTES = 'POST /contacts/{contact_id}/notes';
const note = { body: 'Called, no answer', admin_id: '814860' };

async function noted(): Promise<{ rig: Rig; line: string; notes: () => string[] }> {
  const rig = await startRig();
  const { id } = (await ask(rig.simulator.url, 'POST /contacts', { external_id: 'lead' })).json;
  const made = (): string[] => rig.simulator.effects().flatMap((one) => (one.operation === NOTES ? [one.id] : []));
  return { rig, line: `POST /contacts/${id}/notes`, notes: made };
}

describe('an equal note is not the lost one', () => {
  it('§7: when it is the answer of another call, 2 s before', async () => {
    const { rig, line, notes } = await noted();
    const first = await rig.send(line, note);
    await rig.pass(2000);
    rig.simulator.fault({ match: NOTES, times: 1, fault: { kind: 'reset', effect: 'none' } });
    const second = await rig.send(line, note);
    expect(second.status, second.text).toBe(200);
    expect(notes()).toEqual([first.json.id, second.json.id]);
  });

  it('§7: when somebody else made it before ours was sent', async () => {
    const { rig, line, notes } = await noted();
    // Answers tell how the clocks differ.
    for (let i = 0; i < 5; i++) await rig.send('GET /me');
    await ask(rig.simulator.url, line, note);
    await rig.pass(4000);
    rig.simulator.fault({ match: NOTES, times: 1, fault: { kind: 'reset', effect: 'none' } });
    const ours = await rig.send(line, note);
    expect(ours.status, ours.text).toBe(200);
    expect(notes()).toHaveLength(2);
    expect(ours.json.id).toBe(notes()[1]);
  });

  it('§7: when two are lost at the same moment: two notes, and nobody gets the same', async () => {
    const { rig, line, notes } = await noted();
    rig.simulator.fault({ match: NOTES, times: 2, fault: { kind: 'reset', effect: 'applied' } });
    const got = await Promise.all([rig.send(line, note), rig.send(line, note)]);
    await rig.pass(5000);
    expect(notes()).toHaveLength(2);
    const ids = got.filter(({ status }) => status === 200).map(({ json }) => json.id as string);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { status, holdfast } of got) if (status !== 200) expect(holdfast['effect']).toBe('unknown');
  });
});

describe('a list that is longer than its page hides nothing', () => {
  it.each([
    'POST /audiences',
    'POST /content_snippets',
    'POST /ai/content_import_sources',
    'POST /news/news_items',
    'POST /help_center/collections',
    'POST /help_center/help_centers/{help_center_id}/redirects',
    'POST /internal_articles',
    'POST /articles',
    'POST /data_connectors',
    NOTES,
    'POST /events',
  ])('§7: %s, with 160 others before it', { timeout: 30_000 }, async (name) => {
    const create = createNamed(name);
    const rig = await startRig();
    const parents = await create.parents(rig.simulator);
    const line = `POST ${targetOf(create, parents)}`;
    for (let i = 0; i < 160; i++) await ask(rig.simulator.url, line, create.body(`other-${i}`, parents));
    const before = rig.simulator.effects().length;
    rig.simulator.fault({ match: name, times: 1, fault: { kind: 'reset', effect: 'applied' } });
    const got = await rig.send(line, create.body('lost-one', parents));
    await rig.pass(1000);
    expect(rig.simulator.effects().length - before).toBe(1);
    expect(got.status, got.text).toBeLessThan(300);
  });
});
