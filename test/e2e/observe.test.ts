/** `mode: observe`: classify, count and log what would be done, and change nothing. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import {
  answer,
  html,
  intercomError,
  json,
  resetAfterRequest,
  ScriptedUpstream,
  truncatedLength,
} from '../support/scripted-upstream.ts';

let upstream: ScriptedUpstream;
let instance: TestInstance;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
  instance = await startTestInstance(upstream.origin, 'version: 1\nmode: observe\n');
});

afterEach(async () => {
  await instance.stop();
  await upstream.close();
});

const lead = { method: 'POST', body: '{"role":"lead"}' };

it.each([
  ['a 500 on a read', 'GET', intercomError(500, 'server_error'), 500],
  ['a 503 with Retry-After', 'GET', intercomError(503, 'service_unavailable', 'x', ['Retry-After', '7']), 503],
  ['a 429', 'GET', intercomError(429, 'rate_limit_exceeded'), 429],
  ['a 500 on a create', 'POST', intercomError(500, 'server_error'), 500],
  ['a page in the place of JSON', 'GET', html(200), 200],
  ['an empty success', 'GET', answer({ status: 200 }), 200],
  ['an error nobody knows', 'PUT', intercomError(418, 'teapot'), 418],
])('%s passes as it came, tried once', async (_, method, behaviour, status) => {
  upstream.otherwise = behaviour;
  const got = await fetch(`${instance.url}/contacts${method === 'GET' ? '/7' : ''}`, {
    ...(method === 'GET' ? {} : lead),
    method,
  });
  const straight = await fetch(`${upstream.origin}/contacts`);
  expect(got.status).toBe(status);
  expect(await got.text()).toBe(await straight.text());
  for (const name of ['content-type', 'retry-after']) expect(got.headers.get(name)).toBe(straight.headers.get(name));
  expect(upstream.requests).toHaveLength(2);
});

it('says in the log what it would have done, and counts the verdict', async () => {
  upstream.otherwise = intercomError(502, 'server_error');
  await (await fetch(`${instance.url}/contacts/7`)).text();
  expect(instance.log.find(({ event }) => event === 'would')).toMatchObject({
    endpoint: 'GET /contacts/{contact_id}',
    action: expect.stringMatching(/^retry after \d+ ms \(\w+\)$/),
  });
  const metrics = await (await fetch(`${instance.adminUrl}/metrics`)).text();
  expect(metrics).toMatch(
    /holdfast_attempts_total\{endpoint="GET \/contacts\/\{contact_id\}",verdict="transient".*\} 1/,
  );
  expect(metrics).not.toMatch(/^holdfast_retries_total\{/m);
});

it('would not have done anything about a success', async () => {
  upstream.otherwise = json({ type: 'contact' });
  await (await fetch(`${instance.url}/contacts/7`)).text();
  expect(instance.log.filter(({ event }) => event === 'would')).toEqual([]);
});

it('breaks off where the upstream breaks off', async () => {
  upstream.otherwise = truncatedLength('{"type":"contact","id":"7"}');
  const call = fetch(`${instance.url}/contacts/7`).then((response) => response.text());
  await expect(call).rejects.toThrow();
  expect(upstream.requests).toHaveLength(1);
});

it('answers a lost connection with what is known, since there is nothing to pass on', async () => {
  upstream.otherwise = resetAfterRequest();
  const { status, headers } = await fetch(`${instance.url}/contacts`, lead);
  expect(status).toBe(504);
  expect(headers.get('holdfast')).toContain('effect=unknown, reason=reset');
  expect(upstream.requests).toHaveLength(1);
});
