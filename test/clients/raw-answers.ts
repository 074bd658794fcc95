import type { RawClient } from '../edge/harness.ts';

/** One final answer as a client reads it off the wire. */
export interface RawAnswer {
  readonly version: string;
  readonly status: number;
  /** Names as they came; of a repeated field the last. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Statuses of the interim answers before it. */
  readonly interim: readonly number[];
}

/** Takes answers off a connection one by one, as RFC 9112 §6.3 frames them. */
export class AnswerReader {
  readonly #client: RawClient;
  #at = 0;

  constructor(client: RawClient) {
    this.#client = client;
  }

  /** The next final answer; `head`: to a HEAD request, which has no body whatever its fields say. */
  async next(head = false): Promise<RawAnswer> {
    const interim: number[] = [];
    for (;;) {
      const end = await this.#find('\r\n\r\n', this.#at);
      const [start = '', ...lines] = this.#client.text.slice(this.#at, end).split('\r\n');
      this.#at = end + 4;
      const [version = '', status = ''] = start.split(' ');
      if (Number(status) < 200) {
        interim.push(Number(status));
        continue;
      }
      const fields = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.replace(/^[^:]*:\s*/, '')]));
      const body = head || status === '204' || status === '304' ? '' : await this.#body(fields);
      return { version, status: Number(status), fields, body: Buffer.from(body, 'latin1'), interim };
    }
  }

  async #body(fields: ReadonlyMap<string, string>): Promise<string> {
    const lower = new Map([...fields].map(([name, value]) => [name.toLowerCase(), value]));
    const length = lower.get('content-length');
    if (length !== undefined) return this.#take(Number(length));
    if (lower.get('transfer-encoding') !== 'chunked') {
      await this.#client.closed();
      return this.#take(this.#client.text.length - this.#at);
    }
    let body = '';
    for (;;) {
      const end = await this.#find('\r\n', this.#at);
      const size = Number.parseInt(this.#client.text.slice(this.#at, end), 16);
      this.#at = end + 2;
      if (size === 0) break;
      body += await this.#take(size);
      this.#at += 2;
    }
    this.#at = (await this.#find('\r\n', this.#at)) + 2;
    return body;
  }

  async #find(what: string, from: number): Promise<number> {
    await this.#client.until((text) => text.indexOf(what, from) >= 0);
    const at = this.#client.text.indexOf(what, from);
    if (at < 0) throw new Error(`the connection ended after ${JSON.stringify(this.#client.text.slice(from))}`);
    return at;
  }

  async #take(length: number): Promise<string> {
    await this.#client.until((text) => text.length >= this.#at + length);
    const taken = this.#client.text.slice(this.#at, this.#at + length);
    if (taken.length < length) throw new Error(`the connection ended ${length - taken.length} bytes early`);
    this.#at += length;
    return taken;
  }
}
