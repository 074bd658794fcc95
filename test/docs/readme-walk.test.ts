/**
 * A newcomer's walk (README): its commands in order, in a fresh copy, with the outputs that stand there. The modules are those
 * that are installed here, and the ports are free ones, since this machine may have others at 8080, 8081 and 8090;
 * test/deploy/readme-walk.deploy.ts does the same to the letter, `npm ci`, `npm start` and the demo included.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agrees, freshEnvironment, isTaken, Shell, stepsOf, walk } from './walk.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const page = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const NOT_COPIED = new Set(['.git', 'node_modules', 'dist', 'data', 'coverage', 'test']);
const LONG = /^npm (?:ci|start|run demo)$/;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-walk-'));
  cpSync(ROOT, folder, { recursive: true, filter: (file) => !NOT_COPIED.has(path.relative(ROOT, file)) });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Ports that are free now; the first is the proxy's. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) =>
          server.once('listening', () => resolve((server.address() as { port: number }).port)),
        ),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

it('says what README prints, command by command', async () => {
  const [proxy = 0, admin = 0, simulator = 0] = await freePorts(3);
  const ports = new Map([
    ['8080', String(proxy)],
    ['8081', String(admin)],
    ['8090', String(simulator)],
  ]);
  const env = { HOLDFAST_LISTEN: `127.0.0.1:${proxy}`, HOLDFAST_ADMIN_LISTEN: `127.0.0.1:${admin}` };
  const shell = new Shell(folder, { ...freshEnvironment(), ...env });
  try {
    const differences = await walk({
      shell,
      page,
      isLeftOut: (command) => LONG.test(command),
      typed: (command) =>
        command
          .replace(' simulate ', ` simulate --port ${simulator} `)
          .replaceAll(/(?<=127\.0\.0\.1:)\d{4}/g, (port) => ports.get(port) ?? port),
      read: (line) =>
        line.replaceAll(/(?<=127\.0\.0\.1:)\d+/g, (port) => [...ports].find(([, own]) => own === port)?.[0] ?? port),
    });
    expect(differences).toEqual([]);
  } finally {
    await shell.end();
  }
});

it('has commands to walk, and shows the output of most', () => {
  const steps = stepsOf(page);
  expect(steps.length).toBeGreaterThan(15);
  expect(steps.filter(({ shown }) => shown.length > 0).length).toBeGreaterThan(10);
});

/** The rows of the table of clients. */
const cellsOf = (text: string): string[][] =>
  [...text.matchAll(/^\| (SDK.*) \|$/gm)].map(([, row]) => (row as string).replaceAll('*', '').split(' | '));

it('has no figure of a comparison that its script did not write', () => {
  const measured = cellsOf(readFileSync(path.join(ROOT, 'test/proofs/clients.md'), 'utf8'));
  const shown = cellsOf(page);
  expect(shown.length).toBe(4);
  expect(shown).toEqual(measured.map((cells) => cells.slice(0, 5)));
});

it('sees a difference: another status, a line too many, another count', () => {
  const shown = ['HTTP/1.1 200 OK', 'Holdfast: from=upstream, attempts=3, verdict=ok, effect=none, waited=1415'];
  expect(agrees(shown, shown.with(1, shown[1]!.replace('1415', '7')))).toBe(true);
  expect(agrees(shown, shown.with(0, 'HTTP/1.1 504 Gateway Timeout'))).toBe(false);
  expect(agrees(shown, shown.with(1, shown[1]!.replace('attempts=3', 'attempts=2')))).toBe(false);
  expect(agrees(shown, [...shown, 'more'])).toBe(false);
  const row = '    of them answered 429       4                         0';
  expect(agrees([row], ['    of them answered 429       13                        0'])).toBe(true);
  expect(agrees([row], ['    of them answered 429       4'])).toBe(false);
  expect(agrees(['…', ...shown], ['more', 'and more', ...shown])).toBe(true);
});

it('sees that a port is taken, and does not hang over a command that does not come back', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  expect(await isTaken(port)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await isTaken(port)).toBe(false);
  const shell = new Shell(folder, freshEnvironment());
  try {
    await expect(shell.type('echo before; sleep 60', 500)).rejects.toThrow(/did not come back in 500 ms[^]*before/);
  } finally {
    await shell.end();
  }
});
