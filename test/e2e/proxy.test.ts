/** The way to the upstream through a proxy, as the environment of a process names it. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { type ConnectProxy, startConnectProxy } from '../upstream/connect-proxy.ts';
import { folderOf, serving } from './child.ts';

const tlsFile = (name: string): string => path.resolve(import.meta.dirname, `../support/tls/${name}.pem`);
const pem = (name: string): string => readFileSync(tlsFile(name), 'utf8');

let upstream: ScriptedUpstream;
let proxy: ConnectProxy;

beforeEach(async () => {
  upstream = await ScriptedUpstream.start({ tls: { key: pem('key'), cert: pem('cert') } });
  proxy = await startConnectProxy();
});

afterEach(async () => {
  await upstream.close();
  await proxy.close();
});

it.each([
  ['HTTPS_PROXY is used', {}, 1],
  ['NO_PROXY spares the upstream from it', { NO_PROXY: 'example.org,127.0.0.1' }, 0],
])('%s', async (_, env, tunnels) => {
  const file = path.join(folderOf({ 'h.yaml': `version: 1\nupstream: { ca_file: ${tlsFile('cert')} }\n` }), 'h.yaml');
  const { url } = await serving(upstream.origin, ['--config', file], { HTTPS_PROXY: proxy.origin, ...env });
  for (let n = 0; n < 2; n += 1) expect((await fetch(`${url}/me`)).status).toBe(200);
  expect(upstream.requests).toHaveLength(2);
  expect(proxy.seen).toHaveLength(tunnels);
});
