/**
 * The process whose system calls are recorded: a store under a seeded load of eight lanes, closed and opened again
 * between its rounds. Every change is announced in a journal before it is asked for and noted there when it was
 * acknowledged, by system calls that stand in the same record.
 */

import { openSync, writeSync } from 'node:fs';
import { systemClock } from '../../src/ops/clock.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { openKeys } from '../../src/store/keys.ts';
import { openStore, type SqliteStore } from '../../src/store/sqlite.ts';
import { attempt, ended, NOW_MS, row } from '../store/rows.ts';

/** The versions that an operation goes through, in order. */
export const VERSIONS = ['sent', 'unknown', 'succeeded', 'removed'] as const;

/** A line of the journal: `asked 17 2` before, `kept 17 2` after. */
export type Word = 'asked' | 'kept';

/** What a body of an operation is: as long as chance says, and never the same. */
export function bodyOf(id: string): Buffer {
  return Buffer.alloc(100 + (Number(id) % 17) * 300, `body of ${id};`);
}

const LANES = 8;
const ROUNDS = 3;
/** One in so many operations is removed in the end. */
const REMOVED = 5;

if (import.meta.main) {
  const [directory = '', journal = '', seed = '', operations = ''] = process.argv.slice(2);
  await write(directory, openSync(journal, 'a'), Number(seed), Number(operations));
}

async function write(directory: string, journal: number, seed: number, operations: number): Promise<void> {
  const random = seededRandom(seed);
  let next = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const store = await openStore({
      directory,
      keys: await openKeys(directory),
      clock: systemClock,
      onHealth: (fault) => {
        if (fault !== null) throw new Error(fault);
      },
    });
    const last = Math.round((operations * round) / ROUNDS);
    const lane = async (): Promise<void> => {
      while (next < last) await live(store, journal, String(next++), random());
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    await store.close();
  }
}

async function live(store: SqliteStore, journal: number, id: string, chance: number): Promise<void> {
  const say = (word: Word, version: number): void => void writeSync(journal, `${word} ${id} ${version}\n`);
  const body = bodyOf(id);
  const steps: (() => Promise<unknown>)[] = [
    () => store.insert(row({ id, body, keyHash: `key of ${id}`, identity: id })),
    () => store.change(id, { state: 'unknown', updatedAtMs: NOW_MS, looks: 1, attempts: [attempt(1)] }),
    () => store.change(id, ended({ answer: { status: 200, headers: [], body }, answerId: id, attempts: [attempt(2)] })),
  ];
  if (chance < 1 / REMOVED) steps.push(() => store.remove(id));
  for (const [version, step] of steps.entries()) {
    say('asked', version);
    if ((await step()) === false) throw new Error(`Operation ${id} did not become ${VERSIONS[version]}.`);
    say('kept', version);
    if (version === 2) store.delivered(id);
  }
}
