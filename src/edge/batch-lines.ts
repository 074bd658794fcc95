/** Cuts a stream of bytes into lines; keeps at most one unfinished line, and of one that is too long nothing. */

/** One line. */
export interface Line {
  /** From 1; blank lines count, as editors count them. */
  readonly number: number;
  /** Without its end; null: longer than allowed. */
  readonly bytes: Buffer | null;
}

const NEWLINE = 0x0a;

/** Cuts bytes into lines. */
export class LineCutter {
  readonly #bytesMax: number;
  #number = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The line that is being read, or will be next. */
  get next(): number {
    return this.#number + 1;
  }

  /** The lines that end in this chunk, blank ones left out. They are copies: a slice would pin the whole chunk. */
  cut(chunk: Buffer): Line[] {
    const lines: Line[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, end));
      const line = this.#take();
      if (line !== null) lines.push(line);
      from = end + 1;
    }
    this.#hold(chunk.subarray(from));
    return lines;
  }

  /** What stands behind the last line end; null when that is nothing. */
  rest(): Line | null {
    return this.#take();
  }

  #hold(piece: Buffer): void {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > this.#bytesMax) this.#held = [];
    else if (piece.length > 0) this.#held.push(Buffer.from(piece));
  }

  #take(): Line | null {
    const length = this.#heldBytes;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    this.#number += 1;
    if (length > this.#bytesMax) return { number: this.#number, bytes: null };
    const bytes = held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held);
    return bytes.every(isSpace) ? null : { number: this.#number, bytes };
  }
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0d || byte === 0x09;
