/**
 * The upstream of the bench: a raw socket server that answers every request with the same 2 KB of JSON under the header
 * fields that Intercom sends, for a few microseconds of processor time, so that the contestants are what is measured.
 * `GET /stream/N` answers N bytes. Request bodies are counted and dropped. `node upstream.ts PORT`.
 */

import { createServer, type Socket } from 'node:net';
import { contactJson } from './payload.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const BLOCK = Buffer.alloc(65_536, 'x');
const WINDOW_SECONDS = 10;
/** High enough that pacing never waits here: the bench measures what pacing costs, not what the quota is. */
const QUOTA = 100_000_000;

let fixed: Buffer = Buffer.alloc(0);

function renew(): void {
  const seconds = Math.floor(Date.now() / 1000);
  const reset = (Math.floor(seconds / WINDOW_SECONDS) + 1) * WINDOW_SECONDS;
  fixed = answer(contactJson.length, 'application/json; charset=utf-8', reset, contactJson);
}

function answer(lengthBytes: number, type: string, reset: number, body: Buffer): Buffer {
  const head = [
    'HTTP/1.1 200 OK',
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${type}`,
    `Content-Length: ${lengthBytes}`,
    'Connection: keep-alive',
    'Intercom-Version: 2.14',
    `X-RateLimit-Limit: ${QUOTA}`,
    `X-RateLimit-Remaining: ${QUOTA}`,
    `X-RateLimit-Reset: ${reset}`,
    'X-Request-Id: 0005k2r8hq1v4n3c7a6g',
    'Cache-Control: max-age=0, private, must-revalidate',
    'Strict-Transport-Security: max-age=31556952; includeSubDomains; preload',
    'X-Content-Type-Options: nosniff',
    'Vary: Accept,Accept-Encoding',
    'Server: nginx',
  ].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]);
}

/** Writes `bytes` of filler as fast as the reader takes them. */
function stream(socket: Socket, bytes: number): void {
  socket.write(answer(bytes, 'application/octet-stream', 0, Buffer.alloc(0)));
  let left = bytes;
  const pour = (): void => {
    while (left > 0) {
      const block = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
      left -= block.length;
      if (!socket.write(block)) {
        socket.once('drain', pour);
        return;
      }
    }
  };
  pour();
}

function respond(socket: Socket, head: string): void {
  const streamed = /^GET \/stream\/(\d+) /.exec(head);
  if (streamed) stream(socket, Number(streamed[1]));
  else socket.write(fixed);
}

function serve(socket: Socket): void {
  let pending: Buffer | null = null;
  let head = '';
  /** Body bytes still to come; -1 for chunked, null between requests. */
  let left: number | null = null;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    let data = pending === null ? chunk : Buffer.concat([pending, chunk]);
    pending = null;
    while (data.length > 0) {
      if (left === null) {
        const end = data.indexOf(HEAD_END);
        if (end < 0) {
          pending = data;
          return;
        }
        head = data.toString('latin1', 0, end);
        data = data.subarray(end + 4);
        const length = /\r\ncontent-length: *(\d+)/i.exec(head);
        left = length ? Number(length[1]) : /\r\ntransfer-encoding: *chunked/i.test(head) ? -1 : 0;
      }
      if (left === -1) {
        if (data.length < 5 || !data.subarray(-5).equals(LAST_CHUNK)) {
          pending = data.length < 5 ? data : data.subarray(-5);
          return;
        }
        data = data.subarray(data.length);
      } else {
        const taken = Math.min(left, data.length);
        left -= taken;
        data = data.subarray(taken);
        if (left > 0) return;
      }
      left = null;
      respond(socket, head);
    }
  });
}

renew();
setInterval(renew, 500).unref();
createServer(serve).listen(Number(process.argv[2]), '127.0.0.1', 4096);
process.on('disconnect', () => process.exit());
