/**
 * `node bench/ledger.ts [--rows N] [--quick] [--in DIR]`: what the ledger costs. A small ledger and one of a million
 * operations take turns in one process; the disk's own fsync is measured beside them, in the same folder.
 */

import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { type Bed, fsyncP50, makeBed, type Paced, pace, type Sustained, sustain } from './ledger-measure.ts';
import { type Spread, spread } from './stats.ts';

const SMALL_ROWS = 1000;
const PER_SECOND = 167;
const CALLERS = 256;
const ROUNDS = 5;

const { values } = parseArgs({
  options: { rows: { type: 'string' }, quick: { type: 'boolean', default: false }, in: { type: 'string' } },
});
const rows = Number(values.rows ?? (values.quick ? 50_000 : 1_000_000));
const forMs = values.quick ? 1000 : 5000;
const parent = values.in ?? tmpdir();
const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface Round {
  readonly fsync: number;
  readonly small: Taken;
  readonly large: Taken;
}

interface Taken {
  readonly sustained: Sustained;
  readonly paced: Paced;
}

say(`making ledgers of ${SMALL_ROWS} and ${rows} operations`);
const small = await makeBed(parent, SMALL_ROWS);
const large = await makeBed(parent, rows);
for (const bed of [small, large]) await sustain(bed.store, CALLERS, forMs / 2);

const rounds: Round[] = [];
for (let n = 1; n <= ROUNDS; n++) {
  say(`round ${n} of ${ROUNDS}`);
  const take = async (bed: Bed): Promise<Taken> => ({
    sustained: await sustain(bed.store, CALLERS, forMs),
    paced: await pace(bed.store, PER_SECOND, forMs),
  });
  // Taking turns in both orders: what the machine does meanwhile meets both.
  const first = await take(n % 2 === 0 ? small : large);
  const second = await take(n % 2 === 0 ? large : small);
  const [ofSmall, ofLarge] = n % 2 === 0 ? [first, second] : [second, first];
  rounds.push({ fsync: fsyncP50(small.directory), small: ofSmall, large: ofLarge });
}
await Promise.all([small.close(), large.close()]);

const line = (what: string, unit: string, digits: number, of: (round: Round) => number, bound = ''): string => {
  const { median, min, max }: Spread = spread(rounds.map(of));
  const range = `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
  return `| ${what} | ${range} ${unit} | ${bound} |`;
};
process.stdout.write(
  `${[
    '| ledger | median (min–max) | to reach |',
    '|---|---|---|',
    line('fsync of this disk, p50', 'ms', 2, (r) => r.fsync),
    line(`two commits at ${PER_SECOND}/s, p50`, 'ms', 2, (r) => r.small.paced.p50),
    line('the same, less 2 × fsync', 'ms', 2, (r) => r.small.paced.p50 - 2 * r.fsync, '≤ 0.5'),
    line('the same, p99', 'ms', 2, (r) => r.small.paced.p99),
    line('keyed operations sustained', '/s', 0, (r) => r.small.sustained.perSecond, '≥ 2000'),
    line('calls that share a commit', '', 0, (r) => r.small.sustained.callsPerCommit),
    line('main thread per call', 'µs', 1, (r) => r.small.sustained.mainUsPerCall, '≤ 25'),
    line('all threads per operation', 'µs', 0, (r) => r.small.sustained.cpuUs),
    line(`${rows} rows: time sustained`, '×', 2, (r) => timeRatio(r), '≤ 1.2'),
    line(`${rows} rows: CPU`, '×', 2, (r) => r.large.sustained.cpuUs / r.small.sustained.cpuUs, '≤ 1.2'),
    line(`${rows} rows: p50 at ${PER_SECOND}/s`, '×', 2, (r) => r.large.paced.p50 / r.small.paced.p50, '≤ 1.2'),
    line(`${rows} rows: p99 at ${PER_SECOND}/s`, 'ms', 2, (r) => r.large.paced.p99),
  ].join('\n')}\n`,
);

function timeRatio(round: Round): number {
  return round.small.sustained.perSecond / round.large.sustained.perSecond;
}
