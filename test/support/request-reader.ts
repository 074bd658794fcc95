/** One request as it arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** The head as it came, latin1, without the empty line. */
  readonly head: string;
  /** Flat: name, value, in order and case. */
  readonly headers: readonly string[];
  /** The body so far, without chunk framing; cut to the first 32 MiB. */
  body: Buffer;
  bodyBytes: number;
  /** The whole body has arrived. */
  whole: boolean;
}

interface Events {
  onHead(request: SeenRequest): void;
  onWhole(request: SeenRequest): void;
}

const KEPT_BYTES = 32 * 1024 * 1024;

/** Reads requests from a connection's bytes: just enough HTTP/1.1 for tests, and no judgement of what it reads. */
export class RequestReader {
  readonly #events: Events;
  #rest: Buffer = Buffer.alloc(0);
  #request: SeenRequest | null = null;
  #kept: Buffer[] = [];
  #chunked = false;
  #leftBytes = 0;

  constructor(events: Events) {
    this.#events = events;
  }

  /** Takes the next bytes. */
  read(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length > 0) {
      const advanced = this.#request === null ? this.#head() : this.#chunked ? this.#chunk() : this.#sized();
      if (!advanced) return;
    }
  }

  /** The first value of a field of a request; null when absent. */
  static field(request: SeenRequest, name: string): string | null {
    const at = request.headers.findIndex((each, i) => i % 2 === 0 && each.toLowerCase() === name);
    return at < 0 ? null : (request.headers[at + 1] as string);
  }

  #head(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = this.#rest.toString('latin1', 0, end);
    this.#rest = this.#rest.subarray(end + 4);
    const [start = '', ...fields] = head.split('\r\n');
    const [method = '', target = ''] = start.split(' ');
    const headers = fields.flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    this.#request = { method, target, head, headers, body: Buffer.alloc(0), bodyBytes: 0, whole: false };
    this.#chunked = RequestReader.field(this.#request, 'transfer-encoding') !== null;
    this.#leftBytes = Number(RequestReader.field(this.#request, 'content-length') ?? 0);
    this.#events.onHead(this.#request);
    if (!this.#chunked && this.#leftBytes === 0) this.#whole();
    return true;
  }

  #sized(): boolean {
    const taken = this.#rest.subarray(0, this.#leftBytes);
    this.#rest = this.#rest.subarray(taken.length);
    this.#leftBytes -= taken.length;
    this.#keep(taken);
    if (this.#leftBytes === 0) this.#whole();
    return true;
  }

  #chunk(): boolean {
    const line = this.#rest.indexOf('\r\n');
    if (line < 0) return false;
    const size = Number.parseInt(this.#rest.toString('latin1', 0, line), 16);
    if (this.#rest.length < line + 2 + size + 2) return false;
    this.#keep(this.#rest.subarray(line + 2, line + 2 + size));
    this.#rest = this.#rest.subarray(line + 2 + size + 2);
    if (size === 0) this.#whole();
    return true;
  }

  #keep(bytes: Buffer): void {
    const request = this.#request as SeenRequest;
    request.bodyBytes += bytes.length;
    if (request.bodyBytes <= KEPT_BYTES) this.#kept.push(Buffer.from(bytes));
  }

  #whole(): void {
    const request = this.#request as SeenRequest;
    request.body = Buffer.concat(this.#kept);
    request.whole = true;
    this.#kept = [];
    this.#request = null;
    this.#events.onWhole(request);
  }
}
