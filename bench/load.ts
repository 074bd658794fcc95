/**
 * The load generator: raw sockets, requests rendered once, answers cut by Content-Length or the last chunk, so that it
 * costs a fraction of any contestant. Takes one job at a time over IPC. An answer that is not 200 fails the job: a
 * contestant must never look fast because it refuses.
 */

import { connect, type Socket } from 'node:net';
import type { ClosedJob, ClosedResult, Job, OpenJob, OpenResult, StreamJob, StreamResult, Workload } from './jobs.ts';
import { contactJson } from './payload.ts';
import { cpuMs } from './proc.ts';
import { percentile } from './stats.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const JOB_TIMEOUT_MS = 120_000;

/** A keep-alive connection with at most one request in flight. */
class Connection {
  readonly #socket: Socket;
  #head: Buffer | null = null;
  /** Body bytes still to come; -1 for chunked, null before the head is whole. */
  #left: number | null = null;
  #onAnswer: () => void = () => {};
  #closing = false;
  received = 0;

  constructor(port: number, fail: (error: Error) => void) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('error', fail);
    this.#socket.on('close', () => {
      if (!this.#closing) fail(new Error('the proxy closed a connection that was kept alive'));
    });
    this.#socket.on('data', (chunk) => {
      try {
        this.#read(chunk);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  send(request: Buffer, onAnswer: () => void): void {
    this.#onAnswer = onAnswer;
    this.#socket.write(request);
  }

  /** Writes a head and then filler as fast as it is taken. */
  upload(head: Buffer, bytes: number, onAnswer: () => void): void {
    this.send(head, onAnswer);
    const block = Buffer.alloc(65_536, 'x');
    let left = bytes;
    const pour = (): void => {
      while (left > 0) {
        const part = left >= block.length ? block : block.subarray(0, left);
        left -= part.length;
        if (!this.#socket.write(part)) {
          this.#socket.once('drain', pour);
          return;
        }
      }
    };
    pour();
  }

  close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let data = chunk;
    if (this.#left === null) {
      if (this.#head !== null) data = Buffer.concat([this.#head, data]);
      const end = data.indexOf(HEAD_END);
      if (end < 0) {
        this.#head = data;
        return;
      }
      this.#head = null;
      this.#left = bodyLength(data.toString('latin1', 0, end), data);
      data = data.subarray(end + 4);
    }
    this.received += data.length;
    if (this.#left === -1) {
      // Chunks are not parsed: the last one is an end that the 2 KB of JSON cannot imitate.
      if (!data.subarray(-5).equals(LAST_CHUNK)) return;
    } else {
      this.#left -= data.length;
      if (this.#left > 0) return;
      if (this.#left < 0) throw new Error('an answer is longer than its Content-Length');
    }
    this.#left = null;
    this.#onAnswer();
  }
}

function bodyLength(head: string, all: Buffer): number {
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`not a 200: ${all.toString('latin1', 0, 1000)}`);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (length) return Number(length[1]);
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return -1;
  throw new Error(`an answer without length: ${head}`);
}

/** Renders every request of the workload; they are sent in turn. */
function render(workload: Workload): readonly Buffer[] {
  const count = Math.max(workload.paths.length, workload.tokens);
  return Array.from({ length: count }, (_, index) => {
    const body = workload.method === 'GET' ? Buffer.alloc(0) : contactJson;
    const fields = [
      `${workload.method} ${workload.paths[index % workload.paths.length] ?? '/'} HTTP/1.1`,
      'Host: api.intercom.io',
      `Authorization: Bearer dG9rOmJlbmNoX3Rva2VuXzAxMjM0NTY3ODk=${index % workload.tokens}`,
      'Intercom-Version: 2.14',
      'Accept: application/json',
      'User-Agent: intercom-node/7.0.3',
    ];
    if (body.length > 0) fields.push('Content-Type: application/json', `Content-Length: ${body.length}`);
    return Buffer.concat([Buffer.from(`${fields.join('\r\n')}\r\n\r\n`), body]);
  });
}

