/**
 * `npm run proof:power-loss [-- --cuts N] [--seed N] [--operations N] [--write]`: the system calls of a store under load,
 * recorded with its acknowledgements and replayed up to random moments, as a power loss would leave the disk. Each time
 * the ledger must open, be whole, and hold everything that was acknowledged. A control run on a disk that only pretends
 * to sync must lose something, or the proof could not see a loss. Linux with strace only; ends with 2 elsewhere.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { openLedger } from '../../src/store/files.ts';
import { openKeys } from '../../src/store/keys.ts';
import { Ledger } from '../../src/store/ledger.ts';
import { Sealer } from '../../src/store/seal.ts';
import { Statements } from '../../src/store/statements.ts';
import { RecordedDisk } from './power-loss-disk.ts';
import { type Event, readTrace, TRACED } from './power-loss-trace.ts';
import { bodyOf, VERSIONS } from './power-loss-writer.ts';
import { finish, type Line } from './report.ts';

const { values } = parseArgs({
  options: {
    cuts: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    operations: { type: 'string', default: '1500' },
    write: { type: 'boolean', default: false },
  },
});
const [cuts, seed] = [Number(values.cuts), Number(values.seed)];
const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-power-'));
// What is left is looked at in memory where that can be: a thousand ledgers with their syncs wear a disk.
const left = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-left-'));
process.on('exit', () => {
  for (const made of [folder, left]) rmSync(made, { recursive: true, force: true });
});

/** What was asked for and acknowledged up to a moment: the version of each operation. */
interface Known {
  readonly asked: ReadonlyMap<string, number>;
  readonly kept: ReadonlyMap<string, number>;
}

interface Found {
  /** Why the ledger could not be used, with the moment. */
  readonly broken: string[];
  /** Acknowledged and not there. */
  readonly lost: string[];
  /** There, and never asked for, or not what was given. */
  readonly wrong: string[];
  checked: number;
  torn: number;
  /** Survived without having been acknowledged: allowed. */
  ahead: number;
}

const events = await record();
const found = await lose(false, cuts);
const control = await lose(true, Math.max(20, Math.round(cuts / 10)));
for (const line of [...found.broken, ...found.lost, ...found.wrong].slice(0, 20)) process.stderr.write(`${line}\n`);
const syncs = events.filter(({ kind }) => kind === 'sync' || kind === 'sync-names').length;
const lines: Line[] = [
  { what: 'ledgers that do not open, or are not whole', value: found.broken.length, unit: '', atMost: 0 },
  { what: 'acknowledged changes that are lost', value: found.lost.length, unit: '', atMost: 0 },
  { what: 'rows that are not what was given', value: found.wrong.length, unit: '', atMost: 0 },
  { what: 'writes torn', value: found.torn, unit: '', atLeast: 1 },
  {
    what: 'control, a disk that does not sync: ledgers broken and changes lost',
    value: control.broken.length + control.lost.length,
    unit: '',
    atLeast: 1,
  },
];
finish({
  name: 'power-loss',
  lines,
  seed,
  write: values.write,
  beside:
    `${cuts} losses of power in ${events.length} recorded calls (${syncs} syncs) of ${values.operations} operations; ` +
    `${found.checked} acknowledged versions looked for, ${found.ahead} more had survived.`,
});

async function record(): Promise<Event[]> {
  const directory = path.join(folder, 'recorded');
  const journal = path.join(folder, 'journal');
  const trace = path.join(folder, 'trace');
  mkdirSync(directory);
  const writer = path.join(import.meta.dirname, 'power-loss-writer.ts');
  const strace = ['-f', '-y', '-xx', '-s', '100000000', '-o', trace, '-e', `trace=${TRACED}`, process.execPath];
  const { status, error } = spawnSync(
    'strace',
    [...strace, writer, directory, journal, values.seed, values.operations],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  if (error !== undefined || status !== 0) {
    const why = error === undefined ? `it ended with ${status}` : String(error);
    process.stderr.write(`Needs Linux and strace that may trace (apt-get install strace): ${why}.\n`);
    process.exit(2);
  }
  return readTrace(trace, directory, journal);
}

/** Loses power at random moments after the first acknowledgement, and looks at what is left. */
async function lose(lies: boolean, times: number): Promise<Found> {
  const random = seededRandom(seed);
  const first = events.findIndex((event) => event.kind === 'journal' && event.line.startsWith('kept'));
  const moments = Array.from({ length: times }, () => first + Math.floor(random() * (events.length - first)));
  // What precedes every acknowledgement counts too: the ledger must open, whatever was half made.
  for (let n = 0; n < times / 10; n++) moments.push(Math.floor(random() * first));
  moments.sort((a, b) => a - b);
  const disk = new RecordedDisk(lies);
  const asked = new Map<string, number>();
  const kept = new Map<string, number>();
  const result: Found = { broken: [], lost: [], wrong: [], checked: 0, torn: 0, ahead: 0 };
  let at = 0;
  for (const [n, moment] of moments.entries()) {
    for (; at <= moment; at++) {
      const event = events[at] as Event;
      disk.follow(event);
      if (event.kind !== 'journal') continue;
      const [word, id = '', version] = event.line.split(' ');
      (word === 'asked' ? asked : kept).set(id, Number(version));
    }
    const files = disk.afterPowerLoss(random, () => result.torn++);
    await look(files, { asked, kept }, `${lies ? 'control ' : ''}cut ${n} at call ${moment}`, result);
  }
  return result;
}

async function look(files: ReadonlyMap<string, Buffer>, known: Known, moment: string, result: Found): Promise<void> {
  const directory = path.join(left, 'data');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const [name, bytes] of files) writeFileSync(path.join(directory, name), bytes, { mode: 0o600 });
  let database: DatabaseSync | null = null;
  try {
    const { sealing } = await openKeys(directory);
    database = openLedger(directory, sealing);
    const [whole] = Object.values(database.prepare('PRAGMA integrity_check').get() ?? {});
    if (whole !== 'ok') throw new Error(String(whole));
    compare(new Ledger(database, new Statements(database), new Sealer(sealing)), known, moment, result);
  } catch (error) {
    result.broken.push(`${moment}: ${String(error)}`);
  } finally {
    database?.close();
  }
}

function compare(ledger: Ledger, { asked, kept }: Known, moment: string, result: Found): void {
  for (const [id, version] of asked) {
    const row = ledger.get(id);
    const least = kept.get(id) ?? -1;
    const there =
      row === null ? (version === VERSIONS.length - 1 ? version : -1) : VERSIONS.indexOf(row.state as 'sent');
    if (least >= 0) result.checked++;
    if (there > least) result.ahead++;
    if (there < least)
      result.lost.push(`${moment}: operation ${id} was ${VERSIONS[least]} and is ${row?.state ?? 'gone'}`);
    if (there > version) result.wrong.push(`${moment}: operation ${id} is ${row?.state} and nobody asked for it`);
    if (
      row !== null &&
      !sound(row.id, row.body, row.answer?.body ?? null, row.state === 'succeeded', row.attempts.length)
    ) {
      result.wrong.push(`${moment}: operation ${id} is not what was given`);
    }
  }
}

function sound(id: string, body: Buffer | null, answer: Buffer | null, answered: boolean, attempts: number): boolean {
  const given = bodyOf(id);
  if (body?.equals(given) !== true || (answered && answer?.equals(given) !== true)) return false;
  return answered ? attempts === 2 : attempts <= 1;
}
