/**
 * Undoes a content coding in order to look at a body; what is passed on stays as it came (semantics §1). Asynchronous and
 * by stream, not by `gunzipSync`: the coding comes from outside, and a small bomb must neither block the loop nor fill the
 * memory. A stream also gives what could be read of a body that is cut, where the one-call forms give nothing.
 */

import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib';

/** What could be read. */
export interface Decoded {
  readonly bytes: Buffer;
  /** `cut`: the coded bytes end early or are damaged. `more`: there is more than was asked for. */
  readonly end: 'whole' | 'cut' | 'more';
}

const JUNK_BEHIND_THE_END = 'ERR_TRAILING_JUNK_AFTER_STREAM_END';

/** Decodes at most `maxBytes`; bytes behind the end are ignored. Null when the coding is unknown; never rejects. */
export async function decode(coded: Buffer, coding: string, maxBytes: number): Promise<Decoded | null> {
  const decoder = decoderOf(coding, coded);
  if (decoder === null) return null;
  const decoded = await run(decoder, coded, maxBytes);
  if (decoded.error !== 'Z_DATA_ERROR' || !isGzip(coding)) return decoded;
  // What follows a gzip member is read as one more, and what that one lacks loses the first as well.
  const first = await run(createGunzip({ rejectGarbageAfterEnd: true }), coded, maxBytes);
  return first.error === JUNK_BEHIND_THE_END ? { ...first, end: 'whole' } : decoded;
}

function isGzip(coding: string): boolean {
  return /^\s*(?:x-)?gzip\s*$/i.test(coding);
}

function run(
  decoder: Transform,
  coded: Buffer,
  maxBytes: number,
): Promise<Decoded & { readonly error: string | null }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const finish = (end: Decoded['end'], error: string | null = null): void => {
      decoder.removeAllListeners('data');
      decoder.destroy();
      resolve({ bytes: Buffer.concat(chunks, Math.min(bytes, maxBytes)), end, error });
    };
    decoder.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > maxBytes) finish('more');
    });
    decoder.on('end', () => finish('whole'));
    decoder.on('error', (error: NodeJS.ErrnoException) => finish('cut', error.code ?? ''));
    // Not `end(coded)`: that flushes the last chunk in full or not at all, and a cut body would give nothing.
    decoder.write(coded, () => decoder.end());
  });
}

function decoderOf(coding: string, coded: Buffer): Transform | null {
  switch (coding.trim().toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      // Meant is the zlib format (RFC 9110 §8.4.1.2); some send the bare stream. The first is known by its first nibble.
      return ((coded[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw();
    case 'br':
      return createBrotliDecompress();
    case 'zstd':
      return createZstdDecompress();
    default:
      return null;
  }
}
