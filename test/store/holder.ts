/**
 * A process that holds a store, for what only another process can show: kill -9, limits, another user. Speaks over the
 * channel of `fork`; its clock runs fast, so that what is tried again every two seconds is tried every 40 ms.
 */

import { openKeys } from '../../src/store/keys.ts';
import { openStore } from '../../src/store/sqlite.ts';
import { FastClock } from '../faults/fast-clock.ts';
import { row } from './rows.ts';

/** What a holder is told. */
export type Command =
  | { readonly do: 'insert'; readonly id: string; readonly bodyBytes: number }
  | { readonly do: 'get'; readonly id: string }
  | { readonly do: 'close' };

/** What it says. */
export type Said =
  | { readonly event: 'health'; readonly fault: string | null }
  | { readonly event: 'opened' }
  | { readonly event: 'closed' }
  | { readonly event: 'done' }
  | { readonly event: 'found'; readonly found: boolean }
  | { readonly event: 'failed'; readonly name: string; readonly message: string };

const [directory = ''] = process.argv.slice(2);
const say = (said: Said): void => void process.send?.(said);
const failed = (error: unknown): void => {
  const { name, message } = error as Error;
  say({ event: 'failed', name, message });
};

try {
  const store = await openStore({
    directory,
    keys: await openKeys(directory),
    clock: new FastClock(50),
    onHealth: (fault) => say({ event: 'health', fault }),
  });
  process.on('message', (command: Command) => {
    switch (command.do) {
      case 'insert':
        store
          .insert(row({ id: command.id, body: Buffer.alloc(command.bodyBytes, 'b') }))
          .then(() => say({ event: 'done' }), failed);
        return;
      case 'get':
        store.get(command.id).then((found) => say({ event: 'found', found: found !== null }), failed);
        return;
      case 'close':
        store.close().then(() => say({ event: 'closed' }), failed);
    }
  });
  say({ event: 'opened' });
} catch (error) {
  failed(error);
  process.disconnect();
}
