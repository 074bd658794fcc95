/** Answers on the raw socket: to bytes of which Node's parser makes no request, and to CONNECT. */

import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { STATUS_CODES } from '../ops/node-http.ts';
import type { Connection } from './connection.ts';
import { badRequest, bodyTooLarge, HEAD_TOO_LARGE, HEAD_TOO_SLOW, type Refusal } from './refusal.ts';
import { respondRefusal } from './respond.ts';
import { LINGER_MS } from './send.ts';

/** CONNECT asks for a tunnel; there is none here. */
export const NO_TUNNEL = badRequest('connect', 'CONNECT is not served: use Holdfast as a base URL, not as a proxy.');

const MALFORMED = badRequest('malformed', 'The bytes are not a well-formed HTTP/1.1 request.');
const CUT = badRequest('cut', 'The connection was closed for writing in the middle of the request.');
const CHUNK_EXTENSIONS_BYTES_MAX = 16 * 1024;

/** What the client did wrong, from the error of the parser; null when there is nobody to answer, or no HTTP. */
export function refusalOfParserError(code: string): Refusal | null {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return HEAD_TOO_SLOW;
    case 'HPE_HEADER_OVERFLOW':
      return HEAD_TOO_LARGE;
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return bodyTooLarge(CHUNK_EXTENSIONS_BYTES_MAX);
    case 'HPE_INVALID_EOF_STATE':
      return CUT;
    default:
      return code.startsWith('HPE_') ? MALFORMED : null;
  }
}

/** What writing a raw answer needs. */
export interface RawAnswerParts {
  readonly clock: Clock;
  readonly events: Events;
  readonly newId: () => string;
  readonly via: string;
}

/**
 * Writes the refusal and closes: first our side, so that the answer is read, then, when the client has closed too or
 * after 2 s, all of it. Closing at once would reset the connection under the answer while bytes of the client are unread.
 */
export function writeRawRefusal(parts: RawAnswerParts, { socket }: Connection, refusal: Refusal): void {
  const { clock, events, newId, via } = parts;
  events.malformed(refusal.status, refusal.reason);
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = respondRefusal(refusal, null, newId(), null, via);
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\nDate: ${new Date(clock.wall()).toUTCString()}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.write(`${head}Connection: close\r\n\r\n`, 'latin1');
  socket.end(body.kind === 'bytes' ? body.bytes : '');
  const cancel = clock.timer(LINGER_MS, () => socket.destroy());
  socket.once('close', cancel);
  socket.resume();
}
