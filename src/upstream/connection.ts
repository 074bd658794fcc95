import type { Client } from 'undici';
import UndiciClient from 'undici/lib/dispatcher/client.js';
import type { Connect } from './connect.ts';

/**
 * An idle socket is dropped after this, because a request written while the upstream closes is an unknown outcome. Load
 * balancers keep idle connections for 60 s or more, the impatient ones for 30 s.
 */
const IDLE_MS = 25_000;
/** What is taken off when the upstream says itself how long it keeps them (`Keep-Alive: timeout=5`). */
const HINT_MARGIN_MS = 2000;
const HINT_MAX_MS = 600_000;
/** Node's own limit of 16 KiB would turn an answer with long fields into a lost one. */
const HEAD_BYTES_MAX = 64 * 1024;

/**
 * One undici client, hence one socket at a time. undici's Pool is not used: it cannot give up a connection attempt, and
 * its queue holds calls that nobody can abort. A connection that saw a failure is destroyed and never used again.
 */
export class Connection {
  readonly client: Client;
  #abandon: (() => void) | null = null;

  constructor(origin: string, connect: Connect) {
    this.client = new UndiciClient(origin, {
      connect: (target, done) => {
        this.#abandon = connect(target, (...result) => {
          this.#abandon = null;
          done(...result);
        });
      },
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      keepAliveTimeoutThreshold: HINT_MARGIN_MS,
      keepAliveMaxTimeout: HINT_MAX_MS,
    });
  }

  /** Ends whatever goes on: an attempt to connect, a request, an idle socket. Idempotent. */
  destroy(): Promise<void> {
    const abandon = this.#abandon;
    this.#abandon = null;
    const destroyed = this.client.destroy();
    abandon?.();
    return destroyed;
  }
}
