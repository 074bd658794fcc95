import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;
const sockets: Socket[] = [];

beforeEach(async () => {
  simulator = await startSimulator({ port: 0 });
  holdfast = await startTestInstance(simulator.url, 'version: 1\nlimits: { in_flight: 1 }\n');
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await holdfast.stop();
  await simulator.close();
});

/** Writes the bytes and resolves with the first of the answer. */
function send(bytes: string): { readonly answer: Promise<string> } {
  const socket = connect(Number(new URL(holdfast.url).port), '127.0.0.1');
  sockets.push(socket);
  socket.write(bytes);
  return {
    answer: new Promise((resolve) => socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')))),
  };
}

it('shed: refuses from the head alone, before a byte of the body was read', async () => {
  simulator.fault({ match: 'GET /me', times: 1, fault: { kind: 'hang' } });
  send('GET /me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n');
  await expect.poll(() => simulator.requests().length).toBe(1);
  const { answer } = send(
    'POST /contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n',
  );
  const head = await answer;
  expect(head).toMatch(/^HTTP\/1\.1 503 /);
  expect(head).toContain('holdfast_overloaded');
  expect(head).toMatch(/\r\nRetry-After: 1\r\n/);
  expect(head).toMatch(/\r\nConnection: close\r\n/i);
  expect(simulator.requests()).toHaveLength(1);
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toContain('\nholdfast_shed_total 1\n');
});
