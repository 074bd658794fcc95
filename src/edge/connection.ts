/**
 * One client connection. Requests that a client pipelines are served one after the other and not side by side: a write
 * must not overtake the one before it (RFC 9112 §9.3.2), and what follows a malformed request must never be served.
 */

import type { Socket } from 'node:net';
import type { Refusal } from './refusal.ts';

/** A request that has its place on a connection. */
export interface Turn {
  /** Serves it; the connection hears of its end through `turnOver`. */
  start(): void;
  /** The connection is gone. */
  gone(): void;
  /** The process stops: waits end, what is on the wire may finish. */
  shutdown(): void;
  /** The bytes of its body are malformed, too slow, or end too early. */
  bodyMalformed(refusal: Refusal): void;
  /** The client has closed its side: nothing more of an upload comes. */
  uploadOver(): void;
  /** The parser has seen its last byte. */
  readonly received: boolean;
}

/**
 * Requests that wait behind the one that is served; a client that sends more is cut off. Node's parser makes a request of
 * every 20 bytes and keeps each until all before it are answered, whatever the socket is told: to leave them unserved
 * would cost a gigabyte, and misplace the answers to those that follow.
 */
const PIPELINED_MAX = 1000;

/** The turns of one socket. */
export class Connection {
  readonly socket: Socket;
  readonly #writeRaw: (connection: Connection, refusal: Refusal) => void;
  #current: Turn | null = null;
  #waiting: Turn[] = [];
  /** What the parser could not read, to be answered when everything before it is. */
  #malformed: Refusal | null = null;
  #closing = false;
  #readEnded = false;

  constructor(socket: Socket, writeRaw: (connection: Connection, refusal: Refusal) => void) {
    this.socket = socket;
    this.#writeRaw = writeRaw;
  }

  /** The answer that is being written is the last one. */
  close(): void {
    this.#closing = true;
    this.#waiting = [];
  }

  /** A request has arrived. */
  take(turn: Turn): void {
    if (this.#closing || this.#malformed !== null) return;
    if (this.#current === null) {
      this.#current = turn;
      turn.start();
    } else if (this.#waiting.length < PIPELINED_MAX) {
      this.#waiting.push(turn);
    } else {
      this.socket.destroy();
    }
  }

  /** The current request has its answer. */
  turnOver(): void {
    this.#current = null;
    if (this.socket.destroyed || this.#closing) return;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      this.#current = next;
      next.start();
    } else if (this.#malformed !== null) {
      this.#refuse(this.#malformed);
    }
  }

  /** The parser gave up: the body of the last request, or the head of the next, cannot be read. Answered once. */
  malformed(refusal: Refusal): void {
    if (this.#closing || this.#malformed !== null) return;
    const last = this.#waiting.at(-1) ?? this.#current;
    if (last !== null && !last.received) {
      last.bodyMalformed(refusal);
      return;
    }
    this.#malformed = refusal;
    if (this.#current === null) this.#refuse(refusal);
  }

  /** The process stops. */
  shutdown(): void {
    this.#current?.shutdown();
  }

  /** Whether the client has closed its side. */
  get readEnded(): boolean {
    return this.#readEnded;
  }

  /** The client has closed its side; it may still read (semantics §10). */
  endOfInput(): void {
    this.#readEnded = true;
    this.#current?.uploadOver();
  }

  /** The socket is closed. */
  gone(): void {
    this.#closing = true;
    this.#waiting = [];
    this.#current?.gone();
  }

  #refuse(refusal: Refusal): void {
    this.#closing = true;
    this.#writeRaw(this, refusal);
  }
}
