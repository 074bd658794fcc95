/**
 * A disk as a power loss leaves it. What was synced is there. Of what was written to a file after its last sync, any
 * part may be there, in sectors of 512 bytes, in any combination: the cache writes back as it likes. Of the names that
 * changed after the last sync of the directory a first part is there: file systems keep those in a journal, in order.
 */

import type { Random } from '../../src/ops/random.ts';
import type { Event, Naming } from './power-loss-trace.ts';

const SECTOR_BYTES = 512;

type Change = Extract<Event, { kind: 'write' | 'truncate' }>;

/** A file apart from its name. */
class Inode {
  durable: Buffer = Buffer.alloc(0);
  unsynced: { readonly at: number; readonly change: Change }[] = [];
  /** Where a plain `write` goes. */
  #end = 0;

  add(change: Change): void {
    const at = change.kind === 'truncate' ? change.length : (change.at ?? this.#end);
    this.#end = change.kind === 'truncate' ? this.#end : at + change.bytes.length;
    this.unsynced.push({ at, change });
  }

  sync(): void {
    for (const { at, change } of this.unsynced) this.durable = applied(this.durable, at, change);
    this.unsynced = [];
  }

  /** What may be left; `torn` counts writes of which a part is. */
  left(random: Random, torn: () => void): Buffer {
    let bytes: Buffer = Buffer.from(this.durable);
    // Each loss has its own mood, from all written to nothing: evenly mixed tails alone would miss both ends.
    const keeps = random();
    for (const { at, change } of this.unsynced) {
      if (change.kind === 'truncate') {
        if (random() < keeps) bytes = applied(bytes, at, change);
        continue;
      }
      let sectors = 0;
      let kept = 0;
      for (let from = 0; from < change.bytes.length; ) {
        const to = Math.min(change.bytes.length, from + SECTOR_BYTES - ((at + from) % SECTOR_BYTES));
        sectors++;
        if (random() < keeps) {
          kept++;
          bytes = applied(bytes, at + from, { ...change, bytes: change.bytes.subarray(from, to) });
        }
        from = to;
      }
      if (kept > 0 && kept < sectors) torn();
    }
    return bytes;
  }
}

function applied(bytes: Buffer, at: number, change: Change): Buffer {
  if (change.kind === 'truncate') {
    if (at <= bytes.length) return Buffer.from(bytes.subarray(0, at));
    return Buffer.concat([bytes, Buffer.alloc(at - bytes.length)]);
  }
  const end = at + change.bytes.length;
  const whole = end <= bytes.length ? bytes : Buffer.concat([bytes, Buffer.alloc(end - bytes.length)]);
  change.bytes.copy(whole, at);
  return whole;
}

/** Follows the events; `afterPowerLoss` shows what could be left at any moment. */
export class RecordedDisk {
  /** Names as the running process sees them. */
  readonly #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #unsyncedNames: { readonly naming: Naming; readonly inode: Inode }[] = [];
  /** A control: a disk that says that it has synced and has not. */
  readonly #lies: boolean;

  constructor(lies: boolean) {
    this.#lies = lies;
  }

  follow(event: Event): void {
    switch (event.kind) {
      case 'journal':
        return;
      case 'create':
        if (!this.#names.has(event.name)) this.#name(event, new Inode());
        return;
      case 'unlink':
      case 'link':
      case 'rename':
        this.#name(event, this.#inode(event.name));
        return;
      case 'sync-names':
        for (const { naming, inode } of this.#unsyncedNames) named(this.#durableNames, naming, inode);
        this.#unsyncedNames = [];
        return;
      case 'sync':
        if (!this.#lies) this.#inode(event.name).sync();
        return;
      case 'write':
      case 'truncate':
        this.#inode(event.name).add(event);
    }
  }

  /** One of the states in which the directory may be found. */
  afterPowerLoss(random: Random, torn: () => void): Map<string, Buffer> {
    const names = new Map(this.#durableNames);
    const kept = Math.floor(random() * (this.#unsyncedNames.length + 1));
    for (const { naming, inode } of this.#unsyncedNames.slice(0, kept)) named(names, naming, inode);
    return new Map([...names].map(([name, inode]) => [name, inode.left(random, torn)]));
  }

  #name(naming: Naming, inode: Inode): void {
    named(this.#names, naming, inode);
    this.#unsyncedNames.push({ naming, inode });
  }

  #inode(name: string): Inode {
    const inode = this.#names.get(name);
    if (inode === undefined) throw new Error(`The recording uses ${name} before it was made.`);
    return inode;
  }
}

function named(names: Map<string, Inode>, naming: Naming, inode: Inode): void {
  if (naming.kind === 'create') names.set(naming.name, inode);
  if (naming.kind === 'unlink' || naming.kind === 'rename') names.delete(naming.name);
  if (naming.kind === 'link' || naming.kind === 'rename') names.set(naming.to, inode);
}
