/** Who may use the proxy: one bearer token in a file, read again when a caller brings another one or after a second. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

const FRESH_MS = 1000;
/** However many wrong tokens come, the file is read at most this often. */
const REREAD_INTERVAL_MS = 100;

/** Checks `Holdfast-Authorization` against a token file. */
export class ClientToken {
  readonly #clock: Clock;
  readonly #events: Events;
  #file: string | null = null;
  /** SHA-256 of the token; null when the file gives none, and then nobody is let in. */
  #digest: Buffer | null = null;
  #readAtMs = -Infinity;
  #reading: Promise<void> | null = null;

  constructor(clock: Clock, events: Events) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Whether the field value carries the token of `file`. Synchronous nearly always. */
  accepts(file: string, authorization: string | null): boolean | Promise<boolean> {
    const presented = authorization === null ? null : /^bearer +([^\s]+)$/i.exec(authorization)?.[1];
    if (presented === undefined || presented === null) return false;
    const digest = digestOf(presented);
    const ageMs = this.#clock.now() - this.#readAtMs;
    if (file === this.#file) {
      if (this.#matches(digest) && ageMs < FRESH_MS) return true;
      if (!this.#matches(digest) && ageMs < REREAD_INTERVAL_MS && this.#reading === null) return false;
    }
    return this.#read(file).then(() => this.#matches(digest));
  }

  #matches(digest: Buffer): boolean {
    return this.#digest !== null && timingSafeEqual(digest, this.#digest);
  }

  async #read(file: string): Promise<void> {
    while (this.#reading !== null) await this.#reading;
    if (file === this.#file && this.#clock.now() - this.#readAtMs < REREAD_INTERVAL_MS) return;
    this.#reading = this.#load(file);
    await this.#reading;
    this.#reading = null;
  }

  async #load(file: string): Promise<void> {
    try {
      const token = (await readFile(file, 'utf8')).trim();
      this.#digest = token === '' ? null : digestOf(token);
    } catch (error) {
      // A file that is just being replaced must not lock everybody out; one that was never read must.
      if (file !== this.#file) this.#digest = null;
      this.#events.lifecycle('client_token_unreadable', { file, error: String(error) });
    }
    this.#file = file;
    this.#readAtMs = this.#clock.now();
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
