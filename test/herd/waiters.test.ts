import { afterEach, expect, test } from 'vitest';
import { type Rig, startRig, TOKEN, type Told, until } from './rig.ts';

const WAITERS = 200;
const LIMIT = 250;
let rig: Rig;

afterEach(() => rig.stop());

async function elsewhere(): Promise<Response> {
  const answer = await fetch(`${rig.simulator.url}/me`, { headers: { authorization: `Bearer ${TOKEN}` } });
  await answer.arrayBuffer();
  return answer;
}

/** Somebody else uses a window up as it begins, so that Holdfast hears of it by a 429. */
async function spendElsewhere(): Promise<void> {
  const reset = (await elsewhere()).headers.get('x-ratelimit-reset');
  await rig.pause(Number(reset) * 1000 + 10 - rig.clock.wall());
  await Promise.all(Array.from({ length: LIMIT }, elsewhere));
}

/** One call that is throttled, then everybody else. Call i asks for `/contacts/i`. */
async function herd(): Promise<Promise<Told>[]> {
  const calls = [rig.call('GET /contacts/0')];
  await until('the first call was throttled', async () => rig.simulator.stats().throttled === 1);
  for (let i = 1; i < WAITERS; i++) calls.push(rig.call(`GET /contacts/${i}`));
  await until('all others wait', async () => (await rig.status()).waiting === WAITERS - 1);
  return calls;
}

/** As `herd`, with a priority each, and each has arrived before the next is sent. */
async function orderlyHerd(urgencyOf: (i: number) => number): Promise<Promise<Told>[]> {
  const calls: Promise<Told>[] = [];
  for (let i = 0; i < WAITERS; i++) {
    calls.push(rig.call(`GET /contacts/${i}`, { headers: { priority: `u=${urgencyOf(i)}` } }));
    if (i === 0) await until('the first call was throttled', async () => rig.simulator.stats().throttled === 1);
    else await until(`call ${i} waits`, async () => (await rig.status()).waiting === i);
  }
  return calls;
}

/** No such contact: an answer all the same. */
async function allAnswered(calls: Promise<Told>[]): Promise<void> {
  expect((await Promise.all(calls)).every(({ status }) => status === 404)).toBe(true);
}

function mixed(i: number): number {
  return (i * 5) % 8;
}

/** The numbers of the calls in the order in which the simulator answered them after the pause. */
function order(): number[] {
  return rig.simulator
    .requests()
    .filter(({ target, status }) => target.startsWith('/contacts/') && status === 404)
    .map(({ target }) => Number(target.slice('/contacts/'.length)));
}

// All have to arrive within one window, which a machine that does other things as well may not manage.
const AGAIN = { retry: 2 };

test(
  '§4: 200 waiters, one pause, one reset: no second 429, first come, first served within each priority',
  AGAIN,
  async () => {
    // One connection, so that the order of arrival is the order of release.
    rig = await startRig({ scenario: { quota: { limit: LIMIT } }, yaml: 'upstream: { connections: 1 }' });
    await spendElsewhere();
    await allAnswered(await orderlyHerd(mixed));
    expect(rig.simulator.stats().throttled).toBe(1);
    const numbers = order();
    expect(numbers).toHaveLength(WAITERS);
    // Call 0 comes back from its backoff, a little after the reset: where it stands says nothing about the line.
    const lined = numbers.filter((i) => i !== 0);
    const expected = lined.toSorted((a, b) => mixed(a) - mixed(b) || a - b);
    expect(lined).toEqual(expected);
  },
);

test('§4: 200 waiters on as many connections as they like: no second 429 either', AGAIN, async () => {
  rig = await startRig({ scenario: { quota: { limit: LIMIT } }, speed: 2 });
  await spendElsewhere();
  await allAnswered(await herd());
  expect(rig.simulator.stats().throttled).toBe(1);
  expect(order()).toHaveLength(WAITERS);
});

/** A 429 that names no window: the quota that was learned has slots left, and only the pause holds the others back. */
async function closeFor(wait: string): Promise<void> {
  rig = await startRig({ scenario: { quota: { limit: 1000 } } });
  await rig.call('GET /me');
  rig.simulator.fault({ fault: { kind: 'throttle', hint: 'seconds', wait } });
}

test('§4: a Retry-After holds everybody back, not only the call that heard it', async () => {
  await closeFor('4s');
  const calls = await herd();
  rig.simulator.clearFaults();
  await allAnswered(calls);
  const [first, ...others] = rig.simulator.requests().filter(({ target }) => target.startsWith('/contacts/'));
  expect(others).toHaveLength(WAITERS);
  for (const { atMs } of others) expect(atMs - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(4000);
});

test('§4: when the server is still closed after the pause, one call finds out, not 200', async () => {
  await closeFor('4s');
  const calls = await herd();
  await until('the first probe was throttled', async () => rig.simulator.stats().throttled === 2);
  rig.simulator.clearFaults();
  await allAnswered(calls);
  expect(rig.simulator.stats().throttled).toBe(2);
});
