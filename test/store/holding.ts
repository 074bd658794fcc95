import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Command, Said } from './holder.ts';

/** A process of its own that holds a store (`holder.ts`). */
export class Holding {
  readonly child: ChildProcess;
  readonly #said: Said[] = [];
  #heard: () => void = () => {};
  #ended = false;

  constructor(directory: string, options: ForkOptions = {}) {
    this.child = fork(path.join(import.meta.dirname, 'holder.ts'), [directory], { execArgv: [], ...options });
    this.child.on('message', (said: Said) => {
      this.#said.push(said);
      this.#heard();
    });
    this.child.on('exit', () => {
      this.#ended = true;
      this.#heard();
    });
  }

  /** The next thing it says of this kind; what it said before that is dropped. */
  async says<E extends Said['event']>(...events: E[]): Promise<Extract<Said, { event: E }>> {
    for (;;) {
      for (let said = this.#said.shift(); said !== undefined; said = this.#said.shift()) {
        if ((events as string[]).includes(said.event)) return said as Extract<Said, { event: E }>;
      }
      if (this.#ended) throw new Error(`The holder ended before it said ${events.join(' or ')}.`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  async insert(id: string, bodyBytes = 10): Promise<Extract<Said, { event: 'done' | 'failed' }>> {
    this.tell({ do: 'insert', id, bodyBytes });
    return this.says('done', 'failed');
  }

  tell(command: Command): void {
    this.child.send(command);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}
