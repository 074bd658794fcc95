/** Names for credentials, safe to log and to store: HMAC-SHA256 under a key of this instance, so that nobody can guess back. */

import { createHmac, type KeyObject } from 'node:crypto';

const KEPT_MAX = 4096;
/** Longer ones are nobody's token: named, and not remembered, or clients could fill the memory with them. */
const KEPT_CHARS_MAX = 512;

/** What stands for a credential. */
export interface CredentialName {
  /** Twelve hex digits for logs and metrics; `none` for a call without credential. */
  readonly ref: string;
  /** 32 hex digits: whose operations a call may meet (semantics §6). */
  readonly scope: string;
}

/** Names credentials and remembers the names. */
export class CredentialRefs {
  readonly #key: KeyObject;
  readonly #names = new Map<string, CredentialName>();

  /** `key` lives as long as what the names are stored with: a secret of 32 bytes. */
  constructor(key: KeyObject) {
    this.#key = key;
  }

  of(authorization: string | null): CredentialName {
    const credential = authorization ?? '';
    let name = this.#names.get(credential);
    if (name === undefined) {
      const digest = createHmac('sha256', this.#key).update(credential).digest('hex');
      name = { ref: authorization === null ? 'none' : digest.slice(0, 12), scope: digest.slice(0, 32) };
      if (credential.length > KEPT_CHARS_MAX) return name;
      if (this.#names.size >= KEPT_MAX) this.#forgetOldest();
      this.#names.set(credential, name);
    }
    return name;
  }

  #forgetOldest(): void {
    for (const oldest of this.#names.keys()) {
      this.#names.delete(oldest);
      return;
    }
  }
}
