import { afterEach, expect, test } from 'vitest';
import { type Rig, startRig, TOKEN, until } from './rig.ts';

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

/** One 429, then everybody else; call i asks for `/contacts/i`. Each has arrived before the next is sent. */
async function herd(urgencyOf: (i: number) => number): Promise<void> {
  await spendElsewhere();
  const calls = [];
  for (let i = 0; i < WAITERS; i++) {
    calls.push(rig.call(`GET /contacts/${i}`, { headers: { priority: `u=${urgencyOf(i)}` } }));
    if (i === 0) await until('the first call was throttled', async () => rig.simulator.stats().throttled === 1);
    else await until(`call ${i} waits`, async () => (await rig.status()).waiting === i);
  }
  const told = await Promise.all(calls);
  // No such contact: an answer all the same.
  expect(told.every(({ status }) => status === 404)).toBe(true);
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

test('§4: 200 waiters, one pause, one reset: no second 429, first come, first served within each priority', async () => {
  // One connection, so that the order of arrival is the order of release.
  rig = await startRig({ scenario: { quota: { limit: LIMIT } }, yaml: 'upstream: { connections: 1 }', speed: 2 });
  await herd(mixed);
  expect(rig.simulator.stats().throttled).toBe(1);
  const numbers = order();
  expect(numbers).toHaveLength(WAITERS);
  // Call 0 comes back from its backoff, a little after the reset: where it stands says nothing about the line.
  const lined = numbers.filter((i) => i !== 0);
  const expected = lined.toSorted((a, b) => mixed(a) - mixed(b) || a - b);
  expect(lined).toEqual(expected);
});

test('§4: 200 waiters on as many connections as they like: no second 429 either', async () => {
  rig = await startRig({ scenario: { quota: { limit: LIMIT } }, speed: 2 });
  await herd(() => 3);
  expect(rig.simulator.stats().throttled).toBe(1);
  expect(order()).toHaveLength(WAITERS);
});
