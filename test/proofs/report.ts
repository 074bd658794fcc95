import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

/** One figure and its bound. */
export interface Line {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What a proof has to say. */
export interface Proof {
  /** Of the script and of the file beside it. */
  readonly name: string;
  readonly lines: readonly Line[];
  readonly seed: number;
  readonly write: boolean;
  readonly beside: string;
}

/** Prints the table, keeps it as `<name>.md` beside the proofs when asked to, and ends the process with 1 when a bound is missed. */
export function finish({ name, lines, seed, write, beside }: Proof): never {
  const text = [
    `# npm run proof:${name}`,
    '',
    `${new Date().toISOString().slice(0, 10)}, commit ${commit()}, seed ${seed}, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model}.`,
    beside,
    '',
    '| what | found | bound | |',
    '|---|---|---|---|',
    ...lines.map((line) => {
      const bound = line.atLeast === undefined ? `≤ ${line.atMost}` : `≥ ${line.atLeast}`;
      const value = Number.isInteger(line.value) ? line.value : line.value.toFixed(2);
      return `| ${line.what} | ${value} ${line.unit} | ${bound} | ${holds(line) ? 'holds' : '**missed**'} |`;
    }),
    '',
  ].join('\n');
  process.stdout.write(text);
  if (write) writeFileSync(join(import.meta.dirname, `${name}.md`), text);
  process.exit(lines.every(holds) ? 0 : 1);
}

function holds({ value, atLeast = -Infinity, atMost = Infinity }: Line): boolean {
  return value >= atLeast && value <= atMost;
}

/** The commit that runs, and whether the sources differ from it. */
export function commit(): string {
  const changed = git('status', '--porcelain', 'src') !== '';
  return git('rev-parse', '--short', 'HEAD') + (changed ? ' with uncommitted changes' : '');
}

function git(...args: string[]): string {
  return spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
}
