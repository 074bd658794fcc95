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
  /** Asks a person for a line; left out where there is no terminal. */
  readonly ask?: (question: string) => Promise<string>;
  /** Has a person edit a text in a file of its own; null when the editor failed. Left out where there is no terminal. */
  readonly edit?: (text: string, suffix: string) => Promise<EditedText | null>;
  /** Calls back on every such signal; returns how to stop that. */
  readonly onSignal: (signal: Signal, handler: () => void) => () => void;
  /** Calls back when the process ends, whatever the reason; nothing asynchronous happens any more. */
  readonly onExit: (handler: () => void) => void;
}

/** A text that a person has edited; its file stays until it is dropped. */
export interface EditedText {
  readonly text: string;
  readonly file: string;
  readonly drop: () => void;
}

/** The signals that commands listen to. */
export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** A stream of text for people; `columns` is undefined where it is no terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}
