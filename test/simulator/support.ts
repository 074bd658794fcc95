import { connect, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import type { Simulator, SimulatorOptions } from '../../src/simulator/simulator.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';

const running: Simulator[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.close()));
});

/** Starts a simulator that is closed after the test. */
export async function started(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const simulator = await startSimulator({ port: 0, ...options });
  running.push(simulator);
  return simulator;
}

export interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of any shape
  readonly json: any;
}

/** Calls the simulated API. */
export function call(simulator: Simulator, line: string, body?: unknown, token = 'test'): Promise<Got> {
  return ask(simulator.url, line, body, token);
}

/** Calls whatever serves the API at `url`. */
export async function ask(url: string, line: string, body?: unknown, token = 'test', waitMs = 10_000): Promise<Got> {
  const [method = '', target = ''] = line.split(' ');
  const response = await fetch(url + target, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(waitMs),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/** How a raw exchange ended. */
export interface Raw {
  readonly text: string;
  /** `end`, or the code of the error. */
  readonly ending: string;
}

/** Sends one request by hand and reads until the connection ends, or until `enough` says so. */
export function raw(
  simulator: Simulator,
  line: string,
  body = '',
  enough: (text: string, socket: Socket) => boolean = () => false,
): Promise<Raw> {
  return new Promise((resolve) => {
    const socket = connect(simulator.port, '127.0.0.1');
    let text = '';
    let ending = 'end';
    socket.on('connect', () => {
      socket.write(
        `${line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (enough(text, socket)) socket.destroy();
    });
    socket.on('error', (fault: NodeJS.ErrnoException) => {
      ending = fault.code ?? 'error';
    });
    socket.on('close', () => resolve({ text, ending }));
  });
}
