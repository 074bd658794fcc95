import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { startTestInstance } from '../support/instance.ts';
import { json, ScriptedUpstream } from '../support/scripted-upstream.ts';

it('a refused credential reaches the webhook of the configuration, and calls are counted by their context', async () => {
  const posted: string[] = [];
  const told = Promise.withResolvers<void>();
  const hook = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => posted.push(chunk.toString()));
    request.on('end', () => {
      response.end('ok');
      told.resolve();
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/planted-secret`;
  const upstream = await ScriptedUpstream.start();
  upstream.otherwise = json({ type: 'error.list', errors: [{ code: 'unauthorized' }] }, 401);
  const holdfast = await startTestInstance(
    upstream.origin,
    `version: 1\nnotify: [{ url: '${url}', on: [credentials] }]\ntelemetry: { context_labels: [workflow] }\n`,
  );
  try {
    const headers = { Authorization: 'Bearer planted-token', 'Holdfast-Context': 'workflow="enrich"' };
    expect((await fetch(`${holdfast.url}/me`, { headers })).status).toBe(401);
    await told.promise;
    expect(posted.join('')).toContain('refused 1 credential (401)');
    expect(posted.join('')).not.toContain('planted-token');
    const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
    expect(metrics).toContain(
      'holdfast_context_requests_total{key="workflow",value="enrich",verdict="unauthorized"} 1',
    );
    const config = await (await fetch(`${holdfast.adminUrl}/api/config`)).text();
    expect(config).toContain('[set]');
    expect(config + JSON.stringify(holdfast.log)).not.toContain('planted-secret');
  } finally {
    await holdfast.stop();
    await upstream.close();
    hook.closeAllConnections();
    hook.close();
  }
}, 60_000);