function runClosed(job: ClosedJob, fail: (error: Error) => void): Promise<ClosedResult> {
  const requests = render(job.workload);
  let next = 0;
  let answered = 0;
  let stopped = false;
  const connections = Array.from({ length: job.connections }, () => new Connection(job.port, fail));
  return new Promise((resolve) => {
    let startedAt = performance.now();
    let cpuAtStart = 0;
    let answeredAtStart = 0;
    const start = (): void => {
      startedAt = performance.now();
      cpuAtStart = job.pid === null ? 0 : cpuMs(job.pid);
      answeredAtStart = answered;
    };
    const stop = (): void => {
      const wallMs = performance.now() - startedAt;
      const used = job.pid === null ? 0 : cpuMs(job.pid) - cpuAtStart;
      stopped = true;
      for (const connection of connections) connection.close();
      resolve({ requests: answered - answeredAtStart, wallMs, cpuMs: used });
    };
    const sendOn = (connection: Connection): void => {
      const request = requests[next] as Buffer;
      next = (next + 1) % requests.length;
      connection.send(request, () => {
        answered += 1;
        if (stopped) return;
        if (answered === job.requests) stop();
        else sendOn(connection);
      });
    };
    start();
    for (const connection of connections) sendOn(connection);
    if (job.requests !== null) return;
    setTimeout(() => {
      start();
      setTimeout(stop, job.measureMs);
    }, job.rampMs);
  });
}

function runOpen(job: OpenJob, fail: (error: Error) => void): Promise<OpenResult> {
  const requests = render(job.workload);
  const idle: Connection[] = [];
  const all: Connection[] = [];
  const latencies: number[] = [];
  const periodMs = 1000 / job.perSecond;
  const firstAt = performance.now() + periodMs;
  const countsFrom = firstAt + job.rampMs;
  const total = Math.floor((job.rampMs + job.measureMs) / periodMs);
  let issued = 0;
  let answered = 0;
  return new Promise((resolve) => {
    const finish = (): void => {
      for (const connection of all) connection.close();
      latencies.sort((a, b) => a - b);
      resolve({ requests: latencies.length, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) });
    };
    const issue = (dueAt: number): void => {
      const connection = idle.pop() ?? new Connection(job.port, fail);
      if (connection.received === 0) all.push(connection);
      connection.send(requests[issued % requests.length] as Buffer, () => {
        if (dueAt >= countsFrom) latencies.push(performance.now() - dueAt);
        idle.push(connection);
        answered += 1;
        if (answered === total) finish();
      });
      issued += 1;
    };
    // Sleeps while the next send is far, then turns the event loop: a timer alone is late by up to a millisecond.
    const turn = (): void => {
      for (;;) {
        if (issued === total) return;
        const dueAt = firstAt + issued * periodMs;
        const early = dueAt - performance.now();
        if (early > 0) {
          if (early > 2) setTimeout(turn, early - 1.5);
          else setImmediate(turn);
          return;
        }
        issue(dueAt);
      }
    };
    turn();
  });
}

function runStream(job: StreamJob, fail: (error: Error) => void): Promise<StreamResult> {
  const connection = new Connection(job.port, fail);
  const startedAt = performance.now();
  const common = 'Host: api.intercom.io\r\nAuthorization: Bearer dG9rOmJlbmNo\r\n';
  return new Promise((resolve) => {
    const done = (): void => {
      const bytes = job.kind === 'download' ? connection.received : job.bytes;
      connection.close();
      if (bytes === job.bytes) resolve({ bytes, wallMs: performance.now() - startedAt });
      else fail(new Error(`${bytes} of ${job.bytes} bytes came through`));
    };
    if (job.kind === 'download') {
      connection.send(Buffer.from(`GET /stream/${job.bytes} HTTP/1.1\r\n${common}\r\n`), done);
    } else {
      const length = `Content-Type: application/octet-stream\r\nContent-Length: ${job.bytes}\r\n`;
      connection.upload(Buffer.from(`POST /stream HTTP/1.1\r\n${common}${length}\r\n`), job.bytes, done);
    }
  });
}

async function run(job: Job): Promise<unknown> {
  const failed = Promise.withResolvers<never>();
  const timeout = setTimeout(() => failed.reject(new Error(`a ${job.kind} job hung`)), JOB_TIMEOUT_MS);
  const work =
    job.kind === 'closed'
      ? runClosed(job, failed.reject)
      : job.kind === 'open'
        ? runOpen(job, failed.reject)
        : runStream(job, failed.reject);
  return Promise.race([work, failed.promise]).finally(() => clearTimeout(timeout));
}

process.on('message', (job: Job) => {
  run(job).then(
    (ok) => process.send?.({ ok }),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on('disconnect', () => process.exit());
