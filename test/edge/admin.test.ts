import { request as httpRequest, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Settings } from '../../src/core/settings.ts';
import { createAdminPlane } from '../../src/edge/admin.ts';
import type { RedriveControl } from '../../src/edge/admin-redrives.ts';
import { Events } from '../../src/ops/events.ts';
import { createLog } from '../../src/ops/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { NAMES_KEY } from '../support/names-key.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const noRedrives: RedriveControl = {
  plan: () => Promise.reject(new Error('not asked')),
  start: () => Promise.reject(new Error('not asked')),
  get: () => Promise.resolve(null),
  list: () => Promise.resolve([]),
  rows: () => Promise.resolve([]),
  turn: () => Promise.resolve(null),
};

let server: Server;
let port: number;
let token: string | null;
let ready: boolean;
let reloads: number;
let held: string[];

beforeEach(async () => {
  token = null;
  ready = true;
  reloads = 0;
  held = [];
  const metrics = createMetrics();
  server = createAdminPlane({
    // Only what the admin plane reads; the whole of Settings is not its business.
    settings: () =>
      ({
        admin: { listen: { host: '127.0.0.1', port: 0 }, token },
        hash: 'abc',
        source: 'x.yaml',
        shown: { a: 1 },
      }) as unknown as Settings,
    registry: metrics.registry,
    version: '1',
    store: new MemoryStore(),
    namesKey: NAMES_KEY,
    clock: new VirtualClock(),
    events: new Events(createLog({ level: 'silent', redact: [] }, { write: () => {} }), metrics),
    readiness: () => ({ ready, reasons: ready ? [] : ['draining'] }),
    status: () => ({ version: '1' }),
    breakers: {
      hold: (endpoint, order) => {
        held.push(`${endpoint} ${order}`);
        return endpoint !== 'nowhere';
      },
      show: (endpoint) => ({ shown: endpoint }),
    },
    reload: () => {
      reloads += 1;
      return Promise.resolve({
        ok: reloads === 1,
        hash: 'abc',
        faults: reloads === 1 ? [] : ['x.yaml:1:1 no'],
        restart: [],
      });
    },
    newId: () => 'id1',
    redrives: noRedrives,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  port = address.port;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function call(
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on('error', reject);
    request.end();
  });
}

describe('the admin plane', () => {
  it('answers health, readiness and metrics to everyone, token or not', async () => {
    token = 'secret';
    expect((await call('GET', '/healthz', { Host: 'pod-1.example' })).status).toBe(200);
    expect((await call('GET', '/readyz', { Host: 'pod-1.example' })).status).toBe(200);
    const metrics = await call('GET', '/metrics', { Host: 'pod-1.example' });
    expect(metrics.status).toBe(200);
    expect(metrics.body).toContain('# TYPE holdfast_requests_total counter');
  });

  it('says what hinders it when it is not ready', async () => {
    ready = false;
    expect(await call('GET', '/readyz')).toEqual({ status: 503, body: '{"ready":false,"reasons":["draining"]}' });
  });

  it('opens the rest to loopback names when no token is set', async () => {
    for (const host of ['localhost', `127.0.0.1:${port}`, '[::1]:8081', 'LOCALHOST:1']) {
      expect((await call('GET', '/api/status', { Host: host })).status).toBe(200);
    }
  });

  it('refuses a name that was rebound to loopback when no token is set', async () => {
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:8081']) {
      expect((await call('GET', '/api/config', { Host: host })).status).toBe(403);
    }
  });

  it('wants the token when one is set, and compares it whole', async () => {
    token = 'secret';
    expect((await call('GET', '/api/config')).status).toBe(401);
    expect((await call('GET', '/api/config', { Authorization: 'Bearer secre' })).status).toBe(401);
    expect((await call('GET', '/api/config', { Authorization: 'Basic secret' })).status).toBe(401);
    expect((await call('GET', '/api/config', { Authorization: 'bearer secret', Host: 'gateway.example' })).status).toBe(
      200,
    );
  });

  it('refuses changing calls from another site, also with the right token', async () => {
    token = 'secret';
    const auth = { Authorization: 'Bearer secret' };
    const foreign = [
      { Origin: 'https://evil.example' },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
    ];
    for (const headers of foreign) {
      expect((await call('POST', '/api/config/reload', { ...auth, ...headers })).status).toBe(403);
    }
    expect(reloads).toBe(0);
    const own = {
      ...auth,
      Host: 'gateway.example',
      Origin: 'https://gateway.example',
      'Sec-Fetch-Site': 'same-origin',
    };
    expect((await call('POST', '/api/config/reload', own)).status).toBe(200);
  });

  it('gives every fault of a refused reload with 422', async () => {
    await call('POST', '/api/config/reload');
    const second = await call('POST', '/api/config/reload');
    expect(second.status).toBe(422);
    expect(JSON.parse(second.body)).toMatchObject({ ok: false, faults: ['x.yaml:1:1 no'] });
  });

  it("answers unknown paths in Intercom's error shape", async () => {
    const answer = await call('GET', '/api/nothing');
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({ type: 'error.list', errors: [{ code: 'holdfast_not_found' }] });
  });

  it('§5: takes breakers in hand, by the URL-encoded name of their rule or as host', async () => {
    const rule = encodeURIComponent('POST /contacts/{id}/notes');
    expect(await call('POST', `/api/breakers/${rule}/open`)).toEqual({
      status: 200,
      body: '{"shown":"POST /contacts/{id}/notes"}',
    });
    expect((await call('POST', '/api/breakers/host/auto')).status).toBe(200);
    expect(held).toEqual(['POST /contacts/{id}/notes open', 'host auto']);
  });

  it('answers 404 to breakers that no rule has, and to orders that there are not', async () => {
    expect((await call('POST', '/api/breakers/nowhere/open')).status).toBe(404);
    expect((await call('POST', '/api/breakers/host/explode')).status).toBe(404);
    expect(held).toEqual(['nowhere open']);
  });

  it('a body without a length is counted as it comes, and refused when it is too large', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const upload = httpRequest({ port, method: 'POST', path: '/api/redrives', headers: { host: 'localhost' } });
      upload.on('response', (response) => (response.resume(), resolve(response.statusCode)));
      upload.on('error', reject);
      const chunk = Buffer.alloc(1024 * 1024, ' ');
      for (let sent = 0; sent < 33; sent += 1) upload.write(chunk);
      upload.end();
    });
    expect(status).toBe(422);
  });
});
