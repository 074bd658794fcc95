import { execFile } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { DockerfileParser, type From, type Instruction, ModifiableInstruction } from 'dockerfile-ast';

const run = promisify(execFile);

/** One instruction, its flags and its words apart. */
export interface Line {
  readonly keyword: string;
  readonly flags: Readonly<Record<string, string>>;
  readonly words: readonly string[];
  /** All behind the flags, as written; the exec form is JSON. */
  readonly text: string;
}

/** One `FROM … AS …` with what follows it. */
export interface Stage {
  readonly name: string;
  readonly image: string;
  readonly lines: readonly Line[];
}

/** Reads the stages of a Dockerfile, in order. */
export function stagesOf(file: string): Stage[] {
  const stages: { name: string; image: string; lines: Line[] }[] = [];
  for (const instruction of DockerfileParser.parse(readFileSync(file, 'utf8')).getInstructions()) {
    if (instruction.getKeyword() !== 'FROM') stages.at(-1)?.lines.push(lineOf(instruction));
    else {
      const from = instruction as From;
      stages.push({ name: from.getBuildStage() ?? 'final', image: from.getImage() ?? '', lines: [] });
    }
  }
  return stages;
}

function lineOf(instruction: Instruction): Line {
  const flags = instruction instanceof ModifiableInstruction ? instruction.getFlags() : [];
  return {
    keyword: instruction.getKeyword(),
    flags: Object.fromEntries(flags.map((flag) => [flag.getName(), flag.getValue() ?? ''])),
    words: instruction.getArguments().map((word) => word.getValue()),
    text: instruction.getRawArgumentsContent() ?? '',
  };
}

/** The lines of a kind, in order. */
export function linesOf(stage: Stage, keyword: string): readonly Line[] {
  return stage.lines.filter((line) => line.keyword === keyword);
}

/** The variables that the stage sets. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = linesOf(stage, 'ENV').flatMap(({ words }) => words.map((word) => word.split('=') as [string, string]));
  return Object.fromEntries(pairs);
}

/** What a `.dockerignore` lets in; its form is: everything stays outside (`*`) but the names with a `!`. */
export function letIn(file: string): string[] {
  const rules = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (rules[0] !== '*' || !rules.slice(1).every((rule) => rule.startsWith('!'))) throw new Error('want *, then !name');
  return rules.slice(1).map((rule) => rule.slice(1));
}

/** Carries the stages out below `root`, a folder for each; `context` is what `docker build` would be given. The last one's folder. */
export async function replay(
  stages: readonly Stage[],
  context: string,
  root: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const allowed = letIn(path.join(context, '.dockerignore'));
  let folder = root;
  for (const stage of stages) {
    folder = path.join(root, stage.name);
    let cwd = folder;
    mkdirSync(cwd, { recursive: true });
    for (const line of stage.lines) {
      if (line.keyword === 'WORKDIR') {
        cwd = path.join(folder, line.text);
        mkdirSync(cwd, { recursive: true });
      } else if (line.keyword === 'COPY') copy(line, cwd, folder);
      else if (line.keyword === 'RUN') await step(line.text, cwd, env);
    }
  }
  return folder;

  function copy({ flags, words }: Line, cwd: string, stageFolder: string): void {
    const from = flags['from'];
    const to = words.at(-1) ?? '';
    const target = to.startsWith('/') ? path.join(stageFolder, to) : path.join(cwd, to);
    for (const source of words.slice(0, -1)) {
      if (from === undefined && !allowed.includes(source)) throw new Error(`.dockerignore keeps ${source} outside`);
      const origin = from === undefined ? path.join(context, source) : path.join(root, from, source);
      const copied = to.endsWith('/') && statSync(origin).isFile() ? path.join(target, path.basename(source)) : target;
      cpSync(origin, copied, { recursive: true, preserveTimestamps: true });
      chmodSync(copied, statSync(origin).mode);
      const owner = Number.parseInt(flags['chown'] ?? '0', 10);
      if (process.getuid?.() === 0 && existsSync(copied)) chownSync(copied, owner, owner);
    }
  }
}

async function step(command: string, cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run('/bin/sh', ['-c', command], { cwd, env });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`RUN ${command}\n${stdout}${stderr}`, { cause: error });
  }
}
