/**
 * Keeps the configuration current: reloads it when its file changes, on SIGHUP and when the admin API asks. It is loaded
 * and checked aside; only a faultless one is swapped in, at once and whole, and the last good one stays otherwise. The
 * file is looked at every second instead of being watched by `fs.watch`: that follows no symbolic links (Kubernetes
 * swaps `..data`), sees nothing on network file systems, and reports half-written files. A change counts when the file
 * has stayed the same for one more look.
 */

import { stat } from 'node:fs/promises';
import type { Settings } from '../core/settings.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';

/** How often the file is looked at, ms. */
export const LOOK_EVERY_MS = 1000;

/** What a load gave: settings, or why there are none. `faults` are lines for people; with settings, warnings. */
export type Loaded =
  | { readonly ok: true; readonly settings: Settings; readonly faults: readonly string[] }
  | { readonly ok: false; readonly faults: readonly string[] };

/** How a reload ended; `restart` names the keys that keep their running value. */
export interface Reloaded {
  readonly ok: boolean;
  /** Of the settings in force afterwards. */
  readonly hash: string;
  readonly faults: readonly string[];
  readonly restart: readonly string[];
}

/** A file, and its `fileSignature` from before it was loaded: a change between the two must not go unseen. */
export interface WatchedFile {
  readonly path: string;
  readonly signature: string | null;
}

/** What the job works on. */
export interface ConfigWatchParts {
  readonly events: Events;
  /** Null: there is no file to look at. */
  readonly file: WatchedFile | null;
  readonly load: () => Promise<Loaded>;
  readonly running: () => Settings;
  /** Puts the settings in force; rejects when they cannot be, and then nothing has changed. */
  readonly swap: (settings: Settings) => Promise<void>;
}

/** The job, and the reload that others may ask for. */
export interface ConfigWatch {
  /** Loads and swaps; one after the other when asked twice. Never rejects. */
  readonly reload: () => Promise<Reloaded>;
  /** Looks at the file until the signal is aborted. Never rejects. */
  readonly run: (clock: Clock, signal: AbortSignal) => Promise<void>;
}

/** Creates the job; nothing happens before `run` or `reload`. */
export function createConfigWatch(parts: ConfigWatchParts): ConfigWatch {
  let last: Promise<Reloaded> | null = null;
  const reload = (): Promise<Reloaded> => {
    last = last === null ? reloadOnce(parts) : last.then(() => reloadOnce(parts));
    return last;
  };
  return {
    reload,
    run: async (clock, signal) => {
      if (parts.file === null) return;
      let loaded = parts.file.signature;
      let before = loaded;
      while ((await sleep(clock, LOOK_EVERY_MS, signal)) === 'slept') {
        const now = await fileSignature(parts.file.path);
        // One look long it is only being replaced. Gone for good it changes nothing, and is said once.
        if (now !== loaded && now === before) {
          loaded = now;
          if (now === null) parts.events.configMissing(parts.file.path);
          else await reload();
        }
        before = now;
      }
    },
  };
}

async function reloadOnce({ events, load, running, swap }: ConfigWatchParts): Promise<Reloaded> {
  const refuse = (faults: readonly string[]): Reloaded => {
    events.configRejected(faults);
    return { ok: false, hash: running().hash, faults, restart: [] };
  };
  try {
    const loaded = await load();
    if (!loaded.ok) return refuse(loaded.faults);
    const { settings, restart } = keepFixed(loaded.settings, running());
    await swap(settings);
    if (restart.length > 0) events.lifecycle('config_needs_restart', { keys: restart });
    return { ok: true, hash: settings.hash, faults: loaded.faults, restart };
  } catch (error) {
    events.bug(error, 'config reload');
    return refuse(['the configuration could not be put in force; the log has the details']);
  }
}

/**
 * What was built at the start and cannot be changed under running calls: its key, and how the running value is kept in
 * the settings; `shown` follows.
 */
const FIXED: readonly [string, (settings: Settings) => unknown, (next: Settings, running: Settings) => Settings][] = [
  ['listen', (s) => s.listen, (next, { listen }) => ({ ...next, listen })],
  [
    'admin.listen',
    (s) => s.admin.listen,
    (next, { admin: { listen } }) => ({ ...next, admin: { ...next.admin, listen } }),
  ],
  ['data', (s) => s.data, (next, { data }) => ({ ...next, data })],
  ['data_key_file', (s) => s.dataKeyFile, (next, { dataKeyFile }) => ({ ...next, dataKeyFile })],
  ['tls', (s) => s.tls, (next, { tls }) => ({ ...next, tls })],
  ['log.redact', (s) => s.log.redact, (next, { log: { redact } }) => ({ ...next, log: { ...next.log, redact } })],
];

function keepFixed(next: Settings, running: Settings): { settings: Settings; restart: string[] } {
  let settings = next;
  const restart: string[] = [];
  for (const [key, valueOf, keep] of FIXED) {
    if (JSON.stringify(valueOf(next)) === JSON.stringify(valueOf(running))) continue;
    settings = {
      ...keep(settings, running),
      shown: withValue(settings.shown as Tree, running.shown as Tree, key.split('.')),
    };
    restart.push(key);
  }
  return { settings, restart };
}

/** A copy of `to` in which the value at the path is the one of `from`. */
function withValue(to: Tree, from: Tree, [key, ...rest]: readonly string[]): Tree {
  if (key === undefined) return from;
  return { ...to, [key]: withValue(to?.[key] as Tree, from?.[key] as Tree, rest) };
}

type Tree = Readonly<Record<string, unknown>> | undefined;

/** Changes when the file behind the path does, also when a link on the way was swapped; null when it is not there. */
export async function fileSignature(file: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file);
    return [dev, ino, size, mtimeMs, ctimeMs].join(':');
  } catch {
    return null;
  }
}
