import { Command } from 'commander';
import { type DlqAccess, DlqError, type DlqPlace, openAccess } from './dlq-access.ts';
import { discard, purge } from './dlq-discard.ts';
import { edit } from './dlq-edit.ts';
import { exportTo, importFrom } from './dlq-files.ts';
import { groups, list, show } from './dlq-read.ts';
import { redrive } from './dlq-redrive.ts';
import type { DlqRun } from './dlq-run.ts';
import type { Io } from './io.ts';

type Options = DlqPlace & { readonly json?: boolean };

/** The `dlq` command; `done` receives its exit code. */
export function dlqCommand(io: Io, done: (exitCode: number) => void): Command {
  const dlq = new Command('dlq').description('the dead letter queue, of a running instance or of a data directory');
  const run: Run =
    (work) =>
    async (...given: unknown[]): Promise<void> => {
      const options = given.at(-2) as Options;
      const ids = given.length > 2 ? [given[0]].flat().filter((each) => each !== undefined) : [];
      done(await guarded(io, options, (each) => work(each, ids as string[], options as never)));
    };
  readingCommands(dlq, run);
  changingCommands(dlq, run);
  for (const command of dlq.commands) {
    command
      .option('--config <file>', 'configuration of the instance (HOLDFAST_CONFIG)')
      .option('--admin <address>', 'its admin address (HOLDFAST_ADMIN_LISTEN), or its URL')
      .option('--token-file <file>', 'file with the admin token (or HOLDFAST_ADMIN_TOKEN)')
      .option('--data <directory>', 'the data directory, when no instance runs (HOLDFAST_DATA)')
      .option('--json', 'print JSON');
  }
  return dlq;
}

/** Options come from commander, which knows no types. */
type Work = (run: DlqRun, ids: string[], options: never) => Promise<number>;
type Run = (work: Work) => (...given: unknown[]) => Promise<void>;

function readingCommands(dlq: Command, run: Run): void {
  filtered(dlq.command('list').description('dead letters, newest first'))
    .option('--limit <n>', 'at most so many', '50')
    .action(run(list));
  dlq.command('show <id>').description('one dead letter: request, attempts, lineage').action(run(show));
  filtered(dlq.command('groups').description('dead letters by cause, the largest group first')).action(run(groups));
  filtered(dlq.command('export [file]').description('dead letters as lines of JSON, to a file or stdout'))
    .option('--with-bodies', 'the bodies too, in clear')
    .action(run(exportTo));
}

function changingCommands(dlq: Command, run: Run): void {
  filtered(dlq.command('redrive [ids...]').description('send dead letters again'))
    .option('--dry-run', 'only say what would be done')
    .option('--velocity <share>', 'share of the quota, above 0 and at most 1: 0.1 is a tenth (redrive.velocity)')
    .option('--canary <rows>', 'rows that go first, one at a time; when they are well the others follow; default 5')
    .option('--force', 'run what is superseded or expired, too; with ids what nothing can show')
    .option(
      '--credential-file <file>',
      'file with a token to send in the place of the stored ones; kept in memory only',
    )
    .option('--detach', 'do not wait for the end')
    .option('--status [redrive]', 'show a redrive, or all')
    .option('--pause <redrive>', 'stop a redrive until it is resumed')
    .option('--resume <redrive>', 'let it go on; with --credential-file from here on with that')
    .option('--cancel <redrive>', 'end it; what was not tried stays')
    .action(run(redrive));
  dlq
    .command('edit <id>')
    .description('make an edited form of a dead letter; without an option in $EDITOR')
    .option('--set <path=value>', 'set a member of a JSON body: custom_attributes.plan=pro, list.0=x', collect)
    .option('--body-file <file>', 'the new body')
    .option('--target <target>', 'the new path and query')
    .option('--redrive', 'send the edited form at once; wants a running instance')
    .action(run(edit));
  filtered(dlq.command('discard [ids...]').description('mark dead letters as not needed any more'))
    .option('--yes', 'do not ask')
    .action(run(discard));
  filtered(dlq.command('purge [ids...]').description("delete dead letters for good, such as a person's"), 'all')
    .option('--yes', 'do not ask')
    .action(run(purge));
  dlq.command('import <file>').description('take exported lines in; - is stdin').action(run(importFrom));
}

const STATES = 'dead, unknown, redriving, sent, succeeded, rejected, discarded, superseded';

function filtered(command: Command, state: 'open' | 'all' = 'open'): Command {
  return command
    .option('--endpoint <rule>', 'of this rule: "POST /contacts"')
    .option('--cause <cause>', 'exhausted, permanent, unknown, interrupted, refused, or the id of a group')
    .option('--state <state>', `${state} when left out; open, all, ${STATES}; several times for several`, collect)
    .option('--context <key=value>', 'with this in Holdfast-Context; several times, all must hold', collect)
    .option('--since <time>', 'died since: ISO 8601, or 24h')
    .option('--until <time>', 'died before')
    .option('--redrive <id>', 'that this redrive took up last')
    .option('--match <text>', 'with this text in target, context, body or answer');
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

async function guarded(io: Io, options: Options, work: (run: DlqRun) => Promise<number>): Promise<number> {
  let access: DlqAccess | null = null;
  try {
    access = await openAccess(options, io);
    return await work({ access, io, json: options.json === true });
  } catch (error) {
    if (!(error instanceof DlqError) && !isNetwork(error)) throw error;
    const message = error instanceof DlqError ? error.message : `the instance at ${access?.where} went away`;
    for (const line of message.split('\n')) io.stderr.write(`holdfast: ${line}\n`);
    return error instanceof DlqError ? error.exitCode : 1;
  } finally {
    await access?.close();
  }
}

/** What `fetch` throws when there is no answer, or only a part of one. */
function isNetwork(error: unknown): boolean {
  return error instanceof TypeError && (error.message === 'fetch failed' || error.message === 'terminated');
}
