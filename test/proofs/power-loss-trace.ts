/** Reads what `strace -f -y -xx` wrote about a process: what it did to the files of one directory, and its journal. */

import { createReadStream } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** A name came or went. */
export type Naming =
  | { readonly kind: 'create'; readonly name: string }
  | { readonly kind: 'unlink'; readonly name: string }
  | { readonly kind: 'link'; readonly name: string; readonly to: string }
  | { readonly kind: 'rename'; readonly name: string; readonly to: string };

/** One thing that happened, in the order in which it did. Paths are names in the directory. */
export type Event =
  | Naming
  | { readonly kind: 'sync'; readonly name: string }
  | { readonly kind: 'write'; readonly name: string; readonly at: number | null; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly name: string; readonly length: number }
  /** The names of the directory are durable. */
  | { readonly kind: 'sync-names' }
  | { readonly kind: 'journal'; readonly line: string };

const CALL = /^(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?/;
const UNFINISHED = /^(\d+) +(.*) <unfinished \.\.\.>$/;
const RESUMED = /^(\d+) +<\.\.\. \w+ resumed>(.*)$/;

/** Calls that the recording must have; whoever adds one here says what it does in `eventOf`. */
export const TRACED =
  'openat,write,pwrite64,ftruncate,fsync,fdatasync,unlink,rename,link,fallocate,pwritev,writev,mmap';

/** The events of a trace. A call that another thread interrupted counts when it had returned. */
export async function readTrace(file: string, directory: string, journal: string): Promise<Event[]> {
  const events: Event[] = [];
  const begun = new Map<string, string>();
  for await (const line of createInterface({ input: createReadStream(file, 'latin1') })) {
    const unfinished = UNFINISHED.exec(line);
    if (unfinished !== null) {
      begun.set(unfinished[1] as string, `${unfinished[1]} ${unfinished[2]}`);
      continue;
    }
    const resumed = RESUMED.exec(line);
    const whole = resumed === null ? line : `${begun.get(resumed[1] as string) ?? ''}${resumed[2]}`;
    const call = CALL.exec(whole);
    if (call === null || Number(call[4]) < 0) continue;
    const event = eventOf(call[2] as string, call[3] as string, call[5], directory, journal);
    if (event !== null) events.push(event);
  }
  return events;
}

function eventOf(
  call: string,
  args: string,
  opened: string | undefined,
  directory: string,
  journal: string,
): Event | null {
  const nameOf = (file: string): string | null => (path.dirname(file) === directory ? path.basename(file) : null);
  const ofDescriptor = /^\d+<([^>]*)>/.exec(args);
  const file = ofDescriptor === null ? null : unescape(ofDescriptor[1] as string);
  if (call === 'openat') {
    const name = opened === undefined ? null : nameOf(unescape(opened));
    return name !== null && args.includes('O_CREAT') ? { kind: 'create', name } : null;
  }
  if (call === 'unlink' || call === 'rename' || call === 'link') {
    const [from, to] = [...args.matchAll(/"([^"]*)"/g)].map(([, text]) => nameOf(unescape(text as string)));
    if (from === null || from === undefined) return null;
    return call === 'unlink' ? { kind: call, name: from } : { kind: call, name: from, to: to as string };
  }
  if (file === null) return null;
  if ((call === 'fsync' || call === 'fdatasync') && file === directory) return { kind: 'sync-names' };
  if (file === journal && call === 'write') return { kind: 'journal', line: bytesIn(args).toString().trim() };
  const name = nameOf(file);
  if (name === null) return null;
  switch (call) {
    case 'fsync':
    case 'fdatasync':
      return { kind: 'sync', name };
    case 'write':
      return { kind: 'write', name, at: null, bytes: bytesIn(args) };
    case 'pwrite64':
      return { kind: 'write', name, at: Number(args.slice(args.lastIndexOf(',') + 1)), bytes: bytesIn(args) };
    case 'ftruncate':
      return { kind: 'truncate', name, length: Number(args.slice(args.lastIndexOf(',') + 1)) };
    default:
      throw new Error(`The recording has a ${call} of ${name}, which is not replayed.`);
  }
}

function bytesIn(args: string): Buffer {
  const from = args.indexOf('"') + 1;
  const to = args.indexOf('"', from);
  if (args[to + 1] === '.') throw new Error('The recording cut a write off.');
  return Buffer.from(args.slice(from, to).replaceAll('\\x', ''), 'hex');
}

function unescape(text: string): string {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex').toString();
}
