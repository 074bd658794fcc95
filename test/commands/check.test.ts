import path from 'node:path';
import { expect, test } from 'vitest';
import { check } from '../../src/commands/check.ts';
import { CommandIo } from './command-io.ts';

const FILE = path.resolve('/x/my.yaml');

test('a good file: one line on stdout, exit 0', async () => {
  const io = new CommandIo({ [FILE]: 'mode: observe' });
  expect(await check({ config: FILE }, io)).toBe(0);
  expect(io.out).toMatch(/^\/x\/my\.yaml: fine, configuration [0-9a-f]{12}\n$/);
  expect(io.err).toBe('');
});

test('without a file it checks the defaults, with HOLDFAST_CONFIG that one', async () => {
  const io = new CommandIo();
  expect(await check({}, io)).toBe(0);
  expect(io.out).toContain('the defaults: fine');
  const named = new CommandIo({ [FILE]: 'mod: x' }, { HOLDFAST_CONFIG: FILE });
  expect(await check({}, named)).toBe(1);
});

test('every fault is a line of file:line:column on stderr, exit 1', async () => {
  const io = new CommandIo({ [FILE]: 'lisen: x\nmode: no\n' });
  expect(await check({ config: FILE }, io)).toBe(1);
  expect(io.err.split('\n')).toEqual([
    '/x/my.yaml:1:1: lisen: unknown key; did you mean listen?',
    '/x/my.yaml:2:7: mode: not allowed; got no; allowed: one of enforce, observe',
    '/x/my.yaml: not usable, 2 errors',
    '',
  ]);
  expect(io.out).toBe('');
});

test('a warning is printed and fails with --strict only', async () => {
  const files = { [FILE]: 'endpoints: [{ match: GET /contct }]' };
  const [lax, strict] = [new CommandIo(files), new CommandIo(files)];
  expect(await check({ config: FILE }, lax)).toBe(0);
  expect(lax.err).toContain('my.yaml:1:22: warning: endpoints[0].match: is no operation');
  expect(lax.out).toContain('fine, 1 warning');
  expect(await check({ config: FILE, strict: true }, strict)).toBe(1);
});

test('--json prints one object, for good and bad', async () => {
  for (const [yaml, ok] of [
    ['', true],
    ['mod: 1', false],
  ] as const) {
    const io = new CommandIo({ [FILE]: yaml });
    expect(await check({ config: FILE, json: true }, io)).toBe(ok ? 0 : 1);
    const printed = JSON.parse(io.out) as { ok: boolean; hash: string | null; faults: unknown[] };
    expect(printed).toMatchObject({
      ok,
      file: FILE,
      faults: ok ? [] : [{ line: 1, column: 1, path: 'mod', nearest: 'mode' }],
    });
    expect(printed.hash === null).toBe(!ok);
  }
});
