/** A short name for a credential, safe to log: HMAC-SHA256 under a key of this process, so that nobody can guess back. */

import { createHmac, randomBytes } from 'node:crypto';

const KEPT_MAX = 4096;
/** Longer ones are nobody's token: named, and not remembered, or clients could fill the memory with them. */
const KEPT_CHARS_MAX = 512;

/** Names credentials and remembers the names. */
export class CredentialRefs {
  readonly #key = randomBytes(32);
  readonly #refs = new Map<string, string>();

  /** Twelve hex digits; `none` for a call without credential. */
  of(authorization: string | null): string {
    if (authorization === null) return 'none';
    let ref = this.#refs.get(authorization);
    if (ref === undefined) {
      ref = createHmac('sha256', this.#key).update(authorization).digest('hex').slice(0, 12);
      if (authorization.length > KEPT_CHARS_MAX) return ref;
      if (this.#refs.size >= KEPT_MAX) this.#forgetOldest();
      this.#refs.set(authorization, ref);
    }
    return ref;
  }

  #forgetOldest(): void {
    for (const oldest of this.#refs.keys()) {
      this.#refs.delete(oldest);
      return;
    }
  }
}
