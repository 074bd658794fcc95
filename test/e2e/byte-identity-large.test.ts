import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';

const MEBIBYTE = 1024 * 1024;
const GIBIBYTE = 1024 * MEBIBYTE;
/** A length that no buffer size divides, so that a block that moves is a block that differs. */
const BLOCK = randomBytes(1_000_003);

/** Socket buffers that have passed are collected as they go (ops/passing-buffers.ts). */
const GROWTH_KIB_MAX = 48 * 1024;

let proxy: ChildProcess;
let port = 0;
const folder = mkdtempSync(join(tmpdir(), 'holdfast-'));
const upstream = createServer((incoming, response) => void serve(incoming, response));

beforeAll(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const config = join(folder, 'holdfast.yaml');
  writeFileSync(config, 'version: 1\nlimits: { request_body: 2GiB }\n');
  const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const args = ['serve', '--config', config, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--upstream', origin];
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } };
  const flags = scripts.start.split(' ').filter((word) => word.startsWith('--'));
  proxy = spawn(process.execPath, [...flags, 'src/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: proxy.stdout! })) {
    const entry = JSON.parse(line) as { event: string; proxy?: string };
    if (entry.event !== 'listening') continue;
    port = Number(new URL(entry.proxy!).port);
    break;
  }
  proxy.stdout?.resume();
});

afterAll(async () => {
  const exited = new Promise((resolve) => proxy.once('exit', resolve));
  proxy.kill('SIGTERM');
  expect(await exited).toBe(0);
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
  rmSync(folder, { recursive: true });
});

async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader('X-Received', String(await checked(incoming)));
  if (incoming.url === '/small') {
    response.end('{}');
    return;
  }
  response.setHeader('Content-Length', GIBIBYTE);
  await pipeline(Readable.from(blocks(GIBIBYTE)), response);
}

function* blocks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= BLOCK.length) yield left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
}

/** Counts the bytes, and throws at the first that is not the one that was sent. */
async function checked(message: IncomingMessage): Promise<number> {
  let total = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; ) {
      const offset = (total + at) % BLOCK.length;
      const length = Math.min(chunk.length - at, BLOCK.length - offset);
      if (chunk.compare(BLOCK, offset, offset + length, at, at + length) !== 0)
        throw new Error(`differs at ${total + at}`);
      at += length;
    }
    total += chunk.length;
  }
  return total;
}

async function send(method: string, path: string, headers: Record<string, string>, body: Readable | null) {
  const outgoing = request({ host: '127.0.0.1', port, method, path, headers });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
  });
  if (body === null) outgoing.end();
  else await pipeline(body, outgoing);
  const response = await answer;
  if (path === '/small') {
    response.resume();
    await new Promise((resolve) => response.on('end', resolve));
    return { status: response.statusCode, received: Number(response.headers['x-received']), answered: 0 };
  }
  return {
    status: response.statusCode,
    received: Number(response.headers['x-received']),
    answered: await checked(response),
  };
}

/** Kibibytes of the proxy as the system counts them; null where the system does not say. */
function peakKib(): number | null {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${proxy.pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

test('§10: 1 GiB passes byte for byte in both directions, and memory stays flat', { timeout: 180_000 }, async () => {
  for (let n = 0; n < 2000; n++)
    await send('PUT', '/small', { 'Content-Length': '2000' }, Readable.from([BLOCK.subarray(0, 2000)]));
  const before = peakKib();
  const down = await send('GET', '/large', {}, null);
  expect(down).toEqual({ status: 200, received: 0, answered: GIBIBYTE });
  const chunked = await send('PUT', '/small', { 'Transfer-Encoding': 'chunked' }, Readable.from(blocks(GIBIBYTE)));
  expect(chunked).toMatchObject({ status: 200, received: GIBIBYTE });
  const sized = await send('PUT', '/small', { 'Content-Length': String(GIBIBYTE) }, Readable.from(blocks(GIBIBYTE)));
  expect(sized).toMatchObject({ status: 200, received: GIBIBYTE });
  const after = peakKib();
  if (before !== null && after !== null) expect(after - before).toBeLessThan(GROWTH_KIB_MAX);
});
