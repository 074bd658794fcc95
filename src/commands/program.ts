/**
 * The command line: which commands there are. Each is loaded only when it is asked for, so that `serve` does not pay for
 * the simulator and `health`, which runs every few seconds in a container, for nothing but itself.
 */

import { Command, CommanderError } from 'commander';
import type { Io } from './io.ts';

type Make = (io: Io, done: (exitCode: number) => void) => Command;

const COMMANDS: Readonly<Record<string, { readonly says: string; readonly load: () => Promise<Make> }>> = {
  serve: { says: 'run the proxy', load: async () => (await import('./serve.ts')).serveCommand },
  check: {
    says: 'check a configuration and print every fault',
    load: async () => (await import('./check.ts')).checkCommand,
  },
  explain: {
    says: 'print which rule matches a request, and what would be done with an answer or a failure',
    load: async () => (await import('./explain.ts')).explainCommand,
  },
  schema: {
    says: 'print the JSON Schema of the configuration',
    load: async () => (await import('./schema.ts')).schemaCommand,
  },
  init: { says: 'write a commented starter configuration', load: async () => (await import('./init.ts')).initCommand },
  simulate: {
    says: 'run an Intercom that misbehaves on request',
    load: async () => (await import('./simulate.ts')).simulateCommand,
  },
  demo: {
    says: 'see it work: simulator, proxy and traffic on this machine',
    load: async () => (await import('./demo.ts')).demoCommand,
  },
  dlq: {
    says: 'the dead letter queue: list, show, groups, redrive, edit, discard, purge, export, import',
    load: async () => (await import('./dlq.ts')).dlqCommand,
  },
  health: { says: 'exit 0 when the instance is ready', load: async () => (await import('./health.ts')).healthCommand },
};

/** Exit codes: 0 fine, 1 what was asked for failed, 2 wrong usage. */
const USAGE = 2;

/** Runs one command line (without `node` and the script); the exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let exitCode = 0;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = new Command('holdfast')
    .description('A reliability sidecar for the Intercom API. `holdfast <command> --help` says more.')
    .version(io.version, '--version', 'print the version');
  const [first, second] = args.filter((arg) => !arg.startsWith('-'));
  const wanted = first === 'help' ? second : first;
  for (const [name, { says, load }] of Object.entries(COMMANDS)) {
    program.addCommand(name === wanted ? (await load())(io, done) : new Command(name).description(says));
  }
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // A suggestion comes on a line of its own.
      outputError: (text, write) =>
        write(
          `holdfast: ${text
            .replace(/^error: /, '')
            .trim()
            .replaceAll('\n', ' ')}\n`,
        ),
    });
  }
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE;
  }
  return exitCode;
}
