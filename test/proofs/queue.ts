/**
 * `npm run proof:queue [-- --calls N] [--kills N] [--seed N] [--write]`: kill -9 in the middle of accepting 1,000
 * handed-over calls. Prints a table; --write keeps it in queue.md. Ends with 1 when something is missing or there twice.
 */

import { parseArgs } from 'node:util';
import { queueRounds } from './queue-rounds.ts';
import { finish, type Line } from './report.ts';

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const [calls, kills, seed] = [Number(values.calls), Number(values.kills), Number(values.seed)];
const startedAt = performance.now();
const result = await queueRounds({ calls, kills, seed });
for (const fate of result.undone) process.stderr.write(`not done: ${fate}\n`);
const share = (part: number): number => (100 * part) / result.accepted;
const lines: Line[] = [
  { what: 'calls that got 202', value: result.accepted, unit: '', atLeast: 1 },
  { what: 'of these: reported with their fate', value: share(result.reported), unit: '%', atLeast: 100 },
  { what: 'of these: executed', value: share(result.done), unit: '%', atLeast: 100 },
  { what: 'of these: not at the upstream', value: result.missing, unit: '', atMost: 0 },
  { what: 'effects beyond the first', value: result.duplicates, unit: '', atMost: 0 },
];
const seconds = Math.round((performance.now() - startedAt) / 1000);
finish({
  name: 'queue',
  lines,
  seed,
  write: values.write,
  beside: `${calls} calls handed over by 16 clients, kill -9 ${kills} times meanwhile and once more with the queue full; ${result.calls - result.accepted} calls got no 202, of which ${result.unclaimed} were durable when the kill came. ${seconds} s.`,
});
