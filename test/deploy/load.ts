import type { ScenarioInput } from '../../src/simulator/scenario.ts';

/** A day on which everything happens that a metric of Holdfast's counts. */
export const EVERYTHING: ScenarioInput = {
  seed: 1,
  quota: { limit: 120 },
  rules: [
    { match: 'POST /contacts/{id}/notes', nth: [2, 5, 9, 14], fault: { kind: 'reset', effect: 'applied' } },
    {
      match: 'PUT /contacts/{id}',
      nth: [4, 12, 30],
      fault: { kind: 'status', status: 422, code: 'parameter_invalid' },
    },
    { match: 'GET /tags', probability: 0.5, fault: { kind: 'status', status: 503 } },
    { match: 'GET /contacts', fault: { kind: 'status', status: 500 } },
    { match: 'GET /admins', fault: { kind: 'status', status: 418, code: 'teapot' } },
    { match: 'GET /companies/list', nth: [3, 20, 60], fault: { kind: 'throttle', hint: 'seconds', wait: '1s' } },
  ],
};

const ROUNDS_MAX = 200;

/** Sends rounds of calls, each after the one before, for `ms`; how many calls there were. */
export async function load(url: string, ms: number): Promise<number> {
  const until = Date.now() + ms;
  let calls = 0;
  for (let round = 0; round < ROUNDS_MAX && Date.now() < until; round += 1) {
    const contact = await call('POST', '/contacts', { external_id: `load-${round}` });
    const id = (contact as { id?: string } | null)?.id ?? 'none';
    const key = { 'Idempotency-Key': `key-${round >> 1}` };
    const results = await Promise.all([
      call('GET', '/me'),
      call('GET', '/tags'),
      call('GET', '/contacts'),
      call('GET', '/admins'),
      call('GET', '/companies/list'),
      call('PUT', `/contacts/${id}`, { name: 'n' }),
      call('POST', `/contacts/${id}/notes`, { body: `note ${round}` }),
      call('POST', '/contacts', { external_id: `keyed-${round >> 1}` }, key),
      call('PUT', `/contacts/${id}`, { phone: `+1555${round}` }, { Prefer: 'respond-async' }),
    ]);
    calls += results.length + 1;
  }
  return calls;

  async function call(method: string, path: string, body?: unknown, more: Record<string, string> = {}) {
    const headers = {
      Authorization: 'Bearer load',
      'Content-Type': 'application/json',
      'Holdfast-Context': 'workflow="load"',
      ...more,
    };
    const response = await fetch(url + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return response.json().catch(() => null);
  }
}
