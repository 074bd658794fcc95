import { readFileSync } from 'node:fs';

/** What a command wrote, and the process that it believes to run in. */
export class CommandIo {
  out = '';
  err = '';
  readonly env: Readonly<Record<string, string>>;
  readonly stdout = { write: (text: string) => (this.out += text) };
  readonly stderr = { write: (text: string) => (this.err += text) };
  readonly readFile: (file: string) => string;

  /** Files that are not given are read from the disk. */
  constructor(files: Readonly<Record<string, string>> = {}, env: Readonly<Record<string, string>> = {}) {
    this.env = env;
    this.readFile = (file) => files[file] ?? readFileSync(file, 'utf8');
  }
}
