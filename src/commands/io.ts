/** What a command may use of the process. `main.ts` gives the real one; tests give their own. */
export interface Io {
  readonly version: string;
  /** `24.21.0`. */
  readonly nodeVersion: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  /** File descriptor of the log's destination. */
  readonly stdoutFd: number;
  /** Reads a text file; throws as `node:fs` does. */
  readonly readFile: (file: string) => string;
  /** Calls back on every such signal; returns how to stop that. */
  readonly onSignal: (signal: Signal, handler: () => void) => () => void;
}

/** The signals that commands listen to. */
export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** A stream of text for people; `columns` is undefined where it is no terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}
