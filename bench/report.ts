/** The results as people read them: tables of plain Markdown, which a terminal shows well enough. */

import { readFileSync, writeFileSync } from 'node:fs';
import { type Figure, judge } from './bench.ts';
import type { ContestantCost } from './figures/cpu.ts';
import type { Spread } from './stats.ts';

const BEGIN = '<!-- results: written by `npm run bench -- --write` -->';
const END = '<!-- end of results -->';

/** Where and on what the figures were taken. */
export interface Circumstances {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly node: string;
  readonly run: string;
}

/** One run of the bench, as `results/latest.json` keeps it. */
export interface Results {
  readonly circumstances: Circumstances;
  readonly contestants: readonly ContestantCost[];
  readonly figures: readonly Figure[];
  readonly notes: readonly string[];
}

/** Renders a run. */
export function render(results: Results): string {
  const { date, commit, machine, node, run } = results.circumstances;
  const parts = [`${date}, commit ${commit}, Node ${node}, ${machine}. ${run}. Medians, with min–max.`];
  if (results.figures.length > 0) {
    const rows = results.figures.map((figure) => [
      figure.name,
      `${withNoise(figure.value, digitsOf(figure))} ${figure.unit}`,
      bounds(figure),
      judge(figure),
      figure.beside,
    ]);
    parts.push(table(['figure', 'Holdfast', 'reach / stretch', '', 'beside'], rows));
  }
  if (results.contestants.length > 0) {
    const rows = results.contestants.map((cost) => [
      cost.name,
      withNoise(cost.cpuUs.get, 0),
      withNoise(cost.cpuUs.post, 0),
      withNoise(cost.cpuToFloor.get, 2),
      withNoise(cost.cpuToFloor.post, 2),
      withNoise(cost.perSecond.get, 0),
      withNoise(cost.perSecond.post, 0),
    ]);
    const head = ['proxy', 'GET µs', 'POST µs', 'GET × floor', 'POST × floor', 'GET/s', 'POST/s'];
    parts.push(table(head, rows));
  }
  if (results.notes.length > 0) parts.push(results.notes.map((note) => `- ${note}`).join('\n'));
  return parts.join('\n\n');
}

/** Puts a rendered run between the markers of the README. */
export function writeBetweenMarkers(file: string, rendered: string): void {
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} has no line '${BEGIN}' before a line '${END}'`);
  writeFileSync(file, `${text.slice(0, from)}${BEGIN}\n\n${rendered}\n\n${text.slice(to)}`);
}

function digitsOf(figure: Figure): number {
  return /floor|×|^ms$/.test(figure.unit) && figure.value.median < 20 ? 2 : 0;
}

function withNoise(value: Spread, digits: number): string {
  return `${value.median.toFixed(digits)} (${value.min.toFixed(digits)}–${value.max.toFixed(digits)})`;
}

function bounds(figure: Figure): string {
  const sign = figure.atLeast ? '≥' : '≤';
  return [figure.reach, figure.stretch].flatMap((bound) => (bound === null ? [] : [`${sign} ${bound}`])).join(' / ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
