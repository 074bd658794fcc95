/**
 * Requests that must never reach the upstream as complete requests (semantics §10). Each is sent twice by the test: alone
 * on a connection, and pipelined behind a valid request, which must get its own answer first.
 */

/** One hostile request. */
export interface Malformed {
  readonly name: string;
  /** Latin1. */
  readonly bytes: string;
  readonly status: number;
  /** The sender closes its side behind the bytes. */
  readonly cut?: true;
}

const HOST = 'Host: h\r\n';

function get(target: string, fields = HOST, version = 'HTTP/1.1'): string {
  return `GET ${target} ${version}\r\n${fields}\r\n`;
}

function post(fields: string, body = ''): string {
  return `POST /contacts HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
}

const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body);
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n';

/** The corpus. */
export const MALFORMED: readonly Malformed[] = [
  // Where does the request end?
  {
    name: 'TE with CL',
    bytes: post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    status: 400,
  },
  {
    name: 'CL with TE',
    bytes: post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${SMUGGLED}`),
    status: 400,
  },
  { name: 'two CLs that differ', bytes: post('Content-Length: 0\r\nContent-Length: 37\r\n', SMUGGLED), status: 400 },
  { name: 'two equal CLs', bytes: post('Content-Length: 2\r\nContent-Length: 2\r\n', 'hi'), status: 400 },
  { name: 'a list as CL', bytes: post('Content-Length: 2, 2\r\n', 'hi'), status: 400 },
  { name: 'CL with a plus sign', bytes: post('Content-Length: +2\r\n', 'hi'), status: 400 },
  { name: 'a negative CL', bytes: post('Content-Length: -2\r\n', 'hi'), status: 400 },
  { name: 'CL in hex', bytes: post('Content-Length: 0x2\r\n', 'hi'), status: 400 },
  { name: 'CL with a space inside', bytes: post('Content-Length: 1 2\r\n', 'hi'), status: 400 },
  { name: 'an empty CL', bytes: post('Content-Length: \r\n', 'hi'), status: 400 },
  { name: 'CL beyond 64 bits', bytes: post('Content-Length: 99999999999999999999999\r\n', 'hi'), status: 400 },
  { name: 'CL beyond the limit', bytes: post('Content-Length: 4194305\r\n', 'hi'), status: 413 },
  { name: 'TE: gzip, chunked', bytes: post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'TE: chunked, gzip', bytes: post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'), status: 400 },
  {
    name: 'TE: chunked twice in one field',
    bytes: post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
    status: 400,
  },
  {
    name: 'TE: chunked in two fields',
    bytes: post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    status: 400,
  },
  { name: 'TE: identity', bytes: post('Transfer-Encoding: identity\r\n', SMUGGLED), status: 400 },
  { name: 'TE: xchunked', bytes: post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'TE: chunked;q=1', bytes: post('Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'TE in quotes', bytes: post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'TE with a vertical tab', bytes: post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'an empty TE', bytes: post('Transfer-Encoding: \r\n', '0\r\n\r\n'), status: 400 },
  {
    name: 'TE on HTTP/1.0',
    bytes: `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    status: 400,
  },
  {
    name: 'TE on a GET with CL',
    bytes: get('/', `${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`) + SMUGGLED,
    status: 400,
  },
  // Fields that two parsers read differently
  { name: 'obs-fold', bytes: get('/', `${HOST}X-A: 1\r\n 2\r\n`), status: 400 },
  { name: 'obs-fold with a tab', bytes: get('/', `${HOST}X-A: 1\r\n\tTransfer-Encoding: chunked\r\n`), status: 400 },
  { name: 'obs-fold on the first line', bytes: `GET / HTTP/1.1\r\n ${HOST}\r\n`, status: 400 },
  { name: 'a space before the colon', bytes: post('Content-Length : 2\r\n', 'hi'), status: 400 },
  { name: 'a tab before the colon', bytes: post('Transfer-Encoding\t: chunked\r\n', '0\r\n\r\n'), status: 400 },
  { name: 'a field without colon', bytes: get('/', `${HOST}X-A\r\n`), status: 400 },
  { name: 'a field without name', bytes: get('/', `${HOST}: 1\r\n`), status: 400 },
  { name: 'a bare LF behind a field', bytes: `GET / HTTP/1.1\r\n${HOST}X-A: 1\nX-B: 2\r\n\r\n`, status: 400 },
  { name: 'bare LFs only', bytes: 'GET / HTTP/1.1\nHost: h\n\n', status: 400 },
  { name: 'a bare CR in a value', bytes: get('/', `${HOST}X-A: 1\rContent-Length: 5\r\n`), status: 400 },
  { name: 'a bare CR in the request line', bytes: `GET /\r HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'NUL in a value', bytes: get('/', `${HOST}X-A: 1\x002\r\n`), status: 400 },
  { name: 'NUL in a name', bytes: get('/', `${HOST}X\x00A: 1\r\n`), status: 400 },
  { name: 'a control byte in a value', bytes: get('/', `${HOST}X-A: 1\x012\r\n`), status: 400 },
  { name: 'DEL in a value', bytes: get('/', `${HOST}X-A: 1\x7f2\r\n`), status: 400 },
  { name: 'a byte above 0x7f in a name', bytes: get('/', `${HOST}X\xe9: 1\r\n`), status: 400 },
  { name: 'a parenthesis in a name', bytes: get('/', `${HOST}X(A): 1\r\n`), status: 400 },
  { name: 'a head that is too large', bytes: get('/', `${HOST}X-A: ${'a'.repeat(20_000)}\r\n`), status: 431 },
  { name: 'a target that is too long', bytes: get(`/${'a'.repeat(20_000)}`), status: 431 },
  { name: 'too many fields', bytes: get('/', HOST + 'X-A: 1\r\n'.repeat(6000)), status: 431 },
  // Whose request is it?
  { name: 'no Host', bytes: get('/', ''), status: 400 },
  { name: 'two Hosts', bytes: get('/', `${HOST}Host: evil\r\n`), status: 400 },
  { name: 'two equal Hosts', bytes: get('/', HOST + HOST), status: 400 },
  { name: 'Host with a path', bytes: get('/', 'Host: h/admin\r\n'), status: 400 },
  { name: 'Host with user information', bytes: get('/', 'Host: user@h\r\n'), status: 400 },
  { name: 'Host with a space', bytes: get('/', 'Host: h evil\r\n'), status: 400 },
  { name: 'Host with a comma', bytes: get('/', 'Host: h,evil\r\n'), status: 400 },
  { name: 'Host with a fragment', bytes: get('/', 'Host: h#x\r\n'), status: 400 },
  // The request line
  { name: 'absolute form', bytes: get('http://evil.example/contacts'), status: 400 },
  { name: 'absolute form, upper case', bytes: get('HTTP://evil.example/'), status: 400 },
  { name: 'another scheme', bytes: get('file:///etc/passwd'), status: 400 },
  { name: 'authority form', bytes: `CONNECT api.intercom.io:443 HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'CONNECT with a path', bytes: `CONNECT / HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'TRACE', bytes: `TRACE / HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'GET *', bytes: get('*'), status: 400 },
  { name: 'OPTIONS *', bytes: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'a fragment in the target', bytes: get('/contacts#x'), status: 400 },
  { name: 'a target without slash', bytes: get('contacts'), status: 400 },
  { name: 'a space in the target', bytes: get('/con tacts'), status: 400 },
  { name: 'a tab in the target', bytes: get('/con\ttacts'), status: 400 },
  { name: 'a byte above 0x7f in the target', bytes: get('/\xe9'), status: 400 },
  { name: 'a control byte in the target', bytes: get('/\x01'), status: 400 },
  { name: 'HTTP/0.9', bytes: get('/', HOST, 'HTTP/0.9'), status: 400 },
  { name: 'HTTP/0.9 without a version', bytes: 'GET /\r\n\r\n', status: 400 },
  { name: 'HTTP/1.2', bytes: get('/', HOST, 'HTTP/1.2'), status: 400 },
  { name: 'HTTP/2.0', bytes: get('/', HOST, 'HTTP/2.0'), status: 400 },
  { name: 'HTTP/11.1', bytes: get('/', HOST, 'HTTP/11.1'), status: 400 },
  { name: 'lower-case protocol', bytes: get('/', HOST, 'http/1.1'), status: 400 },
  { name: 'the HTTP/2 preface', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
  { name: 'an unknown method', bytes: `FROB / HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'a lower-case method', bytes: `get / HTTP/1.1\r\n${HOST}\r\n`, status: 400 },
  { name: 'a TLS hello', bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', status: 400 },
  { name: 'binary noise', bytes: '\x00\xff\xfe\x80\x00\x00\r\n\r\n', status: 400 },
  { name: 'an SSH banner', bytes: 'SSH-2.0-OpenSSH_9.2\r\n', status: 400 },
  // Bodies
  { name: 'a chunk size that is no number', bytes: chunked('zz\r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a negative chunk size', bytes: chunked('-1\r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a chunk size with 0x', bytes: chunked('0x2\r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a chunk size beyond 64 bits', bytes: chunked('fffffffffffffffff\r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a chunk that is longer than its size', bytes: chunked('2\r\nhello\r\n0\r\n\r\n'), status: 400 },
  { name: 'a bare LF behind a chunk size', bytes: chunked('2\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a bare LF behind a chunk', bytes: chunked('2\r\nhi\n0\r\n\r\n'), status: 400 },
  { name: 'a space behind a chunk size', bytes: chunked('2 \r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'a bare CR in a chunk extension', bytes: chunked('2;a\rb\r\nhi\r\n0\r\n\r\n'), status: 400 },
  { name: 'chunk extensions without end', bytes: chunked(`2;${'a'.repeat(40_000)}\r\nhi\r\n0\r\n\r\n`), status: 413 },
  { name: 'a malformed trailer', bytes: chunked('2\r\nhi\r\n0\r\nX A: 1\r\n\r\n'), status: 400 },
  { name: 'an obs-folded trailer', bytes: chunked('2\r\nhi\r\n0\r\nX: 1\r\n 2\r\n\r\n'), status: 400 },
  { name: 'a head that is cut', bytes: 'GET / HTTP/1.1\r\nHos', status: 400, cut: true },
  { name: 'a body that is cut', bytes: post('Content-Length: 10\r\n', 'hi'), status: 400, cut: true },
  { name: 'a chunked body that is cut', bytes: chunked('2\r\nhi\r\n'), status: 400, cut: true },
  // Our own fields
  { name: 'an unknown expectation', bytes: post('Expect: 200-ok\r\nContent-Length: 2\r\n', 'hi'), status: 417 },
  { name: 'a Holdfast-Timeout that is none', bytes: get('/', `${HOST}Holdfast-Timeout: soon\r\n`), status: 400 },
  { name: 'a Holdfast-Context that is none', bytes: get('/', `${HOST}Holdfast-Context: {}\r\n`), status: 400 },
];
