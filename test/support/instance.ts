import { readFileSync } from 'node:fs';
import { type Instance, startInstance } from '../../src/assemble.ts';
import { formatFault } from '../../src/config/faults.ts';
import { loadSettings } from '../../src/config/load.ts';
import { type Clock, systemClock } from '../../src/ops/clock.ts';
import { dataFolder } from './data-folder.ts';
import { lookAt } from './leaks.ts';

/** An instance in this process, over real sockets, with its log in memory. */
export interface TestInstance {
  readonly instance: Instance;
  readonly url: string;
  readonly adminUrl: string;
  /** Every log line so far, parsed. */
  readonly log: Record<string, unknown>[];
  stop(): Promise<void>;
}

/**
 * Starts Holdfast in front of `upstream` on free ports; `yaml` is laid over the defaults as a user's file would be, and
 * `data` is the folder of its ledger, a new one when none is given.
 */
export async function startTestInstance(
  upstream: string,
  yaml = 'version: 1\n',
  data = dataFolder(),
  clock: Clock = systemClock,
): Promise<TestInstance> {
  const loaded = await loadSettings({
    file: 'test.yaml',
    env: {},
    flags: { listen: '127.0.0.1:0', admin: '127.0.0.1:0', upstream, data },
    readFile: (file) => (file === 'test.yaml' ? yaml : readFileSync(file, 'utf8')),
  });
  if (!loaded.ok) throw new Error(loaded.faults.map(formatFault).join('\n'));
  const log: Record<string, unknown>[] = [];
  const instance = await startInstance({
    settings: loaded.settings,
    version: 'test',
    nodeVersion: process.versions.node,
    env: process.env,
    clock,
    logTo: {
      write: (line: string) => {
        lookAt('log', line);
        log.push(JSON.parse(line) as Record<string, unknown>);
      },
    },
    file: null,
    load: () => Promise.resolve({ ok: false, faults: ['this instance has no file to read again'] }),
  });
  return { instance, url: instance.url, adminUrl: instance.adminUrl, log, stop: () => instance.stop(5000) };
}
