/** Who is measured and how each is started: as its own users start it, one process on one core, logs where it has any. */

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, freePort, ready, scratch, start } from './processes.ts';

const HERE = import.meta.dirname;
const MAIN = { packed: join(HERE, '..', 'dist', 'main.js'), source: join(HERE, '..', 'src', 'main.ts') };

/** Node flags that Holdfast ships with; every contestant on Node gets them. */
const SHIPPED_FLAGS = ['--max-semi-space-size=8'];

/** A proxy that runs. */
export interface Contestant {
  readonly name: string;
  readonly port: number;
  readonly child: Child;
}

/** What of Holdfast a figure may vary. Everything else is the default, as it ships. */
export interface HoldfastOptions {
  /** Appended to the configuration file, which sets `limits.in_flight` and `limits.request_body` only. */
  readonly yaml?: string;
  /** Node flags instead of the shipped ones. */
  readonly flags?: readonly string[];
  readonly from?: keyof typeof MAIN;
}

/** Starts the upstream of the bench; its port. */
export async function startUpstream(): Promise<Contestant> {
  const port = await freePort();
  const child = start('load', [process.execPath, join(HERE, 'upstream.ts'), String(port)], { ipc: true });
  await ready(child, `http://127.0.0.1:${port}/`);
  return { name: 'direct', port, child };
}

async function startOnNode(
  name: string,
  script: string,
  upstreamPort: number,
  flags: readonly string[] = SHIPPED_FLAGS,
): Promise<Contestant> {
  const port = await freePort();
  const args = [join(HERE, script), `http://127.0.0.1:${upstreamPort}`, String(port)];
  const child = start('proxy', [process.execPath, ...flags, ...args], { ipc: true });
  await ready(child, `http://127.0.0.1:${port}/contacts/1`);
  return { name, port, child };
}

/** Starts the floor. */
export function startFloor(upstreamPort: number, flags?: readonly string[]): Promise<Contestant> {
  return startOnNode('floor', 'floor.mjs', upstreamPort, flags);
}

let holdfastFiles = 0;

/** Launches Holdfast as it ships, packed, logging at info. Not yet ready: see `readyz`. */
export async function launchHoldfast(
  upstreamPort: number,
  options: HoldfastOptions = {},
): Promise<Contestant & { readonly readyz: string }> {
  const [port, admin] = [await freePort(), await freePort()];
  holdfastFiles += 1;
  const config = join(scratch, `holdfast-${holdfastFiles}.yaml`);
  const data = join(scratch, `data-${holdfastFiles}`);
  writeFileSync(
    config,
    `version: 1\ndata: ${data}\nlimits: { in_flight: 8192, request_body: 2GiB }\n${options.yaml ?? ''}`,
  );
  const main = MAIN[options.from ?? 'packed'];
  const run = [process.execPath, ...(options.flags ?? SHIPPED_FLAGS), main];
  const listen = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`];
  const args = ['serve', '--config', config, ...listen, '--upstream', `http://127.0.0.1:${upstreamPort}`];
  const child = start('proxy', [...run, ...args], { ipc: false });
  return { name: 'holdfast', port, child, readyz: `http://127.0.0.1:${admin}/readyz` };
}

/** Starts Holdfast and waits until it is ready. */
export async function startHoldfast(upstreamPort: number, options: HoldfastOptions = {}): Promise<Contestant> {
  const launched = await launchHoldfast(upstreamPort, options);
  await ready(launched.child, launched.readyz);
  return launched;
}

function installed(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

async function startNative(
  name: string,
  command: (port: number, file: string) => readonly string[],
  config: (port: number) => string,
): Promise<Contestant> {
  const port = await freePort();
  const file = join(scratch, `${name}.conf`);
  writeFileSync(file, config(port));
  const child = start('proxy', command(port, file), { ipc: false, env: { GOMAXPROCS: '1', HOME: scratch } });
  await ready(child, `http://127.0.0.1:${port}/contacts/1`);
  return { name, port, child };
}

function nginx(upstreamPort: number): Promise<Contestant> {
  const config = (port: number): string => `
    daemon off; master_process off; pid ${scratch}/nginx.pid; error_log stderr error;
    events { worker_connections 4096; }
    http {
      access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k; proxy_buffers 16 8k;
      client_body_temp_path ${scratch}/nginx-body; proxy_temp_path ${scratch}/nginx-proxy;
      fastcgi_temp_path ${scratch}/nginx-fastcgi; uwsgi_temp_path ${scratch}/nginx-uwsgi; scgi_temp_path ${scratch}/nginx-scgi;
      upstream api { server 127.0.0.1:${upstreamPort}; keepalive 128; keepalive_requests 1000000000; }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }
      }
    }`;
  return startNative('nginx', (_, file) => ['nginx', '-e', 'stderr', '-c', file], config);
}

function haproxy(upstreamPort: number): Promise<Contestant> {
  const config = (port: number): string => `
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  http-reuse always
listen api
  bind 127.0.0.1:${port}
  server upstream 127.0.0.1:${upstreamPort} pool-max-conn 128
`;
  return startNative('haproxy', (_, file) => ['haproxy', '-db', '-f', file], config);
}

function caddy(upstreamPort: number): Promise<Contestant> {
  const config = (port: number): string => `
{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host 128
    }
  }
}
`;
  return startNative('caddy', (_, file) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file], config);
}

/** Installs the Node peers when they are not there. Null when that worked, else why not. */
function installPeers(): string | null {
  if (existsSync(join(HERE, 'node_modules', 'httpxy'))) return null;
  const done = spawnSync('npm', ['ci', '--ignore-scripts', '--prefix', HERE], { encoding: 'utf8', timeout: 120_000 });
  return done.status === 0 ? null : (done.stderr || String(done.error)).trim().split('\n').slice(-1).join('');
}

/** Starts every peer that can run here; the others get a line that says why not. */
export async function startPeers(upstreamPort: number, say: (line: string) => void): Promise<Contestant[]> {
  const peers: Contestant[] = [];
  const missing = installPeers();
  if (missing === null) {
    for (const [name, script] of [
      ['@fastify/http-proxy', 'peers/fastify.mjs'],
      ['httpxy', 'peers/httpxy.mjs'],
      ['hono proxy()', 'peers/hono.mjs'],
    ] as const) {
      peers.push(await startOnNode(name, script, upstreamPort));
    }
  } else {
    say(`Node peers skipped: ${missing}`);
  }
  for (const [command, startIt] of [
    ['nginx', nginx],
    ['haproxy', haproxy],
    ['caddy', caddy],
  ] as const) {
    if (!installed(command)) {
      say(`${command} skipped: not installed`);
      continue;
    }
    try {
      peers.push(await startIt(upstreamPort));
    } catch (error) {
      say(`${command} skipped: ${(error as Error).message}`);
    }
  }
  return peers;
}
