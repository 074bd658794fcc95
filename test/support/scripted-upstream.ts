import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { RequestReader, type SeenRequest } from './request-reader.ts';

/** One connection as a behaviour sees it: everything that can be done to a client, politely or not. */
interface Peer {
  readonly socket: Socket | TLSSocket;
  /** Writes bytes as they are. */
  write(bytes: string | Buffer): void;
  /** FIN after what was written. */
  end(): void;
  /** RST, at once, what was written may be lost. */
  reset(): void;
}

/**
 * What the server does with one connection or request. `accept`: as soon as a connection is open, before a byte is
 * read. `head`: as soon as the head of a request is here. `request`: when the request is here whole.
 */
export interface Behaviour {
  readonly at: 'accept' | 'head' | 'request';
  act(peer: Peer, request: SeenRequest | null): void;
}

/** How a scripted upstream is started. */
export interface ScriptOptions {
  /** PEM; plain HTTP without. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/**
 * A raw HTTP/1.1 server on a free port of 127.0.0.1 that misbehaves by script and remembers what it saw. Behaviours are
 * used up one per request, those for `accept` one per connection; when none is left, `otherwise` goes on for ever.
 */
export class ScriptedUpstream {
  /** Every request whose head arrived, oldest first. `whole` turns true when its body is here too. */
  readonly requests: SeenRequest[] = [];
  /** Connections accepted so far. */
  accepted = 0;
  /** What happens when the script is used up. */
  otherwise: Behaviour = json({ ok: true });
  readonly #server: Server;
  readonly #tls: boolean;
  readonly #script: Behaviour[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #waiting: { count: number; resolve: () => void }[] = [];
  #port = 0;

  private constructor(options: ScriptOptions) {
    this.#tls = options.tls !== undefined;
    const accept = (socket: Socket): void => this.#accept(socket);
    // Half-open, so that a FIN of either side is one of the things that a script decides.
    this.#server = options.tls
      ? createTlsServer({ ...options.tls, ALPNProtocols: ['http/1.1'] }, accept)
      : createServer({ allowHalfOpen: true, noDelay: true }, accept);
  }

  /** Starts one. */
  static async start(options: ScriptOptions = {}): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream(options);
    await new Promise<void>((resolve) => upstream.#server.listen(0, '127.0.0.1', resolve));
    upstream.#port = (upstream.#server.address() as AddressInfo).port;
    return upstream;
  }

