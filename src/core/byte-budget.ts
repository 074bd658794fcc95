/**
 * All bodies that are held in memory together stay under one number (`limits.buffered`). Whoever wants to hold bytes
 * asks first and streams, or refuses, when the answer is no. A counter and not a semaphore: nobody waits for memory.
 */

/** A shared allowance of bytes. */
export class ByteBudget {
  #totalBytes: number;
  #freeBytes: number;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
    this.#freeBytes = totalBytes;
  }

  /** Changes the allowance; what is taken stays taken, so `freeBytes` may be negative for a while. */
  resize(totalBytes: number): void {
    this.#freeBytes += totalBytes - this.#totalBytes;
    this.#totalBytes = totalBytes;
  }

  /** Takes `bytes`, or nothing at all. */
  tryTake(bytes: number): boolean {
    if (bytes > this.#freeBytes) return false;
    this.#freeBytes -= bytes;
    return true;
  }

  /** Gives back what was taken. */
  giveBack(bytes: number): void {
    this.#freeBytes += bytes;
  }

  /** Bytes that are still free. */
  get freeBytes(): number {
    return this.#freeBytes;
  }
}
