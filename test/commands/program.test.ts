import { describe, expect, test } from 'vitest';
import type { Io } from '../../src/commands/io.ts';
import { run } from '../../src/commands/program.ts';
import { CommandIo } from './command-io.ts';

async function ran(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const command = new CommandIo();
  const { env, stdout, stderr, readFile } = command;
  const io: Io = {
    env,
    stdout,
    stderr,
    readFile,
    version: '1.2.3',
    nodeVersion: '24.0.0',
    stdoutFd: 1,
    onSignal: () => () => {},
    onExit: () => {},
  };
  const code = await run(args, io);
  return { code, out: command.out, err: command.err };
}

describe('wrong usage is one line on stderr, exit 2', () => {
  test('an unknown command, with the one that was probably meant', async () => {
    const err = "holdfast: unknown command 'serv' (Did you mean serve?)\n";
    expect(await ran('serv')).toEqual({ code: 2, out: '', err });
    expect(await ran('serv', '--config', 'x.yaml')).toEqual({ code: 2, out: '', err });
  });

  test('an unknown option', async () => {
    expect(await ran('--lisen')).toEqual({ code: 2, out: '', err: "holdfast: unknown option '--lisen'\n" });
  });
});

describe('help', () => {
  test('asked for is on stdout, exit 0', async () => {
    for (const args of [['help'], ['--help']]) {
      const { code, out, err } = await ran(...args);
      expect([code, err]).toEqual([0, '']);
      expect(out).toContain('serve           run the proxy');
    }
  });

  test('of one command names its options', async () => {
    const { code, out } = await ran('help', 'explain');
    expect(code).toBe(0);
    expect(out).toContain('--failure <kind>');
    expect(out).toBe((await ran('explain', '--help')).out);
  });

  test('unasked for, without a command, is on stderr, exit 2', async () => {
    const { code, out, err } = await ran();
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('Usage: holdfast');
  });
});
