/**
 * Every create of the map loses its answer, in every way, and a client that knows nothing of Holdfast asks once. All
 * creates of one fault run at the same time through one proxy: it is the looks that take time.
 */

import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Effect } from '../../src/simulator/base/ledger.ts';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { CREATES, type Create, targetOf } from '../simulator/creates.ts';
import { ask, type Got } from '../simulator/support.ts';
import { type Answer, openRig, type Rig } from './reconcile-rig.ts';

/** Search sees a create only after some of the looks. */
const SEARCH_LAG = '3s';
const MARKER = 'lost-one';

interface Loss {
  readonly name: string;
  readonly fault: RuleInput['fault'];
  /** Whether it took effect. */
  readonly landed: boolean;
  /** A 2xx began: what is lost is only the answer. */
  readonly applied?: true;
}

const LOSSES: readonly Loss[] = [
  { name: '500 after the effect', fault: { kind: 'status', status: 500, effect: 'applied' }, landed: true },
  {
    name: '502 after the effect',
    fault: { kind: 'status', status: 502, effect: 'applied', body: 'html' },
    landed: true,
  },
  { name: '504 after the effect', fault: { kind: 'status', status: 504, effect: 'applied' }, landed: true },
  { name: 'a reset after the effect', fault: { kind: 'reset', effect: 'applied' }, landed: true },
  { name: 'silence after the effect', fault: { kind: 'hang', effect: 'applied' }, landed: true },
  { name: 'a 2xx cut short', fault: { kind: 'truncated', framing: 'clean' }, landed: true, applied: true },
  { name: 'a 2xx that broke off', fault: 'truncated', landed: true, applied: true },
  {
    name: '500, and the effect 2 s later',
    fault: { kind: 'status', status: 500, effect: 'late', late_by: '2s' },
    landed: true,
  },
  { name: 'a reset before the effect', fault: { kind: 'reset', effect: 'none' }, landed: false },
];

interface Prepared {
  readonly create: Create;
  readonly line: string;
  readonly body: object;
  /** The same create, with another marker, directly and undisturbed; null when its job would forbid the next one. */
  readonly healthy: Got | null;
}

interface Result extends Prepared {
  readonly lost: Answer;
  readonly effects: readonly Effect[];
}

async function prepare({ simulator }: Rig, create: Create): Promise<Prepared> {
  const twins = await create.parents(simulator);
  const twin = `POST ${targetOf(create, twins)}`;
  const healthy = create.probe === null ? null : await ask(simulator.url, twin, create.body('healthy', twins));
  const parents = await create.parents(simulator);
  return { create, line: `POST ${targetOf(create, parents)}`, body: create.body(MARKER, parents), healthy };
}

function isOf(effect: Effect, { create, body }: Prepared): boolean {
  const bodyHash = hash('sha256', JSON.stringify(body), 'hex').slice(0, effect.bodyHash.length);
  return effect.operation === create.name && (effect.key.includes(MARKER) || effect.bodyHash === bodyHash);
}

/** Loses all of them at once. */
async function loseAll(rig: Rig, fault: RuleInput['fault']): Promise<Map<string, Result>> {
  const prepared = await Promise.all(CREATES.map((create) => prepare(rig, create)));
  for (const { create } of prepared) rig.simulator.fault({ match: create.name, times: 1, fault });
  const lost = await Promise.all(prepared.map(({ line, body }) => rig.send(line, body)));
  // Whatever might still land has landed.
  await rig.pass(5000);
  return new Map(
    prepared.map((one, i) => {
      const effects = rig.simulator.effects().filter((effect) => isOf(effect, one));
      return [one.create.name, { ...one, lost: lost[i] as Answer, effects }];
    }),
  );
}

describe.each(LOSSES)('a create that meets $name', ({ fault, landed, applied }) => {
  let rig: Rig;
  let results: Map<string, Result>;

  beforeAll(async () => {
    rig = await openRig({ search_lag: SEARCH_LAG });
    results = await loseAll(rig, fault);
  }, 60_000);

  afterAll(() => rig.end());

  const known = CREATES.filter((one) => one.probe === 'direct' || (one.probe === 'search' && landed));
  it.each(known)('§7: $name: one effect, and the object in its own shape', ({ name, answer }) => {
    const { healthy, lost, effects } = results.get(name) as Result;
    expect(lost.status, lost.text).toBe(healthy?.status);
    expect(lost.holdfast['effect']).toBe('applied');
    expect(effects).toHaveLength(1);
    if (answer.length === 0) {
      expect(lost.text.trim()).toBe('');
      return;
    }
    expect(Object.keys(lost.json).toSorted()).toEqual(Object.keys(healthy?.json).toSorted());
    expect(lost.text).toContain(effects[0]?.id);
  });

  // A success without a body cannot be cut.
  const whole = applied ? ['POST /events/summaries'] : [];
  const unknown = CREATES.filter((one) => !known.includes(one) && one.probe !== 'guarded' && !whole.includes(one.name));
  it.each(unknown)('§7: $name: sent once, and its caller is told what is known', ({ name }) => {
    const { lost, effects } = results.get(name) as Result;
    expect(effects).toHaveLength(landed ? 1 : 0);
    expect(lost.status, lost.text).toBe(applied ? 502 : 504);
    expect(lost.json.errors[0].code).toBe(applied ? 'holdfast_answer_broken' : 'holdfast_outcome_unknown');
    expect(lost.holdfast['effect']).toBe(applied ? 'applied' : 'unknown');
  });

  const guarded = CREATES.filter((one) => one.probe === 'guarded');
  it.each(guarded)('§7: $name: sent again, for the upstream drops or refuses a repeat', ({ name }) => {
    const { lost, effects } = results.get(name) as Result;
    // What is refused has happened, and shows nothing yet: a success without the object.
    expect([200, 204], lost.text).toContain(lost.status);
    expect(lost.holdfast['effect']).toBe('applied');
    expect(effects).toHaveLength(1);
  });
});
