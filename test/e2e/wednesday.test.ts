import { describe, expect, test } from 'vitest';
import { eventually } from '../faults/live.ts';
import { wednesday } from '../proofs/wednesday.story.ts';
import { DOWN, type Json } from './redrive-rig.ts';
import { startRig } from './redrive-tests.ts';

const lead = (n: number) => ({ external_id: `lead-${n}`, email: `lead-${n}@example.com` });

describe('§9: the Wednesday story', () => {
  test('done and dead are all; three causes with their counts; after they are put right all come home once', async () => {
    const story = await wednesday(200);
    expect(story.done + story.dead).toBe(200);
    expect(story.groups).toHaveLength(3);
    const rows = (part: string) => story.groups.find(([label]) => label.includes(part))?.[1];
    const { outage, bad, revoked } = story.expected;
    expect([rows('503'), rows('400'), rows('401')]).toEqual([outage, bad, revoked]);
    expect(story).toMatchObject({ home: 200, duplicates: 0, openInTheEnd: 0 });
  }, 60_000);

  test('with clients that give up every refused write is kept with its count, one redrive brings it home, and what was sent again is superseded', async () => {
    const rig = await startRig({ rules: [DOWN] }, givingUp('60s'));
    for (let n = 0; n < 10; n += 1) await rig.send('POST /contacts', lead(n));
    for (let n = 10; n < 40; n += 1) {
      for (let time = 0; time < 2; time += 1) expect((await rig.send('POST /contacts', lead(n))).status).toBe(503);
    }
    const { groups } = (await rig.api('GET /api/dead-letters/groups?cause=refused')).json;
    expect(groups).toMatchObject([{ rows: 30, calls: 60 }]);

    rig.simulator.clearFaults();
    await rig.api('POST /api/breakers/POST%20%2Fcontacts/close');
    for (let n = 30; n < 40; n += 1) expect((await rig.send('POST /contacts', lead(n))).status).toBe(200);
    await eventually('10 superseded', async () => {
      const { dead_letters } = (await rig.api('GET /api/dead-letters?state=superseded')).json;
      return dead_letters.length === 10;
    });
    const done = await rig.redrive({ filter: { state: 'open' } });
    expect(done.results).toMatchObject({ succeeded: 30, dead: 0, unknown: 0 });
    expect(rig.simulator.stats()).toMatchObject({ effects: 40, duplicates: 0 });
    expect((await rig.api('GET /api/dead-letters')).json.dead_letters).toEqual([]);
  });

  test('auto_redrive: a breaker that closes brings home what its open time made, refused ones included, and nothing else', async () => {
    const rig = await startRig({ rules: [DOWN] }, `${givingUp('2s')}dead_letters: { auto_redrive: true }\n`);
    for (let n = 0; n < 10; n += 1) await rig.send('POST /contacts', lead(n));
    const before = await idsOf(rig.api('GET /api/dead-letters'));
    for (let n = 10; n < 30; n += 1) await rig.send('POST /contacts', lead(n));
    rig.simulator.clearFaults();
    await eventually('closed', async () => {
      await rig.send('POST /contacts', lead(100));
      const { breakers } = (await rig.api('GET /api/status')).json;
      return breakers['POST /contacts'].state === 'closed';
    });
    await eventually('home', async () => {
      const { redrives } = (await rig.api('GET /api/redrives')).json;
      return redrives[0]?.state === 'done';
    });
    const { redrives } = (await rig.api('GET /api/redrives')).json;
    expect(redrives[0]).toMatchObject({ trigger: 'breaker', results: { dead: 0 } });
    // Newest first: the failure that opened it died when it was open.
    expect(await idsOf(rig.api('GET /api/dead-letters'))).toEqual(before.slice(1));
    expect(rig.simulator.stats().duplicates).toBe(0);
  });
});

const givingUp = (openFor: string): string => `version: 1
defaults:
  retry: { max_retries: 0 }
  breaker: { open_for: ${openFor}, max_open_for: 60s, half_open_probes: 1 }
redrive: { velocity: 1 }
`;

async function idsOf(asked: Promise<{ json: Json }>): Promise<string[]> {
  return ((await asked).json.dead_letters as Json[]).map(({ id }) => String(id));
}
