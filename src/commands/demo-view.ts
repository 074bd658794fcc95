import type { Tally } from './demo-pipeline.ts';

/** One of the two runs, as shown. */
export interface Side extends Tally {
  readonly duplicates: number;
  readonly requests: number;
  readonly throttled: number;
  readonly waitedMs: number;
  /** Null while it runs. */
  readonly tookMs: number | null;
}

const BAR_WIDTH = 16;

/** The table, one line per entry; the same while it runs and at the end. */
export function table(straight: Side, through: Side): string[] {
  const rows: [string, (side: Side) => string][] = [
    ['', (side) => (side === straight ? 'straight' : 'through Holdfast')],
    ['done, as the client sees it', (side) => `${bar(side.confirmed, side.leads)} ${side.confirmed}/${side.leads}`],
    ['given up after an error', (side) => String(side.givenUp)],
    ['reported as unknown', (side) => String(side.unknown)],
    ['lost in silence', (side) => String(side.lostInSilence)],
    ['created twice', (side) => String(side.duplicates)],
    ['calls that reached Intercom', (side) => String(side.requests)],
    ['  of them answered 429', (side) => String(side.throttled)],
    ['waits, all calls together', (side) => seconds(side.waitedMs)],
    ['time', (side) => (side.tookMs === null ? 'running' : seconds(side.tookMs))],
  ];
  if (straight.unfinished + through.unfinished > 0 && straight.tookMs !== null && through.tookMs !== null) {
    rows.splice(4, 0, ['not finished in time', (side) => String(side.unfinished)]);
  }
  return rows.map(([name, show]) => `  ${name.padEnd(29)}${show(straight).padEnd(26)}${show(through)}`.trimEnd());
}

/** One line for where there is no terminal. */
export function progressLine(elapsedMs: number, straight: Side, through: Side): string {
  const say = (side: Side): string =>
    `${side.confirmed}/${side.leads} done, ${side.givenUp} given up, ${side.unknown} unknown, ${side.lostInSilence} lost, ${side.duplicates} twice`;
  return `${seconds(elapsedMs).padStart(6)}  straight: ${say(straight)}  |  through Holdfast: ${say(through)}`;
}

/** What the final table means, in words. */
export function conclusion(straight: Side, through: Side): string[] {
  const lines = [
    `Straight: ${straight.duplicates} created twice, ${straight.lostInSilence} taken for done that are not, ${straight.givenUp} left half done.`,
    `Through Holdfast: ${through.duplicates} created twice, ${through.lostInSilence} lost in silence, ${through.unknown} reported as unknown.`,
  ];
  if (through.unknown > 0) {
    lines.push(
      'Unknown: the answer to a create was lost, and looking for what it made found nothing in its time. Holdfast says so (holdfast_outcome_unknown), sends it no second time, and keeps it as a dead letter.',
    );
  }
  if (through.givenUp > 0)
    lines.push(
      'Given up: retries or their budget were used up. The caller was told, and the write is kept as a dead letter.',
    );
  return lines;
}

function bar(value: number, of: number): string {
  const full = of === 0 ? 0 : Math.round((value / of) * BAR_WIDTH);
  return '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
