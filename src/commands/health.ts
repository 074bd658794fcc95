import { Command } from 'commander';
import { formatFault } from '../config/faults.ts';
import { configFileOf, loadSettings } from '../config/load.ts';
import type { ListenAddress } from '../core/settings.ts';
import { request } from '../ops/node-http.ts';
import type { Io } from './io.ts';

const TIMEOUT_MS = 2000;

/** What `health` takes on its command line. */
export interface HealthOptions {
  readonly config?: string;
  readonly admin?: string;
}

/** The `health` command; `done` receives its exit code. */
export function healthCommand(io: Io, done: (exitCode: number) => void): Command {
  return new Command('health')
    .description('exit 0 when the instance on this machine is ready, else 1 (for container health checks)')
    .option('--config <file>', 'configuration file of the instance (HOLDFAST_CONFIG)')
    .option('--admin <address>', 'its admin address (HOLDFAST_ADMIN_LISTEN)')
    .action(async (options: HealthOptions) => done(await health(options, io)));
}

/** Asks `/readyz`; the exit code. */
export async function health(options: HealthOptions, io: Io): Promise<number> {
  const loaded = await loadSettings({
    file: configFileOf(options.config, io.env),
    env: io.env,
    flags: { admin: options.admin },
    readFile: io.readFile,
  });
  if (!loaded.ok) {
    for (const each of loaded.faults) io.stderr.write(`health: ${formatFault(each)}\n`);
    return 1;
  }
  const { host, port } = reachable(loaded.settings.admin.listen);
  return new Promise((resolve) => {
    const asked = request({ host, port, path: '/readyz', agent: false, timeout: TIMEOUT_MS }, (response) => {
      response.resume();
      const ready = response.statusCode === 200;
      (ready ? io.stdout : io.stderr).write(
        ready ? 'ready\n' : `health: not ready, /readyz says ${response.statusCode}\n`,
      );
      resolve(ready ? 0 : 1);
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    asked.on('error', (error) => {
      io.stderr.write(`health: no instance on ${host}:${port}: ${error.message}\n`);
      resolve(1);
    });
    asked.end();
  });
}

/** Where a listener on all addresses is reached from the same machine. */
function reachable({ host, port }: ListenAddress): ListenAddress {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return host === '::' ? { host: '::1', port } : { host, port };
}
