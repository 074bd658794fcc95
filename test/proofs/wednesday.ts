/**
 * `npm run proof:wednesday [-- --leads N] [--rows N] [--write]`: the Wednesday story with 4,000 leads, and kill -9 in the
 * middle of a redrive of 1,000, three times. Prints a table; --write keeps it in wednesday.md. Ends with 1 when something is
 * missing or there twice. About three minutes.
 */

import { parseArgs } from 'node:util';
import { killRedrive } from './redrive-kill.ts';
import { finish, type Line } from './report.ts';
import { wednesday } from './wednesday.story.ts';

const { values } = parseArgs({
  options: {
    leads: { type: 'string', default: '4000' },
    rows: { type: 'string', default: '1000' },
    write: { type: 'boolean', default: false },
  },
});
const startedAt = performance.now();
const story = await wednesday(Number(values.leads));
const rows = Number(values.rows);
const killed = await killRedrive(rows, [rows / 5, rows / 2, (rows * 4) / 5], 600);
const counted = (part: string): number => story.groups.find(([label]) => label.includes(part))?.[1] ?? 0;
const { outage, bad, revoked } = story.expected;
const lines: Line[] = [
  {
    what: 'done + dead, of all leads',
    value: (100 * (story.done + story.dead)) / story.leads,
    unit: '%',
    atLeast: 100,
  },
  { what: 'causes named', value: story.groups.length, unit: '', atLeast: 3, atMost: 3 },
  { what: 'outage (503)', value: counted('503'), unit: 'rows', atLeast: outage, atMost: outage },
  { what: 'bad data (400)', value: counted('400'), unit: 'rows', atLeast: bad, atMost: bad },
  { what: 'revoked token (401)', value: counted('401'), unit: 'rows', atLeast: revoked, atMost: revoked },
  { what: 'home after the causes were put right', value: story.home, unit: 'leads', atLeast: story.leads },
  { what: 'created twice', value: story.duplicates, unit: '', atMost: 0 },
  { what: 'left open', value: story.openInTheEnd, unit: 'rows', atMost: 0 },
  { what: 'killed redrive: succeeded', value: killed.succeeded, unit: 'rows', atLeast: rows },
  { what: 'killed redrive: created twice', value: killed.duplicates, unit: '', atMost: 0 },
  { what: 'killed redrive: rows answered twice', value: killed.answeredTwice, unit: '', atMost: 0 },
];
const seconds = Math.round((performance.now() - startedAt) / 1000);
finish({
  name: 'wednesday',
  lines,
  seed: 1,
  write: values.write,
  beside: `${story.leads} leads; ${rows} rows redriven, killed after ${killed.triedBeforeKills.join(', ')}; ${seconds} s.`,
});
