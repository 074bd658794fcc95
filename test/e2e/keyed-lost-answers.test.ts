/** Lost answers of creates under a key, whose caller has less time than the search for them takes, and comes again. */

import { describe, expect, it } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { ask } from '../simulator/support.ts';
import { type Rig, startRig } from './reconcile-rig.ts';

const NOTE = { body: 'Called, no answer', admin_id: '814860' };
const KEY = { 'idempotency-key': 'note-1' };

interface Noted {
  readonly rig: Rig;
  readonly line: string;
  readonly notes: () => number;
}

async function noted(fault: RuleInput['fault']): Promise<Noted> {
  const rig = await startRig();
  const { id } = (await ask(rig.simulator.url, 'POST /contacts', { external_id: 'lead' })).json;
  rig.simulator.fault({ match: 'POST /contacts/{contact_id}/notes', times: 1, fault });
  const notes = (): number => rig.simulator.effects().filter(({ operation }) => operation.endsWith('/notes')).length;
  return { rig, line: `POST /contacts/${id}/notes`, notes };
}

describe('§6, §7: a note under a key, whose caller gives each call 4 s and comes again until it is done', () => {
  it.each<[string, RuleInput['fault']]>([
    ['never lands', { kind: 'reset', effect: 'none' }],
    ['hangs and never lands', { kind: 'hang', effect: 'none' }],
    ['lands after 3 s', { kind: 'reset', effect: 'late', late_by: '3s' }],
    ['landed, without an answer', { kind: 'hang', effect: 'applied' }],
  ])('and that %s: done, once', { timeout: 60_000 }, async (_, fault) => {
    const { rig, line, notes } = await noted(fault);
    const got: number[] = [];
    while (got.at(-1) !== 200 && got.length < 15) {
      got.push((await rig.send(line, NOTE, { ...KEY, 'holdfast-timeout': '4s' })).status);
      await rig.pass(500);
    }
    expect(got.at(-1), String(got)).toBe(200);
    await rig.pass(5000);
    expect(notes()).toBe(1);
    expect((await rig.send(line, NOTE, KEY)).holdfast['from']).toBe('replay');
  });
});
