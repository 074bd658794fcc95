import { expect, test } from 'vitest';
import { DOWN, type Rig } from './redrive-rig.ts';
import { startRig } from './redrive-tests.ts';

/** Dead letters that somebody was told of: the counter that the alerts and the targets of `notify` go by. */
async function told(rig: Rig): Promise<number> {
  const metrics = await (await fetch(`${rig.holdfast.adminUrl}/metrics`)).text();
  return [...metrics.matchAll(/^holdfast_dead_letters_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

test('§9: a row that a redrive did not bring home is no new dead letter, however often it is tried', async () => {
  const rig = await startRig({ rules: [DOWN] });
  for (let n = 0; n < 5; n += 1) await rig.send(`PUT /contacts/c${n}`, { name: 'x' });
  expect(await told(rig)).toBe(5);
  const paused = await rig.redrive({ filter: { state: 'open' } }, ['paused']);
  expect(paused.results.dead).toBe(3);
  expect(await told(rig)).toBe(5);

  await rig.api('POST /api/breakers/PUT%20%2Fcontacts%2F%7Bcontact_id%7D/open');
  await rig.api(`POST /api/redrives/${paused.id}/resume`, {});
  let why = null;
  while (why !== 'waits: breaker_open') ({ why } = (await rig.api(`GET /api/redrives/${paused.id}`)).json);
  expect(await told(rig)).toBe(5);
  await rig.api(`POST /api/redrives/${paused.id}/cancel`, {});
});

test('§9: a create in doubt is told of once, and not again each time that its caller asks under its key', async () => {
  const rig = await startRig();
  rig.simulator.fault({ match: 'POST /messages', times: 1, fault: { kind: 'reset', effect: 'applied' } });
  const ask = async (): Promise<number> => {
    const headers = { authorization: 'Bearer good', 'content-type': 'application/json', 'idempotency-key': 'k' };
    const body = JSON.stringify({ from: { type: 'admin', id: 1 }, to: { type: 'user', id: 'u' }, body: 'hello' });
    return (await fetch(`${rig.holdfast.url}/messages`, { method: 'POST', headers, body })).status;
  };
  expect([await ask(), await ask(), await ask()]).toEqual([504, 504, 504]);
  expect(await told(rig)).toBe(1);
});

test('§9: one scrape has the bytes of the rows that it has', async () => {
  const rig = await startRig({ rules: [DOWN] });
  await rig.send('PUT /contacts/c1', { name: 'x'.repeat(5000) });
  const metrics = await (await fetch(`${rig.holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toContain('holdfast_dead_letters{state="dead"} 1');
  expect(Number(/^holdfast_dead_letters_bytes (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(5000);
});
