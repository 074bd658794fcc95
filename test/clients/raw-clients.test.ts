/** Requests written by hand as HTTP libraries of other languages put them on the wire, through the whole proxy. */

import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RawClient } from '../edge/harness.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { RequestReader, type SeenRequest } from '../support/request-reader.ts';
import { answer, json, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { AnswerReader } from './raw-answers.ts';

let upstream: ScriptedUpstream;
let holdfast: TestInstance;
const clients: RawClient[] = [];

beforeEach(async () => {
  upstream = await ScriptedUpstream.start();
  holdfast = await startTestInstance(upstream.origin);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await holdfast.stop();
  await upstream.close();
});

function connected(): { client: RawClient; answers: AnswerReader } {
  const client = new RawClient(Number(new URL(holdfast.url).port));
  clients.push(client);
  return { client, answers: new AnswerReader(client) };
}

const lines = (...all: string[]): string => `${all.join('\r\n')}\r\n\r\n`;
const parsed = (body: Buffer): unknown => JSON.parse(body.toString());
const namesOf = ({ headers }: SeenRequest): string[] => headers.filter((_, i) => i % 2 === 0);

const pythonHead = (method: string, target: string, ...more: string[]): string =>
  lines(
    `${method} ${target} HTTP/1.1`,
    'Host: 127.0.0.1:8080',
    'User-Agent: python-requests/2.32.3',
    'Accept-Encoding: gzip, deflate',
    'Accept: application/json',
    'Connection: keep-alive',
    'Authorization: Bearer a-token',
    ...more,
  );

const goHead = (method: string, target: string, ...more: string[]): string =>
  lines(
    `${method} ${target} HTTP/1.1`,
    'Host: 127.0.0.1:8080',
    'User-Agent: Go-http-client/1.1',
    ...more,
    'Accept-Encoding: gzip',
  );

const phpHead = (...more: string[]): string =>
  lines(
    'POST /contacts HTTP/1.1',
    'Host: 127.0.0.1:8080',
    'Accept: */*',
    'Authorization: Bearer a-token',
    'Content-Type: application/json',
    ...more,
  );

const contact = (n: number): string => lines(`GET /contacts/${n} HTTP/1.1`, 'Host: x');

const LEAD = '{"role": "lead", "name": "Ada"}';

describe('Python: requests over urllib3', () => {
  it('serves ten requests of a session on one socket, each with its own answer', async () => {
    const { client, answers } = connected();
    upstream.script(...Array.from({ length: 10 }, (_, n) => json({ n })));
    for (let n = 0; n < 10; n += 1) {
      // urllib3 writes head and body in two pieces.
      if (n % 2 === 0) client.send(pythonHead('GET', `/contacts/${n}`));
      else
        client
          .send(pythonHead('POST', '/contacts', `Content-Length: ${LEAD.length}`, 'Content-Type: application/json'))
          .send(LEAD);
      const { status, body } = await answers.next();
      expect([status, parsed(body)]).toEqual([200, { n }]);
    }
    expect(client.ended).toBe(false);
    expect(upstream.requests.map(({ method }) => method)).toEqual(
      Array.from({ length: 5 }, () => ['GET', 'POST']).flat(),
    );
  });

  it('§10: forwards the fields in their order and case, with the upstream’s Host and nothing hop-by-hop', async () => {
    const { client, answers } = connected();
    client.send(pythonHead('GET', '/me?a=%2F&b=%20c', 'Intercom-Version: 2.14', 'X-Odd: ä'));
    await answers.next();
    const seen = await upstream.seen(1);
    expect(seen.target).toBe('/me?a=%2F&b=%20c');
    expect(RequestReader.field(seen, 'host')).toBe(`127.0.0.1:${upstream.port}`);
    expect(RequestReader.field(seen, 'x-odd')).toBe('ä');
    expect(namesOf(seen).filter((name) => !/^(host|connection)$/i.test(name))).toEqual([
      'User-Agent',
      'Accept-Encoding',
      'Accept',
      'Authorization',
      'Intercom-Version',
      'X-Odd',
      'Via',
    ]);
  });

  it('hands a gzip answer on byte for byte, because the client said that it takes gzip', async () => {
    const { client, answers } = connected();
    const packed = gzipSync(JSON.stringify({ type: 'contact', id: '7' }));
    upstream.script(
      answer({ headers: ['Content-Type', 'application/json', 'Content-Encoding', 'gzip'], body: packed }),
      answer({ headers: ['Content-Encoding', 'gzip'], body: packed, chunked: true }),
    );
    client.send(pythonHead('GET', '/contacts/7'));
    const first = await answers.next();
    expect(first.body).toEqual(packed);
    expect(first.fields.get('Content-Encoding')).toBe('gzip');
    client.send(pythonHead('GET', '/some/where/else'));
    expect(gunzipSync((await answers.next()).body).toString()).toContain('"id":"7"');
  });

  it('forwards a generator’s chunked body, and keeps the socket', async () => {
    const { client, answers } = connected();
    client.send(pythonHead('POST', '/contacts', 'Transfer-Encoding: chunked', 'Content-Type: application/json'));
    for (const piece of [LEAD.slice(0, 9), LEAD.slice(9)]) client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    client.send('0\r\n\r\n');
    expect((await answers.next()).status).toBe(200);
    expect((await upstream.seen(1)).body.toString()).toBe(LEAD);
    client.send(pythonHead('GET', '/me'));
    expect((await answers.next()).status).toBe(200);
  });
});

describe('Ruby: net/http', () => {
  it('closes after the answer when the client asked for it, the answer whole', async () => {
    const { client, answers } = connected();
    client.send(
      lines(
        'GET /contacts/7 HTTP/1.1',
        'Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3',
        'Accept: application/vnd.intercom.3+json',
        'User-Agent: Intercom-Ruby/4.2.2',
        'Host: 127.0.0.1:8080',
        'Connection: close',
        'Authorization: Bearer a-token',
      ),
    );
    const { status, fields, body } = await answers.next();
    expect([status, parsed(body)]).toEqual([200, { ok: true }]);
    expect(fields.get('Connection')).toBe('close');
    await client.closed();
    expect(namesOf(await upstream.seen(1))).toContain('Accept');
  });

  it('passes HTTP Basic credentials, as the oldest clients send them, untouched', async () => {
    const { client, answers } = connected();
    const basic = `Basic ${Buffer.from('a-token:').toString('base64')}`;
    client.send(lines('GET /me HTTP/1.1', 'Host: x', `Authorization: ${basic}`));
    await answers.next();
    expect(RequestReader.field(await upstream.seen(1), 'authorization')).toBe(basic);
  });
});

describe('Go: net/http', () => {
  it('takes a body of unknown length in chunks and tells the upstream the truth about it', async () => {
    const { client, answers } = connected();
    client.send(goHead('PUT', '/contacts/7', 'Transfer-Encoding: chunked', 'Authorization: Bearer a-token'));
    client.send(`${LEAD.length.toString(16)}\r\n${LEAD}\r\n0\r\n\r\n`);
    await answers.next();
    const seen = await upstream.seen(1);
    expect(seen.body.toString()).toBe(LEAD);
    expect(RequestReader.field(seen, 'content-length') ?? RequestReader.field(seen, 'transfer-encoding')).toBeTruthy();
  });

  it('answers HEAD with the fields of a GET and no body, so that the next answer is not misread', async () => {
    const { client, answers } = connected();
    upstream.script(answer({ headers: ['Content-Type', 'application/json', 'Content-Length', '512'], body: '' }));
    client.send(goHead('HEAD', '/contacts/7'));
    const first = await answers.next(true);
    expect([first.status, first.fields.get('Content-Length'), first.body.length]).toEqual([200, '512', 0]);
    client.send(goHead('GET', '/contacts/7'));
    expect(parsed((await answers.next()).body)).toEqual({ ok: true });
  });

  it('keeps the socket after a 204 and a 304', async () => {
    const { client, answers } = connected();
    upstream.script(answer({ status: 204 }), answer({ status: 304, headers: ['ETag', '"x"'] }));
    for (const status of [204, 304, 200]) {
      client.send(goHead('GET', '/contacts/7'));
      expect((await answers.next()).status).toBe(status);
    }
  });
});

describe('PHP: curl', () => {
  it('§10: says 100 Continue before the body is sent, and never forwards Expect', async () => {
    const { client, answers } = connected();
    client.send(phpHead(`Content-Length: ${LEAD.length}`, 'Expect: 100-continue'));
    expect(await client.until((text) => text.includes('\r\n\r\n'))).toMatch(/^HTTP\/1\.1 100 /);
    client.send(LEAD);
    const { status, interim } = await answers.next();
    expect([interim, status]).toEqual([[100], 200]);
    const seen = await upstream.seen(1);
    expect(seen.body.toString()).toBe(LEAD);
    expect(RequestReader.field(seen, 'expect')).toBeNull();
  });

  it('§10: refuses a body that is too large from the head alone', async () => {
    const { client, answers } = connected();
    client.send(phpHead(`Content-Length: ${64 * 1024 * 1024}`, 'Expect: 100-continue'));
    const { status, interim } = await answers.next();
    expect([interim, status]).toEqual([[], 413]);
    expect(upstream.requests).toHaveLength(0);
  });

  it('§10: refuses an expectation that nobody knows', async () => {
    const { client, answers } = connected();
    client.send(phpHead(`Content-Length: ${LEAD.length}`, 'Expect: miracles'));
    expect((await answers.next()).status).toBe(417);
    expect(upstream.requests).toHaveLength(0);
  });
});

describe('HTTP/1.0', () => {
  it('closes after one answer', async () => {
    const { client, answers } = connected();
    client.send(lines('GET /me HTTP/1.0', 'Host: 127.0.0.1:8080', 'Authorization: Bearer a-token'));
    const { status, body } = await answers.next();
    expect([status, parsed(body)]).toEqual([200, { ok: true }]);
    await client.closed();
    expect((await upstream.seen(1)).head).toMatch(/^GET \/me HTTP\/1\.1/);
  });

  it('keeps the connection for a client that asks for it, and says so', async () => {
    const { client, answers } = connected();
    for (let n = 1; n <= 3; n += 1) {
      client.send(lines('GET /me HTTP/1.0', 'Host: 127.0.0.1:8080', 'Connection: Keep-Alive'));
      const { status, fields } = await answers.next();
      expect(status).toBe(200);
      expect(fields.get('Connection')?.toLowerCase()).toBe('keep-alive');
    }
    expect(upstream.requests).toHaveLength(3);
  });

  it('never gets chunks: an answer of unknown length ends with the connection', async () => {
    const { client, answers } = connected();
    upstream.script(
      answer({ headers: ['Content-Type', 'text/plain'], body: 'streamed', chunked: true, trailers: ['X-Sum', '1'] }),
    );
    client.send(lines('GET /export/anything HTTP/1.0', 'Host: x', 'Connection: keep-alive'));
    const { fields, body } = await answers.next();
    expect(fields.has('Transfer-Encoding')).toBe(false);
    expect(body.toString()).toBe('streamed');
    await client.closed();
  });
});

describe('whoever else', () => {
  it('reads lower-case and odd-cased field names alike, and passes them as they came', async () => {
    const { client, answers } = connected();
    client.send(
      lines(
        'POST /contacts HTTP/1.1',
        'hOsT: x',
        'AUTHORIZATION: bearer a-token',
        'content-TYPE: application/json',
        `cONTENT-lENGTH: ${LEAD.length}`,
        'x-tRaCe: 1',
      ) + LEAD,
    );
    expect((await answers.next()).status).toBe(200);
    const seen = await upstream.seen(1);
    expect(namesOf(seen)).toEqual(expect.arrayContaining(['AUTHORIZATION', 'content-TYPE', 'x-tRaCe']));
    expect(namesOf(seen).filter((name) => name.toLowerCase() === 'content-length')).toHaveLength(1);
    expect(seen.body.toString()).toBe(LEAD);
  });

  it('answers pipelined requests in their order, whatever each one takes', async () => {
    const { client, answers } = connected();
    const late: (() => void)[] = [];
    upstream.script({
      at: 'request',
      act: (peer) =>
        void late.push(() =>
          peer.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}'),
        ),
    });
    client.send(contact(1) + contact(2) + contact(3));
    await upstream.seen(1);
    for (const answerNow of late) answerNow();
    expect(parsed((await answers.next()).body)).toEqual({});
    for (let n = 2; n <= 3; n += 1) expect(parsed((await answers.next()).body)).toEqual({ ok: true });
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/contacts/1', '/contacts/2', '/contacts/3']);
  });

  it('takes a head that arrives byte by byte', async () => {
    const { client, answers } = connected();
    client.socket.setNoDelay(true);
    for (const byte of lines('GET /me HTTP/1.1', 'Host: x')) client.send(byte);
    expect((await answers.next()).status).toBe(200);
  });

  it('§10: answers a client that closed its side after the request', async () => {
    const { client, answers } = connected();
    client.send(lines('GET /me HTTP/1.1', 'Host: x'));
    client.socket.end();
    expect(parsed((await answers.next()).body)).toEqual({ ok: true });
  });
});
