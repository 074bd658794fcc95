import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type SimulateOptions, simulate } from '../../src/commands/simulate.ts';

/** Runs `simulate` with what it wrote and how to interrupt it. */
function run(options: Partial<SimulateOptions>, files: Record<string, string> = {}) {
  let out = '';
  let err = '';
  const announced = Promise.withResolvers<string>();
  const interruptible = Promise.withResolvers<() => void>();
  const exit = simulate(
    { port: 0, ...options },
    {
      stdout: {
        write: (text: string) => {
          out += text;
          announced.resolve(text);
        },
      },
      stderr: {
        write: (text: string) => {
          err += text;
        },
      },
      readFile: (file) => {
        const text = files[file];
        if (text === undefined) throw Object.assign(new Error('open'), { code: 'ENOENT' });
        return text;
      },
      onSignal: (_signal, handler) => {
        interruptible.resolve(handler);
        return () => {};
      },
    },
  );
  const interrupt = async (): Promise<void> => (await interruptible.promise)();
  return { exit, listening: announced.promise, interrupt, out: () => out, err: () => err };
}

describe('simulate', () => {
  test('says where it is, obeys its scenario and seed, and ends with 0 on a signal', async () => {
    const file = 'seed: 3\nrules: [{ match: GET /me, fault: { kind: status, status: 503 } }]\n';
    const command = run({ scenario: 's.yaml', json: true }, { 's.yaml': file });
    const { url, seed } = JSON.parse(await command.listening) as { url: string; seed: number };
    expect(seed).toBe(3);
    const answer = await fetch(`${url}/me`, { headers: { authorization: 'Bearer x' } });
    expect(answer.status).toBe(503);
    await command.interrupt();
    expect(await command.exit).toBe(0);
    const last = JSON.parse(command.out().trim().split('\n').at(-1)!) as { stats: { requests: number } };
    expect(last.stats.requests).toBe(1);
    await expect(fetch(`${url}/me`)).rejects.toThrow();
  });

  test('tells people what to try', async () => {
    const command = run({ seed: 9 });
    const text = await command.listening;
    expect(text).toMatch(/^Simulated Intercom on http:\/\/127\.0\.0\.1:\d+, seed 9\./);
    expect(text).toContain('/__simulator/effects');
    await command.interrupt();
    expect(await command.exit).toBe(0);
    expect(command.out()).toContain('Stopped after 0 requests');
  });

  test('a bad scenario, a missing file and a taken port are one clear line each and exit 1', async () => {
    const bad = run({ scenario: 's.yaml' }, { 's.yaml': 'rules:\n  - fault: boom\n' });
    expect(await bad.exit).toBe(1);
    expect(bad.err()).toMatch(/^simulate: s\.yaml:2:12: rules\.0\.fault.*\n$/);
    const missing = run({ scenario: 'none.yaml' });
    expect(await missing.exit).toBe(1);
    expect(missing.err()).toBe('simulate: none.yaml cannot be read: there is no such file\n');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const taken = run({ port });
    expect(await taken.exit).toBe(1);
    expect(taken.err()).toBe(`simulate: port ${port} is in use; choose another with --port\n`);
    await new Promise((resolve) => other.close(resolve));
  });
});
