import { afterEach, expect, test } from 'vitest';
import { type Rig, startRig } from './rig.ts';

const CALLS = 300;
/** Coarse: less than every wait that there is. What it costs to the percent is measured by `npm run proof:herd`. */
const SLOWER_MS = 100;
const HANGING = { match: 'GET /contacts', fault: { kind: 'hang' } } as const;

let rig: Rig;

afterEach(() => rig.stop());

/** The slowest tenth of some calls in a row begins here, ms. */
async function p90(line: string): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < CALLS; i++) {
    const told = await rig.call(line);
    expect(told.status).toBe(200);
    took.push(told.tookMs);
  }
  return took.toSorted((a, b) => a - b)[Math.floor(CALLS * 0.9)] as number;
}

/** Calls that nobody answers, until the rig stops. */
function hang(calls: number): void {
  for (let i = 0; i < calls; i++) rig.call('GET /contacts').catch(() => {});
}

test('§5: an endpoint that fails every call slows no other', async () => {
  const dead = { match: 'GET /contacts', fault: { kind: 'status', status: 503 } } as const;
  rig = await startRig({ scenario: { quota: { limit: 100_000 }, rules: [dead] } });
  await p90('GET /tags');
  const alone = await p90('GET /tags');
  const failing = Promise.all(Array.from({ length: 50 }, () => rig.call('GET /contacts')));
  const beside = await p90('GET /tags');
  await failing;
  expect((await rig.status()).breakers['GET /contacts']?.state).toBe('open');
  expect(beside).toBeLessThanOrEqual(2 * alone + SLOWER_MS);
});

test('an endpoint that hangs slows no other while connections are left', async () => {
  rig = await startRig({ scenario: { quota: { limit: 100_000 }, rules: [HANGING] } });
  await p90('GET /tags');
  const alone = await p90('GET /tags');
  hang(60);
  expect(await p90('GET /tags')).toBeLessThanOrEqual(2 * alone + SLOWER_MS);
});

test('the bulkhead keeps connections from an endpoint that hangs under more calls than there are connections', async () => {
  rig = await startRig({
    scenario: { quota: { limit: 100_000 }, rules: [HANGING] },
    yaml: 'limits: { per_endpoint: 32 }',
  });
  await p90('GET /tags');
  const alone = await p90('GET /tags');
  hang(400);
  expect(await p90('GET /tags')).toBeLessThanOrEqual(2 * alone + SLOWER_MS);
});