  /** `http://127.0.0.1:1234`, without a slash at the end. */
  get origin(): string {
    return `${this.#tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections open right now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Adds behaviours for the next requests. */
  script(...behaviours: readonly Behaviour[]): this {
    this.#script.push(...behaviours);
    return this;
  }

  /** Resolves when `count` requests have arrived in all. */
  async seen(count: number): Promise<SeenRequest> {
    if (this.requests.length < count) {
      await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    }
    return this.requests[count - 1] as SeenRequest;
  }

  /** Resolves when at most `count` connections are open; looks every few milliseconds, gives up after two seconds. */
  async settled(count = 0): Promise<void> {
    for (let tries = 0; this.#sockets.size > count && tries < 400; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (this.#sockets.size > count) throw new Error(`${this.#sockets.size} connections stay open`);
  }

  /** Stops listening and resets every connection. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    this.accepted += 1;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    const peer = peerOf(socket);
    if (this.#script[0]?.at === 'accept' || (this.#script.length === 0 && this.otherwise.at === 'accept')) {
      (this.#script.shift() ?? this.otherwise).act(peer, null);
      // Read and dropped, or the client's leaving would go unseen.
      socket.resume();
      return;
    }
    let current: Behaviour | null = null;
    const reader = new RequestReader({
      onHead: (request) => {
        this.requests.push(request);
        current = this.#script.shift() ?? this.otherwise;
        if (current.at === 'head') current.act(peer, request);
        for (const waiting of this.#waiting.filter((each) => each.count <= this.requests.length)) {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          waiting.resolve();
        }
      },
      onWhole: (request) => {
        if (current?.at === 'request') current.act(peer, request);
      },
    });
    socket.on('data', (chunk: Buffer) => reader.read(chunk));
  }
}

function peerOf(socket: Socket): Peer {
  return {
    socket,
    write: (bytes) => void socket.write(bytes, 'latin1'),
    end: () => void socket.end(),
    reset: () => {
      // An RST needs the kernel's own socket: below TLS there is one more.
      if ('encrypted' in socket) socket.destroy();
      else socket.resetAndDestroy();
    },
  };
}

/** A port of 127.0.0.1 on which nobody listens. */
export async function refusedOrigin(): Promise<string> {
  const upstream = await ScriptedUpstream.start();
  const origin = upstream.origin;
  await upstream.close();
  return origin;
}

/** What an answer is made of. Content-Length is added unless it is there or `chunked` is asked for. */
export interface AnswerParts {
  readonly status?: number;
  /** Flat: name, value, name, value. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  readonly chunked?: boolean;
  /** Flat; only with `chunked`. */
  readonly trailers?: readonly string[];
}

/** The bytes of an answer. */
export function answerBytes({ status = 200, headers = [], body = '', chunked, trailers = [] }: AnswerParts): Buffer {
  const bytes = Buffer.from(body);
  const fields = [...headers];
  const given = fields.some((each, i) => i % 2 === 0 && each.toLowerCase() === 'content-length');
  if (chunked) fields.push('Transfer-Encoding', 'chunked');
  else if (!given && status !== 204 && status !== 304) fields.push('Content-Length', String(bytes.length));
  const head = Buffer.from(`HTTP/1.1 ${status} Scripted\r\n${lines(fields)}\r\n`, 'latin1');
  if (!chunked) return Buffer.concat([head, bytes]);
  const size = bytes.length > 0 ? `${bytes.length.toString(16)}\r\n` : '';
  const tail = `${bytes.length > 0 ? '\r\n' : ''}0\r\n${lines(trailers)}\r\n`;
  return Buffer.concat([head, Buffer.from(size), bytes, Buffer.from(tail, 'latin1')]);
}

function lines(fields: readonly string[]): string {
  let text = '';
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

const whenWhole = (act: Behaviour['act']): Behaviour => ({ at: 'request', act });

/** A well-formed answer. */
export const answer = (parts: AnswerParts): Behaviour => whenWhole((peer) => peer.write(answerBytes(parts)));

/** A JSON answer. */
export const json = (value: unknown, status = 200, headers: readonly string[] = []): Behaviour =>
  answer({ status, headers: ['Content-Type', 'application/json', ...headers], body: JSON.stringify(value) });

/** Intercom's error shape. */
export const intercomError = (
  status: number,
  code: string,
  message = code,
  headers: readonly string[] = [],
): Behaviour => json({ type: 'error.list', request_id: 'req-1', errors: [{ code, message }] }, status, headers);

/** An HTML page, as a load balancer makes it. */
export const html = (status: number): Behaviour =>
  answer({ status, headers: ['Content-Type', 'text/html'], body: `<html><h1>${status}</h1></html>` });

/** Bytes as they are, after the whole request was read. */
export const raw = (bytes: string | Buffer): Behaviour => whenWhole((peer) => peer.write(bytes));

/** Something that is no HTTP. */
export const garbage = (): Behaviour => raw('\x16\x03\x01 this is no HTTP \x00\x01\r\n\r\n');

/** RST as soon as the connection is open. */
export const resetOnAccept = (): Behaviour => ({ at: 'accept', act: (peer) => peer.reset() });

/** Accepts and never says a word: towards TLS a handshake that does not end. */
export const hangOnAccept = (): Behaviour => ({ at: 'accept', act: () => {} });

/** RST when the head is here, before the body is read. */
export const resetAtHead = (): Behaviour => ({ at: 'head', act: (peer) => peer.reset() });

/** RST after the whole request was read. */
export const resetAfterRequest = (): Behaviour => whenWhole((peer) => peer.reset());

/** FIN after the whole request was read, without an answer. */
export const closeAfterRequest = (): Behaviour => whenWhole((peer) => peer.end());

/** Reads the whole request and never answers. The test ends it by closing the server or the client. */
export const hang = (): Behaviour => whenWhole(() => {});

/** Sends the first `sentBytes` of an answer and then breaks off: FIN or RST. */
export const cutAnswer = (parts: AnswerParts, sentBytes: number, how: 'end' | 'reset' | 'hang' = 'end'): Behaviour =>
  whenWhole((peer) => {
    peer.socket.write(answerBytes(parts).subarray(0, sentBytes), () => {
      if (how === 'end') peer.end();
      else if (how === 'reset') peer.reset();
    });
  });

/** A complete head, and half of the body that its Content-Length promises. */
export function truncatedLength(body: string | Buffer, how: 'end' | 'reset' | 'hang' = 'end', status = 200): Behaviour {
  const parts = { status, headers: ['Content-Type', 'application/json'], body };
  const whole = answerBytes(parts).length;
  return cutAnswer(parts, whole - Math.ceil(Buffer.byteLength(body) / 2), how);
}

/** A chunked answer without its last chunk. */
export function truncatedChunked(
  body: string | Buffer,
  how: 'end' | 'reset' | 'hang' = 'end',
  status = 200,
): Behaviour {
  const parts = { status, headers: ['Content-Type', 'application/json'], body, chunked: true };
  return cutAnswer(parts, answerBytes(parts).length - 7, how);
}

/** An answer that ends with the connection (RFC 9112 §6.3, 8). */
export const untilClose = (body: string | Buffer, status = 200): Behaviour =>
  whenWhole((peer) => {
    peer.write(`HTTP/1.1 ${status} Scripted\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n`);
    peer.write(Buffer.from(body));
    peer.end();
  });

/** One or more interim answers before the real one. */
export const interim = (heads: readonly AnswerParts[], then: AnswerParts): Behaviour =>
  whenWhole((peer) => {
    for (const { status = 103, headers = [] } of heads)
      peer.write(`HTTP/1.1 ${status} Interim\r\n${lines(headers)}\r\n`);
    peer.write(answerBytes(then));
  });

/** Answers when the head is here and keeps reading the body; `close` adds a FIN after the answer. */
export const earlyAnswer = (parts: AnswerParts, close = false): Behaviour => ({
  at: 'head',
  act: (peer) => {
    peer.write(answerBytes(parts));
    if (close) peer.end();
  },
});

/** Sends the head, then the body in `pieces` pieces, one every `everyMs`. */
export const drip = (parts: AnswerParts, pieces: number, everyMs: number): Behaviour =>
  whenWhole((peer) => {
    const bytes = answerBytes(parts);
    const head = bytes.indexOf('\r\n\r\n') + 4;
    const size = Math.max(1, Math.ceil((bytes.length - head) / pieces));
    peer.write(bytes.subarray(0, head));
    let at = head;
    const timer = setInterval(() => {
      if (at >= bytes.length || peer.socket.destroyed) return clearInterval(timer);
      peer.write(bytes.subarray(at, at + size));
      at += size;
    }, everyMs);
  });
