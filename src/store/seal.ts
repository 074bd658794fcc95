import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomFillSync } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Random bytes are drawn for this many fields at once: a draw costs as much as a field. */
const NONCES = 256;

/** A sealed field does not open: another key, or bytes that were changed. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';
  readonly code = 'SEAL_BROKEN';
}

/**
 * Encrypts fields at rest: AES-256-GCM as nonce | ciphertext | tag. The place of a field (operation and name) is
 * authenticated with it, so that nobody can move a body into another row. Nonces are random: at 167 operations/s it
 * takes months to reach the 2^32 fields after which NIST SP 800-38D §8.3 wants the chance of a repeat below 2^-32.
 */
export class Sealer {
  readonly #key: KeyObject;
  readonly #nonces = Buffer.alloc(NONCES * NONCE_BYTES);
  #nonceAt = this.#nonces.length;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  seal(id: string, field: string, clear: Uint8Array | string): Buffer {
    const nonce = this.#nonce();
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(place(id, field));
    const sealed = typeof clear === 'string' ? cipher.update(clear, 'utf8') : cipher.update(clear);
    cipher.final();
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
  }

  /** Throws `SealBroken`. */
  open(id: string, field: string, sealed: Uint8Array): Buffer {
    const end = sealed.length - TAG_BYTES;
    if (end < NONCE_BYTES) throw new SealBroken(`The ${field} of ${id} is cut short.`);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_BYTES));
      decipher.setAAD(place(id, field));
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
    } catch (cause) {
      throw new SealBroken(`The ${field} of ${id} does not open.`, { cause });
    }
  }

  #nonce(): Buffer {
    if (this.#nonceAt === this.#nonces.length) {
      randomFillSync(this.#nonces);
      this.#nonceAt = 0;
    }
    this.#nonceAt += NONCE_BYTES;
    return this.#nonces.subarray(this.#nonceAt - NONCE_BYTES, this.#nonceAt);
  }
}

function place(id: string, field: string): Buffer {
  return Buffer.from(`${id}\n${field}`);
}
