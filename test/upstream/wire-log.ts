import type { RawHeaders } from '../../src/core/raw-headers.ts';
import type { Wire, WireCall, WireFailure, WireHandler, WireRequest } from '../../src/core/wire.ts';

/** All that came of one call, in order. */
export class WireLog implements WireHandler {
  readonly events: string[] = [];
  readonly interim: { status: number; headers: RawHeaders }[] = [];
  status = 0;
  headers: RawHeaders = [];
  trailers: RawHeaders = [];
  failure: WireFailure | null = null;
  bytes = 0;
  text = '';
  onChunk: ((log: WireLog) => void) | null = null;
  call!: WireCall;
  readonly ended: Promise<this>;
  readonly started: Promise<void>;
  readonly headed: Promise<void>;
  #resolveEnded!: (log: this) => void;
  #resolveStarted!: () => void;
  #resolveHeaded!: () => void;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.started = new Promise((resolve) => {
      this.#resolveStarted = resolve;
    });
    this.headed = new Promise((resolve) => {
      this.#resolveHeaded = resolve;
    });
  }

  onStart(): void {
    this.events.push('start');
    this.#resolveStarted();
  }

  onUpload(whole: boolean): void {
    if (whole) this.events.push('uploaded');
  }

  onInformational(status: number, headers: RawHeaders): void {
    this.events.push('interim');
    this.interim.push({ status, headers });
  }

  onHead(status: number, headers: RawHeaders): void {
    this.events.push('head');
    this.status = status;
    this.headers = headers;
    this.#resolveHeaded();
  }

  onData(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes < 100_000) this.text += chunk.toString('latin1');
    this.onChunk?.(this);
  }

  onEnd(trailers: RawHeaders): void {
    this.events.push('end');
    this.trailers = trailers;
    this.#resolveEnded(this);
  }

  onFailure(failure: WireFailure): void {
    this.events.push('failure');
    this.failure = failure;
    this.#resolveEnded(this);
  }
}

/** Sends one request and keeps what comes of it. */
export function send(wire: Wire, request: Partial<WireRequest> = {}): WireLog {
  const log = new WireLog();
  const whole: WireRequest = { method: 'GET', target: '/x', headers: [], body: { kind: 'none' }, ...request };
  log.call = wire.dispatch(whole, log);
  return log;
}
