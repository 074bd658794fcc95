#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * Command line and process: the only file that touches `process`. It hands what a command may use over as `Io`, so that
 * every command runs in tests without a process of its own.
 */

import { readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';

// V8 otherwise allocates what some calls keep for long (a wait, a body) in the old space for all calls, and a proxy then
// pays for the collection of every call in full (bench/README.md).
setFlagsFromString('--no-allocation-site-pretenuring');
// Before anything else is imported: halves the start-up time of the second start on.
enableCompileCache();
const { run } = await import('./commands/program.ts');

// Whoever reads has seen enough (`holdfast dlq list | head`): that is no fault. The log is written past this stream.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const packageFile = new URL('../package.json', import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };

process.exitCode = await run(process.argv.slice(2), {
  version,
  nodeVersion: process.versions.node,
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  stdoutFd: process.stdout.fd,
  readFile: (file) => readFileSync(file, 'utf8'),
  ...(process.stdin.isTTY && process.stderr.isTTY
    ? {
        ask: async (question: string) =>
          (await import('./commands/terminal.ts')).ask(process.stdin, process.stderr, question),
        edit: async (text: string, suffix: string) =>
          (await import('./commands/terminal.ts')).editWith(process.env, text, suffix),
      }
    : {}),
  onSignal: (signal, handler) => {
    process.on(signal, handler);
    return () => process.off(signal, handler);
  },
  onExit: (handler) => {
    process.on('exit', handler);
  },
});

// A call that outlived the grace time would keep its socket, and so the process, until its own timeout.
const LEFT_OVER_MS = 500;
setTimeout(() => process.exit(), LEFT_OVER_MS).unref();
