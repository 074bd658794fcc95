import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { health } from '../../src/commands/health.ts';
import type { Io } from '../../src/commands/io.ts';

const servers: Server[] = [];

afterEach(async () => {
  for (const each of servers.splice(0)) {
    each.closeAllConnections();
    await new Promise((resolve) => each.close(resolve));
  }
});

/** An admin plane that answers /readyz with a status, or never. */
async function admin(status: number | null): Promise<string> {
  const made = createServer((request, response) => {
    if (status !== null) response.writeHead(request.url === '/readyz' ? status : 404).end('{}');
  });
  servers.push(made);
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return String((made.address() as AddressInfo).port);
}

async function ask(options: { admin?: string; config?: string }, env: Io['env'] = {}, file = '') {
  const said = { out: '', err: '' };
  const io = {
    env,
    readFile: () => file,
    stdout: { write: (text: string) => void (said.out += text) },
    stderr: { write: (text: string) => void (said.err += text) },
  } as unknown as Io;
  return { ...said, exitCode: await health(options, io), said };
}

describe('health', () => {
  it('is 0 when /readyz says so, whatever way the address was given', async () => {
    const port = await admin(200);
    const yaml = `version: 1\nadmin: { listen: 127.0.0.1:${port} }\n`;
    for (const call of [
      ask({ admin: `127.0.0.1:${port}` }),
      ask({}, { HOLDFAST_ADMIN_LISTEN: `127.0.0.1:${port}` }),
      ask({ config: 'h.yaml' }, {}, yaml),
      ask({}, { HOLDFAST_CONFIG: 'h.yaml' }, yaml),
    ]) {
      const { exitCode, said } = await call;
      expect([exitCode, said]).toEqual([0, { out: 'ready\n', err: '' }]);
    }
  });

  it('reaches an instance that listens on all addresses over loopback', async () => {
    const { exitCode } = await ask({ admin: `0.0.0.0:${await admin(200)}` }, { HOLDFAST_ADMIN_TOKEN: 'token' });
    expect(exitCode).toBe(0);
  });

  it('is 1 with one line when the instance drains, is not there, or is silent', async () => {
    const draining = await ask({ admin: `127.0.0.1:${await admin(503)}` });
    expect([draining.exitCode, draining.said.err]).toEqual([1, 'health: not ready, /readyz says 503\n']);
    const port = await admin(200);
    await new Promise((resolve) => servers.at(-1)?.close(resolve));
    const gone = await ask({ admin: `127.0.0.1:${port}` });
    expect(gone.exitCode).toBe(1);
    expect(gone.said.err).toMatch(/^health: no instance on 127\.0\.0\.1:\d+: [^\n]+\n$/);
    const silent = await ask({ admin: `127.0.0.1:${await admin(null)}` });
    expect(silent.exitCode).toBe(1);
    expect(silent.said.err).toMatch(/no answer within 2000 ms\n$/);
  });

  it('is 1 with the faults of a configuration that cannot be read', async () => {
    const { exitCode, said } = await ask({ config: 'h.yaml' }, {}, 'version: 1\nadmin: { listen: nowhere }\n');
    expect(exitCode).toBe(1);
    expect(said.err).toMatch(/^health: h\.yaml:2:18: [^\n]+\n$/);
  });
});
