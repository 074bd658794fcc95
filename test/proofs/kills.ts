/**
 * `npm run proof:kills [-- --rounds N] [--seed N] [--write]`: kill -9 of the proxy at random moments, 200 rounds, under
 * clients that send again with and without keys. Prints a table; --write keeps it in kills.md. Ends with 1 when something
 * is missing or there twice. About five minutes.
 */

import { parseArgs } from 'node:util';
import { killRounds } from './kill-rounds.ts';
import { finish, type Line } from './report.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
const startedAt = performance.now();
const result = await killRounds({
  rounds,
  seed,
  callsPerRound: 12,
  onRound: (round) => {
    if (round % 20 === 0) process.stderr.write(`round ${round} of ${rounds}\n`);
  },
});
for (const history of result.twice) process.stderr.write(`twice: ${history}\n`);
for (const fate of result.undone) process.stderr.write(`not done: ${fate}\n`);
const lines: Line[] = [
  { what: 'calls done', value: (100 * result.done) / result.calls, unit: '%', atLeast: 100 },
  { what: 'effects beyond the first', value: result.duplicates, unit: '', atMost: 0 },
  { what: 'told done and missing', value: result.missing, unit: '', atMost: 0 },
];
finish({
  name: 'kills',
  lines,
  seed,
  write: values.write,
  beside: `${rounds} rounds of kill -9, ${result.calls} calls, sent again ${result.resent} times by their clients, ${Math.round((performance.now() - startedAt) / 1000)} s.`,
});
