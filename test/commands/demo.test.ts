import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type DemoIo, demo, type StartHoldfast } from '../../src/commands/demo.ts';
import { plainClient, sdkLikeClient } from '../../src/commands/demo-client.ts';
import { makeLeads, runPipeline, tally } from '../../src/commands/demo-pipeline.ts';
import { type Side, table } from '../../src/commands/demo-view.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { call, started } from '../simulator/support.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function context(origin: string, clock: VirtualClock) {
  const waits = { waitedMs: 0 };
  return { origin, clock, random: seededRandom(1), signal: new AbortController().signal, waits };
}

async function settledWith<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  const state = { done: false };
  void promise.finally(() => {
    state.done = true;
  });
  while (!state.done) {
    if (clock.pending > 0) await clock.advance(20_000);
    await clock.settle();
  }
  return promise;
}

describe('the client without Holdfast', () => {
  test('sends a create three times when each is answered 500 after its effect, as the official SDK does', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock });
    simulator.fault({ match: 'POST /contacts', fault: { kind: 'status', status: 500, effect: 'applied' } });
    const client = sdkLikeClient(context(simulator.url, clock));
    const reply = await settledWith(clock, client('POST', '/contacts', { role: 'lead', email: 'a@x.example' }));
    expect(reply).toEqual({ kind: 'failed', why: 'server_error' });
    expect(simulator.stats()).toMatchObject({ requests: 3, duplicates: 2 });
  });

  test('waits for the reset of the quota, gives a broken connection up, and believes an empty success', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock });
    const where = context(simulator.url, clock);
    const client = sdkLikeClient(where);
    simulator.fault({ times: 1, fault: { kind: 'throttle', wait: '8s' } });
    expect((await settledWith(clock, client('POST', '/tags', { name: 'x' }))).kind).toBe('ok');
    expect(where.waits.waitedMs).toBeGreaterThanOrEqual(8000);
    simulator.fault({ times: 1, fault: 'reset' });
    expect((await client('POST', '/tags', { name: 'y' })).kind).toBe('failed');
    simulator.fault({ times: 1, fault: { kind: 'empty', effect: 'none' } });
    expect(await client('POST', '/tags', { name: 'z' })).toEqual({ kind: 'ok', body: undefined });
  });
});

describe('the pipeline', () => {
  test('is judged by what happened and not by what the client believes', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock });
    simulator.fault({ match: 'POST /contacts/{id}/tags', nth: 2, fault: { kind: 'empty', effect: 'none' } });
    simulator.fault({ match: 'PUT /contacts/{id}', nth: 3, fault: 'reset' });
    const leads = makeLeads(4);
    const { signal } = new AbortController();
    await runPipeline(
      leads,
      plainClient(context(simulator.url, clock)),
      { clock, concurrency: 1, leadEveryMs: 0 },
      signal,
    );
    expect(leads.map((lead) => lead.end)).toEqual(['confirmed', 'confirmed', 'given_up', 'confirmed']);
    expect(leads[2]?.why).toMatch(/^PUT \/contacts\/\{contact_id\}: /);
    expect(tally(leads, simulator.effects())).toEqual({
      leads: 4,
      confirmed: 3,
      unknown: 0,
      givenUp: 1,
      unfinished: 0,
      lostInSilence: 1,
    });
    expect((await call(simulator, 'GET /contacts')).json.total_count).toBe(4);
  });
});

const passThrough: StartHoldfast = (upstream) => Promise.resolve({ url: upstream, stop: () => Promise.resolve() });

/** Runs the demo; `start` puts something else in the place of Holdfast. */
async function run(leads: number, start?: StartHoldfast): Promise<{ code: number; out: string }> {
  let out = '';
  const io: DemoIo = {
    version: '0.0.0',
    stdout: {
      write: (text: string) => {
        out += text;
      },
    },
    stderr: { write: () => {} },
    readFile: (file) => readFileSync(file, 'utf8'),
    onSignal: () => () => {},
  };
  return { code: await demo({ leads, seed: 1911, json: true }, io, start), out };
}

describe('the demo', () => {
  // With seed 1911 the tags of two of the first three leads are answered 200 and do nothing; nothing else strikes.
  test('exits 1 when what stands in the place of Holdfast loses something in silence', async () => {
    const { code, out } = await run(5, passThrough);
    const { holdfast } = JSON.parse(out) as { holdfast: Side };
    expect(holdfast.lostInSilence).toBeGreaterThan(0);
    expect(code).toBe(1);
  });

  test('exits 0 with Holdfast, which does not believe the empty successes', async () => {
    const { code, out } = await run(5);
    const { holdfast } = JSON.parse(out) as { holdfast: Side };
    expect(holdfast).toMatchObject({ confirmed: 5, lostInSilence: 0, duplicates: 0 });
    expect(code).toBe(0);
  });

  test('says everything in one table that fits a terminal', () => {
    const side: Side = {
      leads: 50,
      confirmed: 25,
      unknown: 1,
      givenUp: 2,
      unfinished: 0,
      lostInSilence: 0,
      duplicates: 3,
      requests: 200,
      throttled: 4,
      waitedMs: 1234,
      tookMs: null,
    };
    const lines = table(side, { ...side, tookMs: 5000 });
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.find((line) => line.includes('done, as the client sees it'))).toContain('████████░░░░░░░░ 25/50');
    expect(lines.at(-1)).toMatch(/running +5\.0 s$/);
  });
});
