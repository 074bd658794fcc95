import { describe, expect, test } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { call, raw, started } from './support.ts';

const LEAD = JSON.stringify({ role: 'lead', email: 'l@x.example' });

async function struck(fault: RuleInput['fault'], clock?: VirtualClock): Promise<Simulator> {
  const simulator = await started(clock === undefined ? {} : { clock });
  simulator.fault({ match: 'POST /contacts', times: 1, fault });
  return simulator;
}

/** The effects at once, and after a second attempt that meets no fault. */
async function effectsNowAndThen(simulator: Simulator): Promise<[number, number]> {
  const now = simulator.effects().length;
  expect((await call(simulator, 'POST /contacts', LEAD)).status).toBe(200);
  return [now, simulator.effects().length];
}

describe('connections', () => {
  test('refuse resets a connection before a request is read', async () => {
    const simulator = await started();
    simulator.fault({ times: 1, fault: 'refuse' });
    expect(await raw(simulator, 'GET /me')).toEqual({ text: '', ending: 'ECONNRESET' });
    expect((await call(simulator, 'GET /me')).status).toBe(200);
    expect(simulator.stats()).toMatchObject({ requests: 1, faults: { refuse: 1 } });
  });

  test('a closed listener refuses, drops every open connection, and comes back on its port', async () => {
    const simulator = await started();
    const open = raw(simulator, 'GET /me', '', (text) => {
      if (text !== '') void simulator.refuse();
      return false;
    });
    expect((await open).ending).toBe('ECONNRESET');
    expect((await raw(simulator, 'GET /me')).ending).toBe('ECONNREFUSED');
    expect(simulator.stats().connections).toBe(0);
    await simulator.accept();
    expect((await call(simulator, 'GET /me')).status).toBe(200);
  });

  test('an outage of the scenario begins and ends by itself', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock, scenario: { outages: [{ from: '5s', to: '8s' }] } });
    expect((await call(simulator, 'GET /me')).status).toBe(200);
    await clock.advance(5000);
    await simulator.settled();
    expect((await raw(simulator, 'GET /me')).ending).toBe('ECONNREFUSED');
    await clock.advance(3000);
    await simulator.settled();
    expect((await call(simulator, 'GET /me')).status).toBe(200);
  });

  test('another scenario ends an outage and leaves answers on their way alone', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock });
    simulator.fault({ times: 1, fault: { kind: 'delay', by: '1s' } });
    const answer = call(simulator, 'GET /me');
    await until(() => clock.pending === 1);
    simulator.setScenario({});
    await clock.advance(1000);
    expect((await answer).status).toBe(200);
    simulator.outage(60_000);
    await simulator.settled();
    simulator.setScenario({});
    await simulator.settled();
    const again = await raw(simulator, 'GET /me', '', (text) => text.includes('"admin"'));
    expect(again.text).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('close leaves no connection, a hanging one neither', async () => {
    const simulator = await struck('hang');
    const hanging = raw(simulator, 'POST /contacts', LEAD);
    await until(() => simulator.requests().length === 1);
    await simulator.close();
    expect((await hanging).text).toBe('');
    expect(simulator.stats().connections).toBe(0);
  });
});

describe('lost answers', () => {
  test.each(['hang', 'reset'] as const)('%s without effect leaves nothing', async (kind) => {
    const simulator = await struck(kind);
    await lose(simulator);
    expect(await effectsNowAndThen(simulator)).toEqual([0, 1]);
  });

  test.each(['hang', 'reset'] as const)('%s after the effect leaves it', async (kind) => {
    const simulator = await struck({ kind, effect: 'applied' });
    await lose(simulator);
    expect(await effectsNowAndThen(simulator)).toEqual([1, 2]);
    expect(simulator.stats().duplicates).toBe(1);
  });

  test('a late effect lands after its answer was lost, and a reset of the simulator cancels it', async () => {
    const clock = new VirtualClock();
    const simulator = await struck({ kind: 'reset', effect: 'late', late_by: '2s' }, clock);
    await lose(simulator);
    await clock.advance(1999);
    expect(simulator.effects()).toHaveLength(0);
    await clock.advance(1);
    expect(simulator.effects()).toHaveLength(1);
    simulator.fault({ times: 1, fault: { kind: 'reset', effect: 'late' } });
    await lose(simulator);
    simulator.reset();
    await clock.advance(60_000);
    expect(simulator.effects()).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });
});

