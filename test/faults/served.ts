import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/** proc(5) is Linux; elsewhere memory reads as 0 and the bytes alone are proven. */
const MEASURED = process.platform === 'linux';

/** Holdfast in a process of its own, started as `npm start` does. */
export interface Served {
  readonly url: string;
  readonly pid: number;
  /** Resident memory now, bytes. */
  rssBytes(): number;
  /** The most resident memory since `forgetPeak`, bytes: the kernel's own mark, nothing is missed between samples. */
  peakBytes(): number;
  forgetPeak(): void;
  stop(): Promise<void>;
}

/** Starts it in front of `upstream`, on free ports, with `yaml` as its configuration. */
export async function serve(upstream: string, yaml: string): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  const config = join(folder, 'holdfast.yaml');
  writeFileSync(config, yaml);
  const flags = ['--config', config, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--upstream', upstream];
  const child = spawn(process.execPath, ['--max-semi-space-size=8', MAIN, 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = await listening(child);
  const pid = child.pid as number;
  return {
    url,
    pid,
    rssBytes: () => statusBytes(pid, 'VmRSS'),
    peakBytes: () => statusBytes(pid, 'VmHWM'),
    forgetPeak() {
      if (MEASURED) writeFileSync(`/proc/${pid}/clear_refs`, '5');
    },
    async stop() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

/** The data plane's address, from the log. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
    if (child.stdout === null) throw new Error('no log');
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text) as { event: string; proxy: string };
      if (line.event === 'listening') resolve(line.proxy);
    });
  });
}

/** proc(5): a field of `/proc/PID/status` that is given in kB. */
function statusBytes(pid: number, field: string): number {
  if (!MEASURED) return 0;
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]) * 1024;
}
