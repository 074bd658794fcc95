import { describe, expect, test } from 'vitest';
import { DOWN } from './redrive-rig.ts';
import { startRig } from './redrive-tests.ts';

const lead = (n: number) => ({ external_id: `lead-${n}`, email: `lead-${n}@example.com`, name: `Lead ${n}` });

describe('§9: redrive', () => {
  test('says what it would do, brings everything home once, and gives a result for each row', async () => {
    const rig = await startRig({ rules: [DOWN] });
    for (let n = 0; n < 20; n += 1) expect((await rig.send('POST /contacts', lead(n))).status).toBe(503);
    const groups = await rig.api('GET /api/dead-letters/groups');
    expect(groups.json.groups).toMatchObject([{ rows: 20, reason: 'exhausted' }]);

    const dry = await rig.api('POST /api/redrives', { filter: { endpoint: 'POST /contacts' }, dry_run: true });
    expect(dry.json.plan).toMatchObject({ rows: 20, run: 20, creates: 20, unknown: 0, superseded: 0, expired: 0 });
    expect(rig.simulator.stats().effects).toBe(0);

    rig.simulator.clearFaults();
    const done = await rig.redrive({ filter: { endpoint: 'POST /contacts' } });
    expect(done).toMatchObject({ rows: 20, pending: 0, results: { succeeded: 20, dead: 0 } });
    expect(rig.simulator.stats()).toMatchObject({ effects: 20, duplicates: 0 });
    const { rows } = (await rig.api(`GET /api/redrives/${done.id}/rows`)).json;
    expect(rows).toHaveLength(20);
    expect(rows[0]).toMatchObject({ n: 1, result: 'succeeded', detail: '200' });
    const letter = (await rig.api(`GET /api/dead-letters/${rows[0].id}`)).json;
    expect(letter).toMatchObject({ state: 'succeeded', redrive: done.id });
    expect(letter.attempts).toHaveLength(2);
    expect((await rig.api('GET /api/dead-letters')).json.dead_letters).toEqual([]);
  });

  test('stops by itself when the upstream fails again, says so, and proves itself with a canary when it is resumed', async () => {
    const rig = await startRig({ rules: [DOWN] });
    for (let n = 0; n < 40; n += 1) await rig.send('POST /contacts', lead(n));
    const early = await rig.redrive({ filter: { state: 'open' } }, ['paused']);
    expect(early.why).toBe('3 of the first 3 rows failed');
    expect(early).toMatchObject({ pending: 37, results: { dead: 3 } });

    rig.simulator.setScenario({ quota: { limit: 1_000_000 }, rules: [{ ...DOWN, nth: range(16, 60) }] });
    await rig.api(`POST /api/redrives/${early.id}/resume`, {});
    const relapsed = await rig.until(early.id, ['paused']);
    expect(relapsed.why).toMatch(/^\d+ of the last \d+ rows failed$/);
    expect(relapsed.results.succeeded).toBe(15);
    expect(relapsed.pending).toBeGreaterThan(0);
    expect(rig.holdfast.log.filter((line) => line['event'] === 'redrive' && line['state'] === 'paused')).toHaveLength(
      2,
    );

    rig.simulator.clearFaults();
    await rig.api(`POST /api/redrives/${early.id}/resume`, {});
    const done = await rig.until(early.id, ['done']);
    expect(done.pending).toBe(0);
    const rest = await rig.redrive({ filter: { state: 'dead' } });
    expect(done.results.succeeded + rest.results.succeeded).toBe(40);
    expect(rig.simulator.stats()).toMatchObject({ duplicates: 0 });
  });

  test('the same redrive started twice is one; another one leaves its rows alone', async () => {
    const rig = await startRig({ rules: [DOWN] });
    for (let n = 0; n < 30; n += 1) await rig.send('POST /contacts', lead(n));
    rig.simulator.clearFaults();
    const order = { filter: { endpoint: 'POST /contacts' } };
    const [first, second, other] = await Promise.all([
      rig.api('POST /api/redrives', order),
      rig.api('POST /api/redrives', order),
      rig.api('POST /api/redrives', { filter: { cause: 'exhausted' } }),
    ]);
    expect(new Set([first.json.known, second.json.known])).toEqual(new Set([false, true]));
    expect(second.json.redrive.id).toBe(first.json.redrive.id);
    await rig.until(first.json.redrive.id, ['done']);
    await rig.until(other.json.redrive.id, ['done']);
    expect(rig.simulator.stats()).toMatchObject({ effects: 30, duplicates: 0 });
    expect(rig.simulator.requests().filter(({ status }) => status === 200)).toHaveLength(30);
  });

  test('says what is wrong with orders that mean nothing', async () => {
    const rig = await startRig();
    expect((await rig.api('POST /api/redrives', { filter: { id: 'nobody' } })).status).toBe(404);
    expect((await rig.api('POST /api/dead-letters/nobody/redrive', {})).status).toBe(404);
    expect((await rig.api('GET /api/redrives/nobody')).status).toBe(404);
    expect((await rig.api('POST /api/redrives/nobody/pause', {})).status).toBe(404);
    const nothing = await rig.api('POST /api/redrives', { filter: { endpoint: 'POST /nowhere' } });
    expect(nothing).toMatchObject({ status: 200, json: { redrive: null, plan: { rows: 0 } } });
    for (const bad of [{}, { filter: {} }, { filter: { state: 'open' }, velocity: 2 }, { filter: { sate: 'open' } }]) {
      const { status, json } = await rig.api('POST /api/redrives', bad);
      expect({ status, code: json.errors[0].code }).toEqual({ status: 400, code: 'holdfast_bad_request' });
    }
  });

  test('a token given for a redrive takes the place of a revoked one, and is kept nowhere', async () => {
    const rig = await startRig({ rules: [{ fault: { kind: 'status', status: 401, effect: 'none' } }] });
    await rig.send('POST /contacts', lead(1), 'revoked-token');
    rig.simulator.clearFaults();
    const done = await rig.redrive({ filter: { state: 'open' }, credential: 'planted-fresh-token' });
    expect(done.results.succeeded).toBe(1);
    expect(JSON.stringify([done, rig.holdfast.log])).not.toContain('planted-fresh-token');
    const [before, after] = rig.simulator.requests();
    expect(after?.tokenHash).not.toBe(before?.tokenHash);
  });

  test('can be paused, resumed and cancelled; what was not tried stays as it was', async () => {
    const rig = await startRig({ quota: { limit: 1000 }, rules: [DOWN] }, YAML_SLOW);
    for (let n = 0; n < 20; n += 1) await rig.send('POST /contacts', lead(n));
    rig.simulator.clearFaults();
    const { json } = await rig.api('POST /api/redrives', { filter: { state: 'open' }, velocity: 0.001, canary: 0 });
    const { id } = json.redrive;
    expect((await rig.api(`POST /api/redrives/${id}/pause`, {})).json).toMatchObject({ state: 'paused' });
    expect((await rig.api(`POST /api/redrives/${id}/resume`, {})).json).toMatchObject({ state: 'running' });
    expect((await rig.api(`POST /api/redrives/${id}/cancel`, {})).json).toMatchObject({ state: 'cancelled' });
    expect((await rig.api(`POST /api/redrives/${id}/resume`, {})).status).toBe(409);
    const rest = await rig.redrive({ filter: { state: 'open' }, velocity: 1 });
    expect(rest.rows).toBeGreaterThan(15);
    expect(rig.simulator.stats()).toMatchObject({ effects: 20, duplicates: 0 });
  });
});

const YAML_SLOW = `version: 1
defaults: { retry: { max_retries: 0 }, breaker: { min_requests: 1000, last: 1000 } }
`;

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