async function lose(simulator: Simulator): Promise<void> {
  const before = simulator.requests().length;
  let done = false;
  const lost = raw(simulator, 'POST /contacts', LEAD, () => done);
  await until(() => simulator.requests().length === before + 1);
  done = true;
  // A hanging connection is ended from here, as a client that gives up would.
  if (simulator.requests().at(-1)?.fault === 'hang') return;
  expect(await lost).toEqual({ text: '', ending: 'ECONNRESET' });
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !holds(); i++) await new Promise((resolve) => setImmediate(resolve));
  expect(holds()).toBe(true);
}

describe('error answers', () => {
  test.each([500, 502, 503, 504])('%i comes without effect unless told', async (status) => {
    const simulator = await struck({ kind: 'status', status });
    const got = await call(simulator, 'POST /contacts', LEAD);
    expect(got.status).toBe(status);
    expect(got.json).toMatchObject({ type: 'error.list', request_id: got.headers.get('x-request-id') });
    expect(await effectsNowAndThen(simulator)).toEqual([0, 1]);
  });

  test.each([500, 502, 503, 504])('%i can come with the effect applied', async (status) => {
    const simulator = await struck({ kind: 'status', status, effect: 'applied' });
    expect((await call(simulator, 'POST /contacts', LEAD)).status).toBe(status);
    expect(await effectsNowAndThen(simulator)).toEqual([1, 2]);
  });

  test('Retry-After comes in seconds or as a date of the server clock', async () => {
    const clock = new VirtualClock();
    const simulator = await started({ clock, scenario: { clock: { offset: '-90s' } } });
    simulator.fault({ nth: 1, fault: { kind: 'status', status: 503, retry_after: '1500ms' } });
    expect((await call(simulator, 'GET /me')).headers.get('retry-after')).toBe('2');
    simulator.clearFaults();
    simulator.fault({ fault: { kind: 'status', status: 503, retry_after: '30s', retry_after_form: 'date' } });
    const dated = await call(simulator, 'GET /me');
    const wait = Date.parse(dated.headers.get('retry-after')!) - Date.parse(dated.headers.get('date')!);
    expect(wait).toBe(30_000);
    expect(Date.parse(dated.headers.get('date')!)).toBe(clock.wall() - 90_000);
  });

  test('invalid is a validation error inside a 500', async () => {
    const simulator = await struck('invalid');
    const got = await call(simulator, 'POST /contacts', LEAD);
    expect([got.status, got.json.errors]).toEqual([
      500,
      [{ code: 'parameter_invalid', message: 'invalid field value' }],
    ]);
    expect(await effectsNowAndThen(simulator)).toEqual([0, 1]);
  });

  test('bodies can be a page of the load balancer, or nothing; codes can be chosen', async () => {
    const simulator = await struck({ kind: 'status', status: 502, body: 'html' });
    const page = await call(simulator, 'POST /contacts', LEAD);
    expect([page.status, page.headers.get('content-type')]).toEqual([502, 'text/html']);
    expect(page.text).toContain('<h1>502 Bad Gateway</h1>');
    simulator.fault({ times: 1, fault: { kind: 'status', status: 500, body: 'empty' } });
    expect((await call(simulator, 'GET /me')).text).toBe('');
    simulator.fault({ times: 1, fault: { kind: 'status', status: 401, code: 'token_revoked', message: 'gone' } });
    expect((await call(simulator, 'GET /me')).json.errors).toEqual([{ code: 'token_revoked', message: 'gone' }]);
  });
});

