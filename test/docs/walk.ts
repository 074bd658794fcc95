/**
 * README as a newcomer walks it: its console blocks in order, typed into one shell in a folder of its own, and what the
 * shell says beside what is printed there. What differs from run to run is written in `normalised`, and nowhere else.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';

/** One command, as it is typed, and what stands below it. */
export interface Step {
  readonly line: number;
  readonly command: string;
  /** Lines; a line `…` stands for any number of lines. Empty: the page shows nothing, and the shell may say what it likes. */
  readonly shown: readonly string[];
}

/** The steps of all ```console blocks of a page. A command goes on in the next line after a backslash. */
export function stepsOf(page: string): Step[] {
  const steps: { line: number; command: string; shown: string[] }[] = [];
  let inside = false;
  let open = false;
  for (const [at, text] of page.split('\n').entries()) {
    if (text.startsWith('```')) {
      inside = text === '```console';
      open = false;
    } else if (inside && text.startsWith('$ ')) {
      steps.push({ line: at + 1, command: text.slice(2), shown: [] });
      open = text.endsWith('\\');
    } else if (inside && open) {
      const step = steps.at(-1)!;
      step.command += `\n${text}`;
      open = text.endsWith('\\');
    } else if (inside) {
      steps.at(-1)?.shown.push(text);
    }
  }
  return steps;
}

/** `  created twice   5   0`. */
const DEMO_ROW =
  /^ {2}(?:done, as|given up|reported as|lost in|created twice|calls that|  of them answered|waits, all|time) .*$/;

/** A line without what no two runs have in common: ids, times, waits, versions of this working copy. */
export function normalised(line: string): string {
  return (
    line
      .replaceAll(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, '<id>')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replaceAll(/(waited=|Retry-After: |"ms":|"waitedMs":|seconds":)-?[\d.]+/g, '$1<n>')
      .replaceAll(/(?<="(?:request_id|upstreamRequestId|hash)":")[\da-z]+/g, '<id>')
      // Ages in a table.
      .replaceAll(/ \d+ (?:ms|s)(?= )/g, ' <age>')
      // The figures of the demo, their bars and the room that they take.
      .replace(DEMO_ROW, (row) => row.replaceAll(/[█░]+|\d[\d.]*(?:\/\d+)?/g, '<n>'))
      .replace(/^Straight: .*$/, (row) => row.replaceAll(/\d+/g, '<n>'))
      .replaceAll(/ {2,}/g, '  ')
      .trimEnd()
  );
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Whether the shell said what is shown; `…` alone in a line is any number of lines, inside a line any text. */
export function agrees(shown: readonly string[], said: readonly string[]): boolean {
  const pattern = shown
    .map((line) => (line === '…' ? '(?:.*\n)*' : `${normalised(line).split('…').map(escaped).join('.*')}\n`))
    .join('');
  return new RegExp(`^${pattern}$`).test(said.map((line) => `${normalised(line)}\n`).join(''));
}

/** What a walk needs beside the page. */
export interface WalkOptions {
  readonly shell: Shell;
  readonly page: string;
  /** Steps that are left out. */
  readonly isLeftOut: (command: string) => boolean;
  /** How a command is typed when its ports are not free here, and how what was said is read. */
  readonly typed?: (command: string) => string;
  readonly read?: (line: string) => string;
}

const STEP_MS = 60_000;
/** What takes its time. */
const LONG_MS = 400_000;

/** Types the steps in order; every step whose output is not what stands on the page, as text for a person. */
export async function walk({ shell, page, isLeftOut, typed, read }: WalkOptions): Promise<string[]> {
  const differences: string[] = [];
  for (const { line, command, shown } of stepsOf(page)) {
    if (isLeftOut(command)) continue;
    const said = await shell.type(typed?.(command) ?? command, command.startsWith('npm ci') ? LONG_MS : STEP_MS);
    const lines = read === undefined ? said : said.map(read);
    if (shown.length === 0 || agrees(shown, lines)) continue;
    differences.push(
      `README.md:${line}: $ ${command}\nsays\n${lines.join('\n')}\nand not\n${shown.join('\n')}\n${shell.errors}`,
    );
  }
  return differences;
}

/** The environment of somebody who has just opened a terminal: nothing of npm's, of vitest's or of this project's. */
export function freshEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^(?:npm_|VITEST|NODE_|INIT_CWD|HOLDFAST_)/.test(name)) env[name] = value;
  }
  env['PATH'] = (env['PATH'] ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':');
  return env;
}

/** Whether something listens there: a walk over such a port would talk to a stranger. */
export function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A shell that is typed into. Everything that it starts ends with it. */
export class Shell {
  readonly #process: ChildProcess;
  readonly #over: Promise<void>;
  #said = '';
  #errors = '';
  #heard: () => void = () => {};

  constructor(folder: string, env: Readonly<Record<string, string | undefined>>) {
    // A process group of its own, so that `end` finds what runs in the background.
    this.#process = spawn('bash', ['--noprofile', '--norc'], { cwd: folder, env, detached: true, stdio: 'pipe' });
    this.#over = new Promise((resolve) => {
      this.#process.once('exit', () => resolve());
    });
    this.#process.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
      this.#heard();
    });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
  }

  /** Types a command; what it wrote to standard output, as lines. Rejects when it does not come back in time. */
  async type(command: string, timeoutMs: number): Promise<string[]> {
    const mark = `--- ${Math.random().toString(36).slice(2)} ---`;
    this.#said = '';
    this.#errors = '';
    // What a command in the background would read of this shell's input is the next command.
    this.#process.stdin!.write(`${command}\nprintf '%s\\n' '' '${mark}'\n`);
    const said = await new Promise<string>((resolve, reject) => {
      const late = setTimeout(
        () =>
          reject(
            new Error(`\`${command}\` did not come back in ${timeoutMs} ms. It said:\n${this.#said}${this.#errors}`),
          ),
        timeoutMs,
      );
      this.#heard = () => {
        const end = this.#said.indexOf(`\n${mark}\n`);
        if (end < 0) return;
        clearTimeout(late);
        resolve(this.#said.slice(0, end));
      };
      this.#heard();
    });
    const lines = said.split('\n');
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }

  /** Standard error since the last command was typed. */
  get errors(): string {
    return this.#errors;
  }

  async end(): Promise<void> {
    try {
      process.kill(-this.#process.pid!, 'SIGKILL');
    } catch {
      // It has ended already.
    }
    await this.#over;
  }
}
