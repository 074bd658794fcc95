/** §3: a token that was revoked is replaced in its file, and the call succeeds. */

import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { RequestReader, type SeenRequest } from '../support/request-reader.ts';
import { answerBytes, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { folderOf, holdfast, serving } from './child.ts';

let upstream: ScriptedUpstream;
let instance: TestInstance | null = null;
/** The one token that the upstream takes. */
let valid = 'first';
/** What happens between a rejection and its answer: the operator's hand. */
let onRejected: () => void;

beforeEach(async () => {
  valid = 'first';
  onRejected = () => {};
  upstream = await ScriptedUpstream.start();
  upstream.otherwise = {
    at: 'request',
    act: (peer, request) => {
      const accepted = tokenOf(request!) === `Bearer ${valid}`;
      if (!accepted) onRejected();
      const errors = [{ code: 'unauthorized', message: 'Access Token Invalid' }];
      const body = JSON.stringify(accepted ? { id: '7' } : { type: 'error.list', errors });
      peer.write(answerBytes({ status: accepted ? 200 : 401, headers: ['Content-Type', 'application/json'], body }));
    },
  };
});

afterEach(async () => {
  await instance?.stop();
  instance = null;
  await upstream.close();
});

const tokenOf = (request: SeenRequest): string | null => RequestReader.field(request, 'authorization');
const configOf = (file: string): string => `version: 1\nupstream: { credentials: { bearer_file: ${file} } }\n`;
const create = { method: 'POST', body: '{"role":"lead"}', headers: { Authorization: 'Bearer the-callers' } };

it('sends our token in the place of the caller’s, and the new one after a 401', async () => {
  const file = path.join(folderOf({ token: 'first\n' }), 'token');
  instance = await startTestInstance(upstream.origin, configOf(file));
  expect((await fetch(`${instance.url}/contacts`, create)).status).toBe(200);
  valid = 'second';
  onRejected = () => writeFileSync(file, 'second\n');
  const call = await fetch(`${instance.url}/contacts`, create);
  expect(call.status).toBe(200);
  expect(call.headers.get('holdfast')).toContain('attempts=2');
  expect(upstream.requests.map(tokenOf)).toEqual(['Bearer first', 'Bearer first', 'Bearer second']);
  expect(instance.log.find(({ event }) => event === 'credential_rejected')).toMatchObject({ changed: true });
});

it('is permanent and alerts when the file has nothing new, and when the new token is rejected too', async () => {
  const file = path.join(folderOf({ token: 'revoked' }), 'token');
  instance = await startTestInstance(upstream.origin, configOf(file));
  expect((await fetch(`${instance.url}/me`)).status).toBe(401);
  expect(upstream.requests).toHaveLength(1);
  onRejected = () => writeFileSync(file, `revoked-${upstream.requests.length}`);
  expect((await fetch(`${instance.url}/me`)).status).toBe(401);
  expect(upstream.requests).toHaveLength(3);
  expect(instance.log.filter(({ event }) => event === 'credential_rejected').length).toBeGreaterThanOrEqual(2);
});

it('many calls that are rejected together succeed together', async () => {
  const file = path.join(folderOf({ token: 'first' }), 'token');
  instance = await startTestInstance(upstream.origin, configOf(file));
  valid = 'second';
  // As secrets are replaced: at once and whole.
  onRejected = () => {
    writeFileSync(`${file}.new`, 'second');
    renameSync(`${file}.new`, file);
  };
  const calls = await Promise.all(Array.from({ length: 20 }, () => fetch(`${instance?.url}/me`)));
  expect(calls.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
});

it('takes the token from the environment, and a 401 there is final', async () => {
  const file = path.join(
    folderOf({ 'h.yaml': 'version: 1\nupstream: { credentials: { bearer_env: TOKEN } }\n' }),
    'h.yaml',
  );
  const { url, child } = await serving(upstream.origin, ['--config', file], { TOKEN: 'first' });
  expect((await fetch(`${url}/me`)).status).toBe(200);
  valid = 'second';
  expect((await fetch(`${url}/me`)).status).toBe(401);
  await child.logged('credential_rejected', ({ changed }) => changed === false);
  const unset = holdfast(['serve', '--config', file]);
  expect(await unset.exit()).toBe(1);
  expect(unset.stderr).toMatch(/^holdfast: [^\n]*TOKEN[^\n]*\n$/);
});

it('passes the caller’s own token by default, and asks once when it is rejected', async () => {
  instance = await startTestInstance(upstream.origin);
  const { status } = await fetch(`${instance.url}/me`, { headers: { Authorization: 'Bearer mine' } });
  expect(status).toBe(401);
  expect(upstream.requests.map(tokenOf)).toEqual(['Bearer mine']);
});