describe('broken successes', () => {
  test('truncated by length breaks off before the promised end, with effect', async () => {
    const simulator = await struck('truncated');
    const { text, ending } = await raw(simulator, 'POST /contacts', LEAD);
    const length = Number(/Content-Length: (\d+)/.exec(text)?.[1]);
    expect(ending).toBe('end');
    expect(bodyOf(text).length).toBe(Math.ceil(length / 2));
    expect(await effectsNowAndThen(simulator)).toEqual([1, 2]);
  });

  test('truncated in chunks has no last chunk', async () => {
    const simulator = await struck({ kind: 'truncated', framing: 'chunked' });
    const { text } = await raw(simulator, 'POST /contacts', LEAD);
    expect(text).toMatch(/Transfer-Encoding: chunked/i);
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(simulator.requests()[0]).toMatchObject({ fault: 'truncated', status: 200 });
  });

  test('truncated cleanly is complete on the wire and half of the JSON', async () => {
    const simulator = await struck({ kind: 'truncated', framing: 'clean' });
    const got = await call(simulator, 'POST /contacts', LEAD);
    expect(got.status).toBe(200);
    expect(() => JSON.parse(got.text)).toThrow(SyntaxError);
    expect(await effectsNowAndThen(simulator)).toEqual([1, 2]);
  });

  test.each(['html', 'empty'] as const)('%s is a 200 that says nothing of the effect', async (kind) => {
    const simulator = await struck(kind);
    const got = await call(simulator, 'POST /contacts', LEAD);
    expect([got.status, got.json]).toEqual([200, undefined]);
    expect(await effectsNowAndThen(simulator)).toEqual([1, 2]);
    simulator.fault({ times: 1, fault: { kind, effect: 'none' } });
    expect((await call(simulator, 'POST /contacts', LEAD)).status).toBe(200);
    expect(simulator.effects()).toHaveLength(2);
  });

  test.each(['html', 'empty'] as const)('%s may be followed by the effect', async (kind) => {
    const clock = new VirtualClock();
    const simulator = await struck({ kind, effect: 'late', late_by: '3s' }, clock);
    await call(simulator, 'POST /contacts', LEAD);
    expect(simulator.effects()).toEqual([]);
    await clock.advance(3000);
    expect(simulator.effects()).toHaveLength(1);
  });

  test('stall sends half and then nothing', async () => {
    const simulator = await struck('stall');
    const { text } = await raw(simulator, 'POST /contacts', LEAD, (sofar) => bodyOf(sofar).length > 0);
    const length = Number(/Content-Length: (\d+)/.exec(text)?.[1]);
    expect(bodyOf(text).length).toBe(Math.floor(length / 2));
  });

  test('drip sends a few bytes per interval, all of them in the end', async () => {
    const clock = new VirtualClock();
    const simulator = await struck({ kind: 'drip', bytes: 100, every: '1s' }, clock);
    const lengths: number[] = [];
    const done = call(simulator, 'POST /contacts', LEAD);
    await until(() => clock.pending === 1);
    for (let i = 0; i < 100 && clock.pending > 0; i++) {
      lengths.push(i);
      await clock.advance(1000);
    }
    const { json, text } = await done;
    expect(json).toMatchObject({ type: 'contact' });
    expect(lengths).toHaveLength(Math.ceil(text.length / 100));
  });
});

function bodyOf(text: string): string {
  const at = text.indexOf('\r\n\r\n');
  return at < 0 ? '' : text.slice(at + 4);
}

describe('quota answers', () => {
  test.each([
    ['seconds', { 'retry-after': '2' }],
    ['date', {}],
    ['reset', { 'x-ratelimit-remaining': '0' }],
    ['none', {}],
  ] as const)('throttle says when to come back by %s only', async (hint, expected) => {
    const simulator = await struck({ kind: 'throttle', hint, wait: '2s' });
    const got = await call(simulator, 'POST /contacts', LEAD);
    expect(got.status).toBe(429);
    expect(got.json.errors).toEqual([
      { code: 'rate_limit_exceeded', message: 'Exceeded rate limit of 1667 in 10_seconds' },
    ]);
    expect(Object.fromEntries(got.headers)).toMatchObject(expected);
    expect(got.headers.has('retry-after')).toBe(hint === 'seconds' || hint === 'date');
    expect(got.headers.has('x-ratelimit-reset')).toBe(hint === 'reset');
    expect(await effectsNowAndThen(simulator)).toEqual([0, 1]);
  });

  test.each(['missing', 'garbage', 'past', 'far_future', 'milliseconds', 'contradictory'] as const)(
    'rate-limit fields can be %s on a good answer',
    async (as) => {
      const simulator = await struck({ kind: 'rate_fields', as });
      const { status, headers } = await call(simulator, 'POST /contacts', LEAD);
      const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map((name) =>
        headers.get(`x-ratelimit-${name}`),
      );
      const nowSeconds = Math.floor(Date.now() / 1000);
      expect(status).toBe(200);
      if (as === 'missing') expect([limit, remaining, reset]).toEqual([null, null, null]);
      if (as === 'garbage') expect(Number(reset)).toBeNaN();
      if (as === 'past') expect(Number(reset)).toBeLessThan(nowSeconds);
      if (as === 'far_future') expect(Number(reset)).toBeGreaterThan(nowSeconds + 86_400 * 365);
      if (as === 'milliseconds') expect(Number(reset)).toBeGreaterThan(1e12);
      if (as === 'contradictory') expect(Number(remaining)).toBeGreaterThan(Number(limit));
    },
  );

  test('delay answers late and rightly', async () => {
    const clock = new VirtualClock();
    const simulator = await struck({ kind: 'delay', by: '300ms' }, clock);
    const answer = call(simulator, 'POST /contacts', LEAD);
    await until(() => clock.pending === 1);
    await clock.advance(299);
    expect(simulator.effects()).toHaveLength(0);
    await clock.advance(1);
    expect((await answer).status).toBe(200);
  });
});
