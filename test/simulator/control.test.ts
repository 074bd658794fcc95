import { describe, expect, test } from 'vitest';
import { call, started } from './support.ts';

describe('control', () => {
  test('effects and requests say what happened, without credentials', async () => {
    const simulator = await started();
    const created = await call(simulator, 'POST /contacts', { external_id: '7' }, 'very-secret');
    const { json: effects, text } = await call(simulator, 'GET /__simulator/effects');
    expect(effects).toEqual([
      {
        n: 1,
        request: 1,
        operation: 'POST /contacts',
        kind: 'create',
        key: 'external_id=7',
        id: created.json.id,
        bodyHash: expect.stringMatching(/^[0-9a-f]{16}$/),
        tokenHash: expect.stringMatching(/^[0-9a-f]{16}$/),
        atMs: expect.any(Number),
        attempt: 1,
      },
    ]);
    expect(text).not.toContain('very-secret');
    const requests = (await call(simulator, 'GET /__simulator/requests')).json;
    expect(requests).toMatchObject([{ n: 1, method: 'POST', target: '/contacts', fault: null, status: 200 }]);
    expect((await call(simulator, 'GET /__simulator/stats')).json).toMatchObject({
      requests: 1,
      effects: 1,
      duplicates: 0,
    });
  });

  test('faults come and go at run time', async () => {
    const simulator = await started();
    const fault = { match: 'GET /me', times: 1, fault: { kind: 'status', status: 503 } };
    expect((await call(simulator, 'POST /__simulator/faults', fault)).status).toBe(204);
    expect((await call(simulator, 'GET /me')).status).toBe(503);
    expect((await call(simulator, 'GET /me')).status).toBe(200);
    await call(simulator, 'POST /__simulator/faults', { fault: 'throttle' });
    expect((await call(simulator, 'GET /me')).status).toBe(429);
    await call(simulator, 'DELETE /__simulator/faults');
    expect((await call(simulator, 'GET /me')).status).toBe(200);
  });

  test('another scenario keeps the entities, a reset forgets them', async () => {
    const simulator = await started();
    await call(simulator, 'POST /contacts', { external_id: '7' });
    await call(simulator, 'PUT /__simulator/scenario', { quota: { limit: 1 } });
    expect((await call(simulator, 'GET /contacts/find_by_external_id/7')).status).toBe(200);
    expect((await call(simulator, 'GET /me')).status).toBe(429);
    await call(simulator, 'POST /__simulator/reset');
    expect((await call(simulator, 'GET /contacts/find_by_external_id/7')).status).toBe(404);
    expect(simulator.stats()).toMatchObject({ requests: 1, effects: 0 });
  });

  test('an outage by request refuses and ends', async () => {
    const simulator = await started();
    await call(simulator, 'POST /__simulator/outages', { for: '50ms' }).catch(() => undefined);
    let refused = 0;
    for (;;) {
      try {
        if ((await call(simulator, 'GET /me')).status === 200) break;
      } catch {
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  test('what cannot be is refused with a reason', async () => {
    const simulator = await started();
    const bad = await call(simulator, 'PUT /__simulator/scenario', { rules: [{ fault: 'hang', oops: 1 }] });
    expect([bad.status, bad.json.faults]).toEqual([400, ['rules.0: Unrecognized key: "oops"']]);
    expect((await call(simulator, 'POST /__simulator/faults', '{')).json.error).toMatch(/^not JSON/);
    expect((await call(simulator, 'POST /__simulator/outages', {})).status).toBe(400);
    expect((await call(simulator, 'GET /__simulator/nothing')).status).toBe(404);
  });

  test('the request ring keeps the last 10,000', async () => {
    const { Ledger } = await import('../../src/simulator/base/ledger.ts');
    const ledger = new Ledger();
    const seen = {
      atMs: 0,
      method: 'GET',
      target: '/me',
      operation: 'GET /me',
      bodyBytes: 0,
      bodyHash: '',
      tokenHash: '',
    };
    for (let i = 0; i < 10_005; i++) ledger.arrived(seen);
    expect(ledger.requests).toHaveLength(10_000);
    expect([ledger.requests[0]?.n, ledger.requests.at(-1)?.n]).toEqual([6, 10_005]);
  });
});
