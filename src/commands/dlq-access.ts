import path from 'node:path';
import { formatFault } from '../config/faults.ts';
import { configFileOf, loadSettings } from '../config/load.ts';
import type { ListenAddress, Settings } from '../core/settings.ts';
import type { Io } from './io.ts';

/** Where the queue is: what every `dlq` command takes. */
export interface DlqPlace {
  readonly config?: string;
  readonly admin?: string;
  readonly tokenFile?: string;
  readonly data?: string;
}

/** What a call of the admin API gave; JSON. */
export interface Reply {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- documents of an API that is checked at the other end
  readonly json: any;
}

/** The admin API, of a running instance or of a ledger that nobody runs. */
export interface DlqAccess {
  /** `127.0.0.1:8081`, or the directory: for people. */
  readonly where: string;
  /** An instance runs, which can send. */
  readonly sends: boolean;
  readonly call: (line: string, body?: unknown) => Promise<Reply>;
  readonly close: () => Promise<void>;
}

/** A command cannot do what it was asked for. One line that says what to do. */
export class DlqError extends Error {
  override readonly name = 'DlqError';
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Finds the queue. A running instance comes first, because it holds the directory; the directory itself is opened with
 * `--data`, or when nothing answers. Throws `DlqError`.
 */
export async function openAccess(place: DlqPlace, io: Io): Promise<DlqAccess> {
  const settings = await settingsOf(place, io);
  if (place.data !== undefined && place.admin === undefined) return openDirectory(settings, io);
  const url = place.admin?.startsWith('http') ? place.admin.replace(/\/+$/, '') : urlOf(settings.admin.listen);
  const access = overHttp(url, tokenOf(place, settings, io));
  const found = await whoAnswers(url);
  if (found === 'instance') return access;
  const none = found === 'other' ? `what answers at ${url} is no admin plane` : `no instance answers at ${url}`;
  if (place.admin === undefined) return openDirectory(settings, io, none);
  const hint = found === 'other' ? 'give the address of admin.listen (127.0.0.1:8081 by default)' : 'start one';
  throw new DlqError(`${none}; ${hint}, or give --data`);
}

async function settingsOf({ config, admin, data }: DlqPlace, io: Io): Promise<Settings> {
  const flags = { data, ...(admin?.startsWith('http') ? {} : { admin }) };
  const file = configFileOf(config, io.env);
  const loaded = await loadSettings({ file, env: io.env, flags, readFile: io.readFile });
  if (loaded.ok) return loaded.settings;
  throw new DlqError(loaded.faults.map(formatFault).join('\n'));
}

function tokenOf({ tokenFile }: DlqPlace, settings: Settings, io: Io): string | null {
  if (tokenFile === undefined) return settings.admin.token;
  return secretIn(tokenFile, io);
}

/** The one line of a file. Throws `DlqError`. */
export function secretIn(file: string, io: Io): string {
  let text: string;
  try {
    text = io.readFile(file).trim();
  } catch (error) {
    throw new DlqError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
  if (text === '' || /[\r\n]/.test(text)) throw new DlqError(`${file} must have one line, the token`);
  return text;
}

function overHttp(url: string, token: string | null): DlqAccess {
  return {
    where: url.replace(/^https?:\/\//, ''),
    sends: true,
    call: (line, body) => replyOf((target, init) => fetch(url + target, init), line, body, token),
    close: () => Promise.resolve(),
  };
}

/** Nobody, an instance's admin plane, or something else: a data plane, another program. */
async function whoAnswers(url: string): Promise<'instance' | 'other' | 'nobody'> {
  let response: Response;
  try {
    response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(PROBE_MS) });
  } catch {
    return 'nobody';
  }
  try {
    const { alive } = (await response.json()) as { alive?: unknown };
    return response.status === 200 && alive === true ? 'instance' : 'other';
  } catch {
    return 'other';
  }
}

const PROBE_MS = 2000;

/** The same API without a socket, on a ledger that this process holds meanwhile. */
async function openDirectory(settings: Settings, io: Io, none: string | null = null): Promise<DlqAccess> {
  const { existsSync } = await import('node:fs');
  const { data } = settings;
  if (!existsSync(path.join(data, 'holdfast.db'))) {
    const noLedger = `there is no ledger in ${data}`;
    throw new DlqError(
      none === null
        ? `${noLedger}; holdfast serve makes it when it starts for the first time`
        : `${none}, and ${noLedger}; start holdfast serve, or give --admin or --data`,
    );
  }
  const { openOffline } = await import('./dlq-offline.ts');
  const offline = await openOffline(settings, io.version);
  return {
    where: data,
    sends: false,
    call: (line, body) =>
      replyOf((target, init) => offline.fetch(new Request(`http://localhost${target}`, init)), line, body, null),
    close: offline.close,
  };
}

async function replyOf(
  send: (target: string, init: RequestInit) => Response | Promise<Response>,
  line: string,
  body: unknown,
  token: string | null,
): Promise<Reply> {
  const [method = '', target = ''] = line.split(' ');
  const response = await send(target, {
    method,
    headers: {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new DlqError(`the answer to ${line} is no JSON (${response.status}); is this the admin address?`);
  }
  return { status: response.status, json };
}

/** The document of a call that must succeed. Throws `DlqError` with what the API says. */
export async function must(access: DlqAccess, line: string, body?: unknown): Promise<Reply['json']> {
  const { status, json } = await access.call(line, body);
  if (status < 400) return json;
  const said = (json as { errors?: { message?: string }[] }).errors?.[0]?.message;
  const hint = status === 401 ? ' (HOLDFAST_ADMIN_TOKEN, --token-file)' : '';
  throw new DlqError(`${said ?? `${line} was answered ${status}`}${hint}`, status === 400 ? 2 : 1);
}

/** Where a listener on all addresses is reached from the same machine. */
function urlOf({ host, port }: ListenAddress): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
